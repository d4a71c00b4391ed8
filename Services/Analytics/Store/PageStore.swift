import Contracts
import Foundation
import Postgres

/// The pages that were looked at most, and where those who came to them came from.
struct PageStore {
    let tx: Transaction
    let exactness: Exactness

    /// One row more than the limit, so that it is known whether there are more.
    func ranking(_ subject: PageSubject, _ asked: Period, after position: PageRanking.Position?, limit: Int) throws -> PageRanking {
        let kept = exactness.kept, period = try kept.fitted(asked, now: tx.now)
        guard let span = period.rollups(now: tx.now), !kept.prefersRows(period), try !exactness.allowsRaw(period, tx) else {
            let rows = try raw(subject, period, after: position, limit: limit)
            return PageRanking(period: period, rows: rows, isEstimated: false, keptFrom: kept.valuesFrom(period))
        }
        let rows = try rolled(subject, span, after: position, limit: limit)
        return PageRanking(
            period: try span.widened(period, now: tx.now), rows: rows, isEstimated: true, keptFrom: kept.valuesFrom(period))
    }

    private static func order(_ position: PageRanking.Position?, _ views: SQL) -> SQL {
        guard let position else { return "true" }
        return
            "(\(fragment: views) < \(position.views) OR (\(fragment: views) = \(position.views) AND name COLLATE \"C\" > \(position.name)))"
    }

    func raw(_ subject: PageSubject, _ period: Period, after position: PageRanking.Position?, limit: Int) throws -> [PageFigures] {
        let name: SQL = subject == .path ? "coalesce(path, '')" : "coalesce(referrer_host, '')"
        let source = OccurrenceSource.rows(from: period.from, to: period.to) { kind in
            let view: SQL =
                switch kind {
                case .event: "false AS is_view, NULL::integer AS duration_seconds, NULL::boolean AS bounce"
                case .pageView: "true AS is_view, duration_seconds, bounce"
                }
            return "\(fragment: view), (\(fragment: name))::text AS name, user_id, session_id"
        }
        return try tx.query(
            Query(
                """
                SELECT name, count(*) FILTER (WHERE is_view) AS views, avg(duration_seconds)::float8 AS average,
                    count(DISTINCT user_id) FILTER (WHERE name <> '') AS users,
                    count(DISTINCT session_id) FILTER (WHERE name <> '') AS sessions, count(*) FILTER (WHERE bounce) AS bounces
                FROM (\(fragment: source)) AS rows GROUP BY name
                HAVING count(*) FILTER (WHERE is_view) > 0
                    AND \(fragment: Self.order(position, "count(*) FILTER (WHERE is_view)"))
                ORDER BY count(*) FILTER (WHERE is_view) DESC, name COLLATE "C" LIMIT \(limit + 1)
                """
            ) { row in
                let name: String = try row("name"), users: Int = try row("users"), sessions: Int = try row("sessions")
                return PageFigures(
                    name: name, views: try row("views"), uniqueUsers: name.isEmpty ? nil : users, sessions: name.isEmpty ? nil : sessions,
                    averageSeconds: try row("average"), bounces: try row("bounces"))
            })
    }

    /// Counts first, which name the pages; then the sketches of those alone.
    func rolled(_ subject: PageSubject, _ span: RollupSpan, after position: PageRanking.Position?, limit: Int) throws -> [PageFigures] {
        let counts = RollupSource.rows(
            span, subject.dimension, columns: "value AS name, page_views, duration_seconds, timed_views, bounces",
            where: "page_views > 0")
        let rows = try tx.query(
            Query(
                """
                SELECT name, sum(page_views)::bigint AS views, sum(bounces)::bigint AS bounces,
                    sum(duration_seconds)::float8 / nullif(sum(timed_views), 0)::float8 AS average
                FROM (\(fragment: counts)) AS views GROUP BY name HAVING \(fragment: Self.order(position, "sum(page_views)"))
                ORDER BY sum(page_views) DESC, name COLLATE "C" LIMIT \(limit + 1)
                """
            ) { row in
                PageFigures(
                    name: try row("name"), views: try row("views"), uniqueUsers: nil, sessions: nil, averageSeconds: try row("average"),
                    bounces: try row("bounces"))
            })
        let names = rows.map(\.name).filter { !$0.isEmpty }
        let sketches = RollupSource.rows(
            span, subject.dimension, columns: "value AS name, users, sessions", where: "value = ANY(\(names))")
        var people: [String: RolledActivity] = [:]
        let parts = try tx.query(
            Query(sketches) { row in
                Sketched(
                    name: try row("name"),
                    activity: RolledActivity(
                        users: try RollupSource.sketch(row("users")), sessions: try RollupSource.sketch(row("sessions"))))
            })
        for part in parts { people[part.name, default: RolledActivity()].add(part.activity) }
        return rows.map { row in
            let activity = row.name.isEmpty ? nil : people[row.name]?.activity ?? Activity()
            return PageFigures(
                name: row.name, views: row.views, uniqueUsers: activity?.uniqueUsers, sessions: activity?.sessions,
                averageSeconds: row.averageSeconds, bounces: row.bounces)
        }
    }

    private struct Sketched: Sendable {
        let name: String
        let activity: RolledActivity
    }
}

extension PageSubject {
    /// Its name in the roll-ups.
    fileprivate var dimension: RollupDimension {
        switch self {
        case .path: .page
        case .referrer: .referrer
        }
    }
}
