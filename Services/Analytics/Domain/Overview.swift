import Contracts
import Foundation

/// How much happened: of a bucket, or of the whole period.
struct Activity: Sendable, Equatable {
    var events = 0
    var pageViews = 0
    /// Different people and different visits, over events and page views together.
    var uniqueUsers = 0
    var sessions = 0
}

/// Values of a whole period and of each of its buckets. Distinct counts of buckets do not add up to those of the whole.
struct Timeline<Value: Sendable>: Sendable {
    let period: Period
    var totals: Value
    /// By where they begin; those in which nothing happened are not in it.
    var buckets: [Date: Value]
    /// Whether distinct counts are estimates, from sketches.
    var isEstimated = false

    /// Of values by bucket, and one without a bucket for the whole period, as grouping sets give them; `none` where nothing happened.
    static func of(_ period: Period, _ rows: [(bucket: Date?, value: Value)], none: Value) -> Self {
        var timeline = Self(period: period, totals: none, buckets: [:])
        for row in rows {
            if let bucket = row.bucket { timeline.buckets[bucket] = row.value } else { timeline.totals = row.value }
        }
        return timeline
    }

    /// Each bucket of the period in order, with `none` where nothing happened.
    func series<Figures>(_ none: Value, _ figures: (Date, Value) -> Figures) -> [Dated<Figures>] {
        period.buckets.map { Dated($0, figures($0, buckets[$0] ?? none)) }
    }
}

/// How many facts of one kind, and what they amount to.
struct FactSum: Sendable, Equatable {
    var facts = 0
    var amount = 0

    static func + (left: FactSum, right: FactSum) -> FactSum {
        FactSum(facts: left.facts + right.facts, amount: left.amount + right.amount)
    }
}

/// The facts of a bucket by their kinds.
struct FactSums: Sendable, Equatable {
    var kinds: [FactKind: FactSum] = [:]

    func count(_ kind: FactKind) -> Int { kinds[kind]?.facts ?? 0 }
    func amount(_ kind: FactKind) -> Int { kinds[kind]?.amount ?? 0 }

    mutating func add(_ kind: FactKind, _ count: FactSum) { kinds[kind] = (kinds[kind] ?? FactSum()) + count }
}

/// What may be said of a figure that is not exact.
enum Estimate {
    /// The standard error of distinct counts from sketches, as a share: two thirds of all answers are at least so close.
    static let distinct = 0.0081

    /// For the answer's `approximate`: nil when all is exact.
    static func of(_ names: [String], when isEstimated: Bool) -> [String: Double]? {
        isEstimated ? Dictionary(uniqueKeysWithValues: names.map { ($0, distinct) }) : nil
    }
}

/// Figures with the beginning of their bucket beside them: `{"start": …, "events": …}`.
struct Dated<Figures: Codable & Sendable>: Codable, Sendable {
    let start: Date
    let figures: Figures

    private enum Key: CodingKey { case start }

    init(_ start: Date, _ figures: Figures) {
        self.start = start
        self.figures = figures
    }

    init(from decoder: any Decoder) throws {
        start = try decoder.container(keyedBy: Key.self).decode(Date.self, forKey: .start)
        figures = try Figures(from: decoder)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(start, forKey: .start)
        try figures.encode(to: encoder)
    }
}

/// Facts of one kind that have one label (a model, a category, a plan …).
struct FactLabel: Codable, Sendable, Equatable {
    /// Null for facts without one.
    let label: String?
    let facts: Int
    let amount: Int
}
