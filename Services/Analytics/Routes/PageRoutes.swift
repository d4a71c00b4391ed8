import Contracts
import Foundation
import ServiceKit

/// Which pages are looked at, and where people come from.
struct PageRoutes {
    let engine: any AnalyticsEngine

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("pages", "The pages that were looked at most", may: "analytics:read", pages)
            Endpoint.get("referrers", "The hosts from which most page views came", may: "analytics:read", referrers)
        }
    }

    func pages(_ request: CallerRequest, _ query: RankingQuery) async throws -> PagesView {
        PagesView(try await ranking(.path, request, query), limit: query.limit ?? .standard)
    }

    func referrers(_ request: CallerRequest, _ query: RankingQuery) async throws -> ReferrersView {
        ReferrersView(try await ranking(.referrer, request, query), limit: query.limit ?? .standard)
    }

    private func ranking(_ subject: PageSubject, _ request: CallerRequest, _ query: RankingQuery) async throws -> PageRanking {
        // Nothing is shown by buckets: the coarsest ones leave the period any length.
        let period = try Period(from: query.from?.date, to: query.to?.date, granularity: .month, now: request.now)
        let position = try query.position
        let limit = (query.limit ?? .standard).value
        return try await engine.ranking(subject, period, after: position, limit: limit, as: request.caller)
    }
}

struct RankingQuery: Decodable, Sendable {
    let from: Moment?
    let to: Moment?
    let limit: PageLimit?
    let cursor: Cursor?

    var position: PageRanking.Position? {
        get throws {
            guard let cursor else { return nil }
            guard cursor.keys.count == 2, let views = Int(cursor.keys[0]), views >= 0, !cursor.keys[1].utf8.contains(0) else {
                throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
            }
            return PageRanking.Position(views: views, name: cursor.keys[1])
        }
    }
}

/// Pages by their views, the most viewed first. The next page of the list goes on below the last number of views, so while views
/// come in a page of the site may move between two of them.
struct PagesView: PagedView {
    struct Entry: Codable, Sendable {
        let path: String
        let views: Int
        /// People and visits with a view of it, or an event on it.
        let uniqueUsers: Int?
        let sessions: Int?
        let averageSeconds: Double?
        /// Views after which, as the client said, nothing else was looked at.
        let bounces: Int
    }

    let from: Date
    let to: Date
    let data: [Entry]
    let nextCursor: Cursor?
    let approximate: [String: Double]?
    /// What was before is no longer kept, and in no figure; left out when all of the period is there.
    let keptFrom: Date?

    init(_ ranking: PageRanking, limit: PageLimit) {
        from = ranking.period.from
        to = ranking.period.to
        keptFrom = ranking.keptFrom
        data = ranking.rows.prefix(limit.value).map {
            Entry(
                path: $0.name, views: $0.views, uniqueUsers: $0.uniqueUsers, sessions: $0.sessions, averageSeconds: $0.averageSeconds,
                bounces: $0.bounces)
        }
        nextCursor = ranking.next(limit)
        approximate = Estimate.of(["uniqueUsers", "sessions"], when: ranking.isEstimated)
    }
}

/// The hosts of referrers by the views that came from them.
struct ReferrersView: PagedView {
    struct Entry: Codable, Sendable {
        /// Null for views without a referrer.
        let host: String?
        let views: Int
        /// People and visits with a view, or an event, that came from there; null for those without a referrer.
        let uniqueUsers: Int?
        let sessions: Int?
    }

    let from: Date
    let to: Date
    let data: [Entry]
    let nextCursor: Cursor?
    let approximate: [String: Double]?
    /// What was before is no longer kept, and in no figure; left out when all of the period is there.
    let keptFrom: Date?

    init(_ ranking: PageRanking, limit: PageLimit) {
        from = ranking.period.from
        to = ranking.period.to
        keptFrom = ranking.keptFrom
        data = ranking.rows.prefix(limit.value).map {
            Entry(host: $0.name.isEmpty ? nil : $0.name, views: $0.views, uniqueUsers: $0.uniqueUsers, sessions: $0.sessions)
        }
        nextCursor = ranking.next(limit)
        approximate = Estimate.of(["uniqueUsers", "sessions"], when: ranking.isEstimated)
    }
}

extension PageRanking {
    fileprivate func next(_ limit: PageLimit) -> Cursor? {
        guard rows.count > limit.value, let last = rows.prefix(limit.value).last else { return nil }
        return Cursor([String(last.views), last.name])
    }
}
