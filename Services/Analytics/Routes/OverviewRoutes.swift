import Contracts
import Foundation
import ServiceKit

/// Answers with figures over time.
struct OverviewRoutes {
    let engine: any AnalyticsEngine

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("overview", "Figures over time", may: "analytics:read", overview)
            Endpoint.get("users", "People over time: active, new, returning, joining and leaving", may: "analytics:read", users)
            Endpoint.get("content", "What was written and looked at over time", may: "analytics:read", content)
            Endpoint.get("ai-assistant", "What the assistant answered over time, and how it was liked", may: "analytics:read", assistant)
        }
    }

    func overview(_ request: CallerRequest, _ query: OverviewQuery) async throws -> FiguresView<OverviewFigures> {
        let period = try query.period(now: request.now)
        let (activity, facts) = try await engine.overview(period, facts: OverviewFigures.kinds, as: request.caller)
        return FiguresView(
            activity.period, totals: OverviewFigures(activity.totals, facts.totals),
            series: activity.series(Activity()) { OverviewFigures($1, facts.buckets[$0] ?? FactSums()) },
            approximate: Estimate.of(["uniqueUsers", "sessions"], when: activity.isEstimated))
    }

    func users(_ request: CallerRequest, _ query: OverviewQuery) async throws -> FiguresView<UserFigures> {
        let period = try query.period(now: request.now)
        let (activity, facts, new) = try await engine.users(period, facts: UserFigures.kinds, as: request.caller)
        return FiguresView(
            activity.period, totals: UserFigures(activity.totals, new: new.values.reduce(0, +), facts.totals),
            series: activity.series(Activity()) { UserFigures($1, new: new[$0] ?? 0, facts.buckets[$0] ?? FactSums()) },
            approximate: Estimate.of(["activeUsers", "returningUsers", "sessions"], when: activity.isEstimated))
    }

    func content(_ request: CallerRequest, _ query: OverviewQuery) async throws -> ContentView {
        let period = try query.period(now: request.now)
        let (activity, facts, categories, keptFrom) = try await engine.content(period, facts: ContentFigures.kinds, as: request.caller)
        return ContentView(
            activity.period, totals: ContentFigures(activity.totals, facts.totals),
            series: activity.series(Activity()) { ContentFigures($1, facts.buckets[$0] ?? FactSums()) }, categories: categories,
            keptFrom: keptFrom)
    }

    func assistant(_ request: CallerRequest, _ query: OverviewQuery) async throws -> AssistantView {
        let period = try query.period(now: request.now)
        let (figures, models, ratings, keptFrom) = try await engine.assistant(period, as: request.caller)
        return AssistantView(
            figures.period, totals: figures.totals, series: figures.series(AssistantFigures()) { $1 }, models: models, ratings: ratings,
            keptFrom: keptFrom)
    }
}

struct OverviewQuery: Decodable, Sendable {
    let from: Moment?
    let to: Moment?
    let granularity: Granularity?

    func period(now: Date) throws -> Period {
        try Period(from: from?.date, to: to?.date, granularity: granularity ?? .day, now: now)
    }
}

/// The figures of a period, whole and by buckets. Distinct counts of buckets do not add up to those of the whole.
struct FiguresView<Figures: Codable & Sendable>: View {
    let from: Date
    let to: Date
    let granularity: Granularity
    let totals: Figures
    let series: [Dated<Figures>]
    /// The standard error of those figures that are estimates, as a share of the figure; left out when all are exact.
    let approximate: [String: Double]?

    init(_ period: Period, totals: Figures, series: [Dated<Figures>], approximate: [String: Double]? = nil) {
        from = period.from
        to = period.to
        granularity = period.granularity
        self.totals = totals
        self.series = series
        self.approximate = approximate
    }
}

struct OverviewFigures: Codable, Sendable, Equatable {
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

    static let kinds: [FactKind] = [.registration, .signIn, .publication, .upload, .answer, .rating, .notification]

    init(_ activity: Activity, _ facts: FactSums) {
        events = activity.events
        pageViews = activity.pageViews
        uniqueUsers = activity.uniqueUsers
        sessions = activity.sessions
        registrations = facts.count(.registration)
        signIns = facts.count(.signIn)
        publications = facts.count(.publication)
        uploads = facts.count(.upload)
        answers = facts.count(.answer)
        ratings = facts.count(.rating)
        notifications = facts.count(.notification)
    }
}

