import Contracts
import Foundation
import Postgres

/// Brings rows that wait into the roll-ups: each exactly once, since it is taken off the queue in the transaction that counts it.
///
/// Done by a worker within a second of each call, and before an answer that reads roll-ups, so that whoever reports and then asks finds
/// what they reported (`Folds`). Folds of one organization wait for one another; those of several do not.
struct RollupFold {
    /// Raw rows folded in one transaction: more would keep those of the same organization waiting for longer than a second.
    static let rowsAtOnce = 10_000
    /// Calls looked at for that.
    static let callsAtOnce = 2_000

    let tx: Transaction
    let bound: RollupBound
    /// Rows of this fold, but for what its last call has beyond them.
    var most = rowsAtOnce

    /// Folds the oldest calls that wait; returns how many rows they had, and whether there may be more. The caller holds the lock.
    func fold() throws -> (rows: Int, hasMore: Bool) {
        let calls = try take()
        guard !calls.isEmpty else { return (0, false) }
        var batch = RollupBatch(now: tx.now)
        for source in Source.allCases {
            let mine = calls.filter { $0.source == source }
            let ids = mine.flatMap(\.ids), times = mine.flatMap(\.times)
            guard let first = times.min(), let last = times.max() else { continue }
            let picked = Picked(ids: ids, times: times, first: first, last: last)
            switch source {
            case .event: for row in try tx.query(events(picked)) { batch.add(row) }
            case .pageView: for row in try tx.query(pageViews(picked)) { batch.add(row) }
            case .fact:
                for row in try tx.query(facts(picked)) {
                    batch.add(row.kind, at: row.occurredAt, user: row.userID, label: row.label, amount: row.amount)
                }
            }
        }
        let store = RollupStore(tx: tx, bound: bound)
        try store.add(batch.activity)
        try store.add(batch.facts)
        try store.add(firstSeen: batch.firstSeen)
        try OrganizationStore(tx: tx).note()
        let rows = calls.reduce(0) { $0 + $1.ids.count }
        return (rows, rows >= most || calls.count == Self.callsAtOnce)
    }

    /// Until the transaction ends. Roll-ups are read, merged and written back: two at once would lose one's sketches.
    static func lock(_ tx: Transaction) throws {
        try tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('analytics.fold ' || \(tx.caller.tenant.description)::text, 0))")
    }

    /// The same without waiting: false when somebody else has it.
    static func tryLock(_ tx: Transaction) throws -> Bool {
        try tx.first(
            Query(
                "SELECT pg_try_advisory_xact_lock(hashtextextended('analytics.fold ' || \(tx.caller.tenant.description)::text, 0)) AS is_ours",
                column: "is_ours")) ?? false
    }

    // MARK: - What waits

    private enum Source: String, CaseIterable, SQLDecodable { case event, pageView, fact }

    private struct Call: Sendable {
        let source: Source
        let ids: [UUID]
        let times: [Date]
    }

    private struct Picked {
        let ids: [UUID]
        let times: [Date]
        let first: Date
        let last: Date
    }

    private func take() throws -> [Call] {
        try tx.query(
            Query(
                """
                DELETE FROM rollup_queue WHERE tenant_id = \(tx.caller.tenant) AND position IN (
                    SELECT position FROM (
                        SELECT position, sum(cardinality(ids)) OVER (ORDER BY position) - cardinality(ids) AS before
                        FROM (SELECT position, ids FROM rollup_queue WHERE tenant_id = \(tx.caller.tenant)
                              ORDER BY position LIMIT \(Self.callsAtOnce)) AS oldest
                    ) AS counted WHERE before < \(most))
                RETURNING source, ids, times
                """
            ) { row in
                Call(source: try row("source"), ids: try row("ids"), times: try row("times"))
            })
    }

    // The LIMITs keep the planner from any other way than by the key, also in a month that has no statistics yet; the bounds let it leave out
    // all other months.

    private func events(_ picked: Picked) -> Query<Occurred> {
        Query(
            """
            SELECT e.occurred_at, e.user_id, e.session_id, e.is_bot, e.event_name, e.event_category, e.path, e.referrer_host,
                e.location->>'country' AS country, e.device_info->>'type' AS device, e.device_info->>'browser' AS browser,
                e.device_info->>'os' AS os
            FROM unnest(\(picked.ids), \(picked.times)) AS picked (id, time)
            CROSS JOIN LATERAL (SELECT * FROM analytics_events r WHERE r.tenant_id = \(tx.caller.tenant) AND r.occurred_at = picked.time
                AND r.id = picked.id AND r.occurred_at >= \(picked.first) AND r.occurred_at <= \(picked.last) LIMIT 1) e
            """
        ) { row in
            Occurred(
                isView: false, occurredAt: try row("occurred_at"), userID: try row("user_id"), sessionKey: try row("session_id"),
                isBot: try row("is_bot"), eventName: try row("event_name"), eventCategory: try row("event_category"), path: try row("path"),
                referrerHost: try row("referrer_host"), country: try row("country"), device: try row("device"),
                browser: try row("browser"), os: try row("os"), durationSeconds: nil, isBounce: false)
        }
    }

    private func pageViews(_ picked: Picked) -> Query<Occurred> {
        Query(
            """
            SELECT v.occurred_at, v.user_id, v.session_id, v.is_bot, v.path, v.referrer_host, v.location->>'country' AS country,
                v.device_info->>'type' AS device, v.device_info->>'browser' AS browser, v.device_info->>'os' AS os,
                v.duration_seconds, v.bounce
            FROM unnest(\(picked.ids), \(picked.times)) AS picked (id, time)
            CROSS JOIN LATERAL (SELECT * FROM page_views r WHERE r.tenant_id = \(tx.caller.tenant) AND r.occurred_at = picked.time
                AND r.id = picked.id AND r.occurred_at >= \(picked.first) AND r.occurred_at <= \(picked.last) LIMIT 1) v
            """
        ) { row in
            Occurred(
                isView: true, occurredAt: try row("occurred_at"), userID: try row("user_id"), sessionKey: try row("session_id"),
                isBot: try row("is_bot"), eventName: nil, eventCategory: nil, path: try row("path"),
                referrerHost: try row("referrer_host"), country: try row("country"), device: try row("device"),
                browser: try row("browser"), os: try row("os"), durationSeconds: try row("duration_seconds"), isBounce: try row("bounce"))
        }
    }

    private struct FactRow: Sendable {
        let kind: FactKind
        let occurredAt: Date
        let userID: UserID?
        let label: String?
        let amount: Int?
    }

    private func facts(_ picked: Picked) -> Query<FactRow> {
        Query(
            """
            SELECT f.kind, f.occurred_at, f.user_id, f.label, f.amount
            FROM unnest(\(picked.ids), \(picked.times)) AS picked (id, time)
            CROSS JOIN LATERAL (SELECT * FROM facts r WHERE r.tenant_id = \(tx.caller.tenant) AND r.occurred_at = picked.time
                AND r.event_id = picked.id AND r.occurred_at >= \(picked.first) AND r.occurred_at <= \(picked.last) LIMIT 1) f
            """
        ) { row in
            FactRow(
                kind: try row("kind"), occurredAt: try row("occurred_at"), userID: try row("user_id"), label: try row("label"),
                amount: try row("amount"))
        }
    }
}
