import Contracts
import Foundation
import Postgres
import ServiceKit

/// Answers with figures over time.
struct OverviewRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("overview", "Figures over time", may: "analytics:read", overview)
        }
    }

    /// One transaction for both statements, on the connections for statements that may take long.
    func overview(_ request: CallerRequest, _ query: OverviewQuery) async throws -> OverviewView {
        let period = try Period(from: query.from?.date, to: query.to?.date, granularity: query.granularity ?? .day, now: request.now)
        return try await database.transaction(as: request.caller) { tx in
            let store = OverviewStore(tx: tx)
            return OverviewView(Overview(period, activity: try store.activity(period), facts: try store.facts(period)))
        }
    }
}

struct OverviewQuery: Decodable, Sendable {
    let from: Moment?
    let to: Moment?
    let granularity: Granularity?
}

/// A time in a query: RFC 3339, or a date alone for its first moment in UTC.
struct Moment: Decodable, Sendable, Described {
    let date: Date
    static var schema: Schema { .string(format: "date-time") }
    static var placeholder: Moment { Moment(date: Date(timeIntervalSince1970: 0)) }

    private init(date: Date) { self.date = date }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let date = Timestamp.date(text) ?? Timestamp.date(text + "T00:00:00Z") else {
            let problem = TextProblem("invalid-time", "must be a time as in RFC 3339, such as 2026-01-15T10:30:00Z, or a date")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
        self.date = date
    }
}

/// The figures of a period, whole and by buckets. Distinct counts of buckets do not add up to those of the whole.
struct OverviewView: View {
    struct Totals: Codable, Sendable {
        let events: Int
        let pageViews: Int
        let uniqueUsers: Int
        let sessions: Int
        let registrations: Int
        let signIns: Int
        let publications: Int
        let uploads: Int
        let answers: Int
        let ratings: Int
        let notifications: Int
    }

    struct Bucket: Codable, Sendable {
        let start: Date
        let events: Int
        let pageViews: Int
        let uniqueUsers: Int
        let sessions: Int
        let registrations: Int
        let signIns: Int
        let publications: Int
        let uploads: Int
        let answers: Int
        let ratings: Int
        let notifications: Int
    }

    let from: Date
    let to: Date
    let granularity: Granularity
    let totals: Totals
    let series: [Bucket]

    init(_ overview: Overview) {
        from = overview.period.from
        to = overview.period.to
        granularity = overview.period.granularity
        totals = Totals(overview.totals)
        series = overview.series.map { Bucket($0.start, $0.figures) }
    }
}

extension OverviewView.Totals {
    fileprivate init(_ figures: Figures) {
        events = figures.activity.events
        pageViews = figures.activity.pageViews
        uniqueUsers = figures.activity.uniqueUsers
        sessions = figures.activity.sessions
        registrations = figures.count(.registration)
        signIns = figures.count(.signIn)
        publications = figures.count(.publication)
        uploads = figures.count(.upload)
        answers = figures.count(.answer)
        ratings = figures.count(.rating)
        notifications = figures.count(.notification)
    }
}

extension OverviewView.Bucket {
    fileprivate init(_ start: Date, _ figures: Figures) {
        self.start = start
        events = figures.activity.events
        pageViews = figures.activity.pageViews
        uniqueUsers = figures.activity.uniqueUsers
        sessions = figures.activity.sessions
        registrations = figures.count(.registration)
        signIns = figures.count(.signIn)
        publications = figures.count(.publication)
        uploads = figures.count(.upload)
        answers = figures.count(.answer)
        ratings = figures.count(.rating)
        notifications = figures.count(.notification)
    }
}
