import Contracts
import Foundation

/// Key figures of one period.
struct KPIFigures: Sendable {
    var activity = Activity()
    var newUsers = 0
    /// People of each day, for how often those of the period come.
    var dailyUsers: [Int] = []
    var facts = FactSums()
    /// What only rows tell; nil where they are not all there and a part would be compared with a whole.
    var rows: Rows?

    struct Rows: Sendable {
        var sessions = SessionFigures()
        var assistant = AssistantFigures()
        var revenue: [RevenueFigures] = []
    }

    static let kinds: [FactKind] = [
        .registration, .emailVerified, .planChanged, .publication, .upload, .answer, .memberAdded, .memberRemoved,
    ]
}

/// What the key figures of one period are calculated from, as it was answered.
struct KPIAnswer: Sendable {
    /// What it is about: a little longer than what was asked for, when it comes from roll-ups.
    let period: Period
    let figures: KPIFigures
    /// Whether distinct counts are estimates, from sketches.
    let isEstimated: Bool
}

/// One key figure, beside that of the period before.
struct KPI: Codable, Sendable, Equatable {
    enum Unit: String, Codable, Sendable, CaseIterable {
        case count, share, seconds, rating
        /// Minor units of `currency`.
        case money
    }

    let key: String
    let unit: Unit
    let currency: String?
    /// Null where there is nothing to calculate it from, such as the satisfaction of nobody.
    let value: Double?
    /// Null as well where it takes rows and those of the period before are no longer all kept.
    let previous: Double?
    /// The difference as a share of the previous value; null where that is 0 or unknown.
    let change: Double?

    init(_ key: String, _ unit: Unit, currency: String? = nil, _ value: Double?, _ previous: Double?) {
        self.key = key
        self.unit = unit
        self.currency = currency
        self.value = value
        self.previous = previous
        change =
            if let value, let previous, previous != 0 { (value - previous) / previous } else { nil }
    }

    /// All key figures, in the order in which they are shown.
    static func all(_ now: KPIFigures, _ before: KPIFigures) -> [KPI] {
        func kpi(_ key: String, _ unit: Unit, _ figure: (KPIFigures) -> Double?) -> KPI { KPI(key, unit, figure(now), figure(before)) }
        func count(_ key: String, _ figure: @escaping (KPIFigures) -> Int) -> KPI { kpi(key, .count) { Double(figure($0)) } }
        let figures = [
            count("activeUsers") { $0.activity.uniqueUsers },
            count("newUsers") { $0.newUsers },
            // How many of the period's people are there on a day of it, on average.
            kpi("stickiness", .share) { share(average($0.dailyUsers), Double($0.activity.uniqueUsers)) },
            kpi("sessions", .count) { $0.rows.map { Double($0.sessions.sessions) } },
            kpi("bounceRate", .share) { $0.rows?.sessions.bounceRate },
            kpi("averageSessionSeconds", .seconds) { $0.rows?.sessions.averageSeconds },
            count("pageViews") { $0.activity.pageViews },
            count("events") { $0.activity.events },
            count("registrations") { $0.facts.count(.registration) },
            // Registrations for each visit, and verified addresses for each registration.
            kpi("registrationRate", .share) { figures in
                figures.rows.flatMap { share(Double(figures.facts.count(.registration)), Double($0.sessions.sessions)) }
            },
            kpi("verificationRate", .share) {
                share(Double($0.facts.count(.emailVerified)), Double($0.facts.count(.registration)))
            },
            count("planChanges") { $0.facts.count(.planChanged) },
            count("membersAdded") { $0.facts.count(.memberAdded) },
            count("membersRemoved") { $0.facts.count(.memberRemoved) },
            count("publications") { $0.facts.count(.publication) },
            count("uploads") { $0.facts.count(.upload) },
            count("answers") { $0.facts.count(.answer) },
            kpi("satisfaction", .share) { $0.rows?.assistant.satisfaction },
            kpi("averageRating", .rating) { $0.rows?.assistant.averageRating },
            kpi("averageAnswerSeconds", .seconds) { $0.rows?.assistant.averageMilliseconds.map { $0 / 1_000 } },
        ]
        return figures + money(now, before)
    }

    /// Revenue, orders and what an order is worth on average, in each currency that there is in either period.
    private static func money(_ now: KPIFigures, _ before: KPIFigures) -> [KPI] {
        let sides = [now, before].compactMap(\.rows)
        let currencies = sides.flatMap(\.revenue).map(\.currency).reduce(into: [String]()) { known, currency in
            if !known.contains(currency) { known.append(currency) }
        }
        return currencies.prefix(Revenue.maximumCurrencies).flatMap { currency -> [KPI] in
            func kpi(_ key: String, _ unit: Unit, _ figure: (RevenueFigures?) -> Double?) -> KPI {
                func value(_ side: KPIFigures) -> Double? {
                    side.rows.flatMap { rows in figure(rows.revenue.first { $0.currency == currency }) }
                }
                return KPI(key, unit, currency: currency, value(now), value(before))
            }
            return [
                kpi("revenue", .money) { Double($0?.amount ?? 0) },
                kpi("orders", .count) { Double($0?.orders ?? 0) },
                kpi("averageOrderValue", .money) { figures in figures.flatMap { share(Double($0.amount), Double($0.orders)) } },
            ]
        }
    }

    private static func share(_ part: Double, _ whole: Double) -> Double? { whole == 0 ? nil : part / whole }

    private static func average(_ values: [Int]) -> Double {
        values.isEmpty ? 0 : Double(values.reduce(0, +)) / Double(values.count)
    }
}