struct UserFigures: Codable, Sendable, Equatable {
    /// Different people of whom an event or a page view was reported.
    let activeUsers: Int
    /// Those of whom it was the first.
    let newUsers: Int
    let returningUsers: Int
    let sessions: Int
    let registrations: Int
    let signIns: Int
    let failedSignIns: Int
    let verifiedEmails: Int
    let invitations: Int
    let membersAdded: Int
    let membersRemoved: Int

    static let kinds: [FactKind] = [.registration, .signIn, .signInFailed, .emailVerified, .invitation, .memberAdded, .memberRemoved]

    init(_ activity: Activity, new: Int, _ facts: FactSums) {
        activeUsers = activity.uniqueUsers
        newUsers = new
        returningUsers = max(0, activity.uniqueUsers - new)
        sessions = activity.sessions
        registrations = facts.count(.registration)
        signIns = facts.count(.signIn)
        failedSignIns = facts.count(.signInFailed)
        verifiedEmails = facts.count(.emailVerified)
        invitations = facts.count(.invitation)
        membersAdded = facts.count(.memberAdded)
        membersRemoved = facts.count(.memberRemoved)
    }
}

struct ContentFigures: Codable, Sendable, Equatable {
    let drafts: Int
    let publications: Int
    let unpublications: Int
    let deletions: Int
    let uploads: Int
    let uploadedBytes: Int
    let pageViews: Int

    static let kinds: [FactKind] = [.draft, .publication, .unpublication, .articleDeleted, .upload]

    init(_ activity: Activity, _ facts: FactSums) {
        drafts = facts.count(.draft)
        publications = facts.count(.publication)
        unpublications = facts.count(.unpublication)
        deletions = facts.count(.articleDeleted)
        uploads = facts.count(.upload)
        uploadedBytes = facts.amount(.upload)
        pageViews = activity.pageViews
    }
}

struct ContentView: View {
    let from: Date
    let to: Date
    let granularity: Granularity
    let totals: ContentFigures
    let series: [Dated<ContentFigures>]
    /// Publications by category, the most frequent first.
    let categories: [CategoryCount]
    /// The categories are of what was published from then on, since what was before is no longer kept by category; left out when all of the
    /// period is. The other figures are of all of it.
    let keptFrom: Date?

    struct CategoryCount: Codable, Sendable {
        let category: String?
        let publications: Int
    }

    init(_ period: Period, totals: ContentFigures, series: [Dated<ContentFigures>], categories: [FactLabel], keptFrom: Date?) {
        from = period.from
        to = period.to
        granularity = period.granularity
        self.totals = totals
        self.series = series
        self.categories = categories.map { CategoryCount(category: $0.label, publications: $0.facts) }
        self.keptFrom = keptFrom
    }
}

struct AssistantView: View {
    let from: Date
    let to: Date
    let granularity: Granularity
    let totals: AssistantFigures
    let series: [Dated<AssistantFigures>]
    /// Answers and their tokens by model, the most used first.
    let models: [ModelCount]
    /// How often each rating was given, from 1 to 5.
    let ratings: [RatingCount]
    /// What is not a number of conversations, answers or ratings (people, tokens, citations, times, averages) is of what happened from
    /// then on, since what was before is no longer kept row by row; left out when all of the period is. Models and single ratings go back
    /// for 1,125 days.
    let keptFrom: Date?

    struct ModelCount: Codable, Sendable {
        let model: String?
        let answers: Int
        let tokens: Int
    }

    struct RatingCount: Codable, Sendable {
        let rating: Int
        let count: Int
    }

    init(
        _ period: Period, totals: AssistantFigures, series: [Dated<AssistantFigures>], models: [FactLabel], ratings: [FactLabel],
        keptFrom: Date?
    ) {
        from = period.from
        to = period.to
        granularity = period.granularity
        self.totals = totals
        self.series = series
        self.models = models.map { ModelCount(model: $0.label, answers: $0.facts, tokens: $0.amount) }
        let given = Dictionary(
            ratings.compactMap { row in row.label.flatMap { Int($0) }.map { ($0, row.facts) } }, uniquingKeysWith: +)
        self.ratings = (1...5).map { RatingCount(rating: $0, count: given[$0] ?? 0) }
        self.keptFrom = keptFrom
    }
}
