import Contracts
import Foundation
import Postgres

/// Counts over events, page views and facts.
struct OverviewStore {
    let tx: Transaction

    /// A row for each bucket that is not empty, and one without a bucket for the whole period: all from one reading of the rows.
    func activity(_ period: Period) throws -> [(bucket: Date?, activity: Activity)] {
        let rows = try tx.query(
            Query(
                """
                SELECT bucket, coalesce(sum(event), 0)::bigint AS events, coalesce(sum(page_view), 0)::bigint AS page_views,
                    count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions
                FROM (
                    SELECT date_trunc(\(period.granularity.rawValue)::text, occurred_at, 'UTC') AS bucket,
                        1 AS event, 0 AS page_view, user_id, session_id
                    FROM analytics_events WHERE occurred_at >= \(period.from) AND occurred_at < \(period.to)
                    UNION ALL
                    SELECT date_trunc(\(period.granularity.rawValue)::text, occurred_at, 'UTC'), 0, 1, user_id, session_id
                    FROM page_views WHERE occurred_at >= \(period.from) AND occurred_at < \(period.to)
                ) AS activity
                GROUP BY GROUPING SETS ((bucket), ())
                """
            ) { row in
                ActivityRow(
                    bucket: try row("bucket"),
                    activity: Activity(
                        events: try row("events"), pageViews: try row("page_views"), uniqueUsers: try row("users"),
                        sessions: try row("sessions")))
            })
        return rows.map { ($0.bucket, $0.activity) }
    }

    private struct ActivityRow: Sendable {
        let bucket: Date?
        let activity: Activity
    }

    func facts(_ period: Period) throws -> [(bucket: Date, kind: FactKind, count: Int)] {
        let rows = try tx.query(
            Query(
                """
                SELECT date_trunc(\(period.granularity.rawValue)::text, occurred_at, 'UTC') AS bucket, kind, count(*) AS count
                FROM facts WHERE occurred_at >= \(period.from) AND occurred_at < \(period.to)
                GROUP BY 1, 2
                """
            ) { row in
                FactRow(bucket: try row("bucket"), kind: try row("kind"), count: try row("count"))
            })
        return rows.map { ($0.bucket, $0.kind, $0.count) }
    }

    private struct FactRow: Sendable {
        let bucket: Date
        let kind: FactKind
        let count: Int
    }
}
