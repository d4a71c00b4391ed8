import Contracts
import Foundation
import Postgres

/// Visits, put together from the raw rows.
struct SessionStore {
    let tx: Transaction

    /// Of one in `sampling` visits, chosen by the hash of what holds them together, with counts to match: for as many rows as would take too long.
    func sessions(_ period: Period, sampling: Int = 1) throws -> SessionAnswer {
        var answer = SessionAnswer()
        for part in try tx.query(Self.query(period, sampling)) {
            switch part {
            case .figures(nil, let figures, let errors): (answer.totals, answer.errors) = (figures, sampling == 1 ? nil : errors)
            case .figures(let bucket?, let figures, _): answer.buckets[bucket] = figures
            case .entry(let page): answer.entryPages.append(page)
            case .exit(let page): answer.exitPages.append(page)
            }
        }
        return answer
    }

    private enum Part: Sendable {
        case figures(Date?, SessionFigures, errors: [String: Double])
        case entry(SessionPage)
        case exit(SessionPage)
    }

    private static func query(_ period: Period, _ sampling: Int) -> Query<Part> {
        Query(
            """
            WITH visits AS MATERIALIZED (
                SELECT * FROM (\(fragment: visits(period, sampling))) AS every WHERE began >= \(period.from) AND began < \(period.to)
            )
            SELECT 'figures' AS part, date_trunc(\(period.granularity.rawValue)::text, began, 'UTC') AS bucket, NULL::text AS path,
                count(*) AS sessions, count(*) FILTER (WHERE views = 1 AND events = 0) AS bounces, count(*) FILTER (WHERE views > 0) AS viewing,
                sum(views)::bigint AS views, sum(events)::bigint AS events,
                avg(extract(epoch FROM ended - began))::float8 AS average,
                stddev_samp(extract(epoch FROM ended - began))::float8 AS spread,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended - began)::float8) AS median
            FROM visits GROUP BY GROUPING SETS ((2), ())
            UNION ALL (
                SELECT 'entry', NULL, entry, count(*), 0, 0, 0, 0, 0, 0, 0 FROM visits WHERE entry IS NOT NULL
                GROUP BY entry ORDER BY count(*) DESC, entry COLLATE "C" LIMIT \(SessionRule.pages)
            )
            UNION ALL (
                SELECT 'exit', NULL, exit, count(*), 0, 0, 0, 0, 0, 0, 0 FROM visits WHERE exit IS NOT NULL
                GROUP BY exit ORDER BY count(*) DESC, exit COLLATE "C" LIMIT \(SessionRule.pages)
            )
            """
        ) { row in
            let part: String = try row("part")
            let looked: Int = try row("sessions")
            guard part == "figures" else {
                let page = SessionPage(path: try row("path"), sessions: looked * sampling)
                return part == "entry" ? .entry(page) : .exit(page)
            }
            let viewing: Int = try row("viewing"), bounces: Int = try row("bounces")
            let views: Int? = try row("views"), events: Int? = try row("events")
            let average: Double? = try row("average"), spread: Double? = try row("spread")
            let figures = SessionFigures(
                sessions: looked * sampling, bounces: bounces * sampling,
                bounceRate: viewing == 0 ? nil : Double(bounces) / Double(viewing), averageSeconds: average,
                medianSeconds: try row("median"), pageViewsPerSession: views.map { Double($0) / Double(looked) },
                eventsPerSession: events.map { Double($0) / Double(looked) })
            let errors = SessionRule.errors(
                sampling: sampling, looked: looked, viewing: viewing, bounces: bounces, average: average, spread: spread)
            return .figures(try row("bucket"), figures, errors: errors)
        }
    }

    /// When each visit began and ended, what was in it, and its first and last page.
    private static func visits(_ period: Period, _ sampling: Int) -> SQL {
        let from = period.from.addingTimeInterval(-SessionRule.reach), to = period.to.addingTimeInterval(SessionRule.reach)
        let named = rows(from, to, sampling, "session_id", Filter(field: .known(.sessionId), test: .exists(true)))
        let unnamed = rows(
            from, to, sampling, "user_id::text", Filter(field: .known(.sessionId), test: .exists(false)),
            Filter(field: .known(.userId), test: .exists(true)))
        let figures: SQL =
            """
            min(at) AS began, max(ends) AS ended, count(*) FILTER (WHERE is_view) AS views, count(*) FILTER (WHERE NOT is_view) AS events,
            (array_agg(path ORDER BY at, id) FILTER (WHERE is_view))[1] AS entry,
            (array_agg(path ORDER BY at DESC, id DESC) FILTER (WHERE is_view))[1] AS exit
            """
        return """
            SELECT \(fragment: figures) FROM (\(fragment: named)) AS named GROUP BY session_id
            UNION ALL
            SELECT \(fragment: figures)
            FROM (
                SELECT *, sum(CASE WHEN is_new THEN 1 ELSE 0 END) OVER (PARTITION BY user_id ORDER BY at, id) AS visit
                FROM (
                    SELECT *, coalesce(at - lag(at) OVER (PARTITION BY user_id ORDER BY at, id)
                        > make_interval(secs => \(SessionRule.gap)), true) AS is_new
                    FROM (\(fragment: unnamed)) AS unnamed
                ) AS gaps
            ) AS numbered
            GROUP BY user_id, visit
            """
    }

    /// `key` holds a visit together: all of its rows are looked at, or none.
    private static func rows(_ from: Date, _ to: Date, _ sampling: Int, _ key: SQL, _ filters: Filter...) -> SQL {
        let columns: (OccurrenceKind) -> SQL = { kind in
            switch kind {
            case .event: "session_id, user_id, occurred_at AS at, id, false AS is_view, NULL::text AS path, occurred_at AS ends"
            case .pageView:
                """
                session_id, user_id, occurred_at AS at, id, true AS is_view, path::text AS path,
                occurred_at + make_interval(secs => coalesce(duration_seconds, 0)) AS ends
                """
            }
        }
        let all = OccurrenceSource.rows(from: from, to: to, where: filters, columns)
        guard sampling > 1 else { return all }
        return """
            SELECT * FROM (\(fragment: all)) AS everything
            WHERE (hashtextextended(\(fragment: key), 0) & 9223372036854775807) % \(sampling) = 0
            """
    }
}
