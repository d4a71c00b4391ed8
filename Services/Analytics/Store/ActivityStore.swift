import Contracts
import Foundation
import Postgres

/// Events, page views, people and visits over time: from the raw rows while they are few, from roll-ups when they are many.
struct ActivityStore {
    let tx: Transaction
    let exactness: Exactness

    /// The period of the answer may be a little longer than the one asked for, when it comes from roll-ups.
    /// Refused by hours of a time of which neither rows nor hours are kept.
    func activity(_ asked: Period) throws -> Timeline<Activity> {
        let period = try exactness.kept.fitted(asked, now: tx.now)
        guard let span = period.rollups(now: tx.now), try !exactness.allowsRaw(period, tx) else { return try raw(period) }
        return try rolled(span.widened(period, now: tx.now), span)
    }

    // MARK: - From the raw rows

    /// A row for each bucket that is not empty, and one without a bucket for the whole period: all from one reading of the rows.
    func raw(_ period: Period) throws -> Timeline<Activity> {
        let source = OccurrenceSource.rows(from: period.from, to: period.to) { kind in
            """
            date_trunc(\(period.granularity.rawValue)::text, occurred_at, 'UTC') AS bucket,
            \(fragment: kind == .event ? "true" : "false") AS is_event, user_id, session_id
            """
        }
        let rows = try tx.query(
            Query(
                """
                SELECT bucket, count(*) FILTER (WHERE is_event) AS events, count(*) FILTER (WHERE NOT is_event) AS page_views,
                    count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions
                FROM (\(fragment: source)) AS activity
                GROUP BY GROUPING SETS ((bucket), ())
                """
            ) { row in
                (
                    bucket: try row("bucket") as Date?,
                    value: Activity(
                        events: try row("events"), pageViews: try row("page_views"), uniqueUsers: try row("users"),
                        sessions: try row("sessions"))
                )
            })
        return .of(period, rows, none: Activity())
    }

    // MARK: - From roll-ups

    func rolled(_ period: Period, _ span: RollupSpan) throws -> Timeline<Activity> {
        var whole = RolledActivity()
        var buckets: [Date: RolledActivity] = [:]
        for row in try tx.query(Self.rolledQuery(span)) {
            whole.add(row.activity)
            buckets[period.bucket(of: row.bucket), default: RolledActivity()].add(row.activity)
        }
        return Timeline(period: period, totals: whole.activity, buckets: buckets.mapValues(\.activity), isEstimated: true)
    }

    private struct RolledRow: Sendable {
        let bucket: Date
        let activity: RolledActivity
    }

    private static func rolledQuery(_ span: RollupSpan) -> Query<RolledRow> {
        Query(
            RollupSource.rows(span, .everything, columns: "bucket, events, page_views, users, sessions", where: "value = ''")
        ) { row in
            RolledRow(
                bucket: try row("bucket"),
                activity: RolledActivity(
                    events: try row("events"), pageViews: try row("page_views"), users: try RollupSource.sketch(row("users")),
                    sessions: try RollupSource.sketch(row("sessions"))))
        }
    }
}

/// Counts that add up, and sketches that merge.
struct RolledActivity: Sendable {
    var events = 0
    var pageViews = 0
    var users = Sketch()
    var sessions = Sketch()

    mutating func add(_ other: RolledActivity) {
        events += other.events
        pageViews += other.pageViews
        users.merge(other.users)
        sessions.merge(other.sessions)
    }

    var activity: Activity {
        Activity(events: events, pageViews: pageViews, uniqueUsers: users.estimate, sessions: sessions.estimate)
    }
}

/// The rows of `activity_rollups` that make up a time.
enum RollupSource {
    static func rows(_ span: RollupSpan, _ dimension: RollupDimension, columns: SQL, where condition: SQL) -> SQL {
        func part(_ unit: SQL, _ range: Range<Date>) -> SQL {
            """
            SELECT \(fragment: columns) FROM activity_rollups WHERE unit = \(fragment: unit) AND dimension = \(dimension)
                AND bucket >= \(range.lowerBound) AND bucket < \(range.upperBound) AND \(fragment: condition)
            """
        }
        var parts: [SQL] = []
        if !span.head.isEmpty { parts.append(part("'hour'", span.head)) }
        if !span.days.isEmpty { parts.append(part("'day'", span.days)) }
        if !span.tail.isEmpty { parts.append(part("'hour'", span.tail)) }
        return parts.joined(separator: " UNION ALL ")
    }

    /// Null is nobody. Bytes that no sketch has written are a defect of ours.
    static func sketch(_ bytes: Data?) throws -> Sketch {
        guard let bytes else { return Sketch() }
        guard let sketch = Sketch(bytes: [UInt8](bytes)) else { throw BrokenSketch() }
        return sketch
    }
}

/// When figures are counted one by one, and when they are put together from roll-ups.
struct Exactness: Sendable {
    /// Rows that are read for one answer: beyond them people and visits are estimated.
    static let standardRows = 100_000

    let rows: Int
    /// What the organization still has.
    var kept = Kept.everything

    /// Whether the period has few enough rows to be counted one by one, and all of them are still kept.
    func allowsRaw(_ period: Period, _ tx: Transaction) throws -> Bool {
        guard kept.hasRows(period) else { return false }
        guard let span = RollupSpan(from: period.from, to: period.to, byHour: false, now: tx.now) else { return true }
        return try volume(span, tx) <= rows
    }

    /// Of how many visits one is looked at, so that as many rows are put together as are counted elsewhere, and twice over.
    func sampling(_ period: Period, _ tx: Transaction) throws -> Int {
        guard let span = RollupSpan(from: period.from, to: period.to, byHour: false, now: tx.now) else { return 1 }
        let limit = max(1, rows * 2)
        return max(1, (try volume(span, tx) + limit - 1) / limit)
    }

    /// Events and page views of the time, as the roll-ups have them.
    private func volume(_ span: RollupSpan, _ tx: Transaction) throws -> Int {
        let source = RollupSource.rows(span, .everything, columns: "events + page_views AS count", where: "value = ''")
        let sum: SQL = "SELECT coalesce(sum(count), 0)::bigint AS count FROM (\(fragment: source)) AS rows"
        return try tx.first(Query(sum, column: "count")) ?? 0
    }
}

/// Bytes in the roll-ups that are no sketch: a defect of ours.
struct BrokenSketch: Error {}
