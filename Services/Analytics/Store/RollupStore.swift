import Contracts
import Foundation
import Postgres

/// The rows of `activity_rollups`, `fact_rollups` and `people`, as the fold writes them.
struct RollupStore {
    let tx: Transaction

    /// Adds counts to their buckets, and merges the sketches into those that are there. The caller holds the organization's fold lock.
    func add(_ counts: [ActivityKey: ActivityCount]) throws {
        guard !counts.isEmpty else { return }
        let keys = Array(counts.keys)
        let known = try sketches(keys)
        var users: [[UInt8]?] = [], sessions: [[UInt8]?] = []
        let columns = keys.map { counts[$0] ?? ActivityCount() }
        for (key, count) in zip(keys, columns) {
            let stored = known[key]
            users.append(Self.merged(count.users, stored?.users))
            sessions.append(Self.merged(count.sessions, stored?.sessions))
        }
        try tx.execute(
            """
            INSERT INTO activity_rollups AS r (tenant_id, unit, dimension, bucket, value, events, page_views, bots, bounces, duration_seconds,
                timed_views, users, sessions)
            SELECT \(tx.caller.tenant), b.* FROM unnest(\(keys.map(\.unit)), \(keys.map(\.dimension)), \(keys.map(\.bucket)),
                \(keys.map(\.value)), \(columns.map(\.events)), \(columns.map(\.pageViews)), \(columns.map(\.bots)),
                \(columns.map(\.bounces)), \(columns.map(\.durationSeconds)), \(columns.map(\.timedViews)),
                \(users.map { $0.map { Data($0) } }), \(sessions.map { $0.map { Data($0) } })) AS b
            ON CONFLICT (tenant_id, unit, dimension, bucket, value) DO UPDATE SET
                events = r.events + excluded.events, page_views = r.page_views + excluded.page_views, bots = r.bots + excluded.bots,
                bounces = r.bounces + excluded.bounces, duration_seconds = r.duration_seconds + excluded.duration_seconds,
                timed_views = r.timed_views + excluded.timed_views, users = coalesce(excluded.users, r.users),
                sessions = coalesce(excluded.sessions, r.sessions)
            """)
    }

    func add(_ counts: [FactKey: FactCount]) throws {
        guard !counts.isEmpty else { return }
        let keys = Array(counts.keys)
        let known = try sketches(keys)
        let columns = keys.map { counts[$0] ?? FactCount() }
        let users = zip(keys, columns).map { Self.merged($1.users, known[$0]) }
        try tx.execute(
            """
            INSERT INTO fact_rollups AS r (tenant_id, unit, kind, bucket, label, facts, amount, users)
            SELECT \(tx.caller.tenant), b.* FROM unnest(\(keys.map(\.unit)), \(keys.map(\.kind)), \(keys.map(\.bucket)),
                \(keys.map(\.label)), \(columns.map(\.facts)), \(columns.map(\.amount)), \(users.map { $0.map { Data($0) } })) AS b
            ON CONFLICT (tenant_id, unit, kind, bucket, label) DO UPDATE SET
                facts = r.facts + excluded.facts, amount = r.amount + excluded.amount, users = coalesce(excluded.users, r.users)
            """)
    }

    /// A late event may be somebody's first.
    func add(firstSeen: [UserID: Date]) throws {
        guard !firstSeen.isEmpty else { return }
        let people = Array(firstSeen.keys)
        try tx.execute(
            """
            INSERT INTO people AS p (tenant_id, user_id, first_seen_at)
            SELECT \(tx.caller.tenant), b.* FROM unnest(\(people), \(people.map { firstSeen[$0] ?? tx.now })) AS b
            ON CONFLICT (tenant_id, user_id) DO UPDATE SET first_seen_at = excluded.first_seen_at
            WHERE excluded.first_seen_at < p.first_seen_at
            """)
    }

    // MARK: - Sketches that are there

    private func sketches(_ keys: [ActivityKey]) throws -> [ActivityKey: (users: Sketch, sessions: Sketch)] {
        let rows = try tx.query(
            Query(
                """
                SELECT b.number, r.users, r.sessions
                FROM unnest(\(keys.map(\.unit)), \(keys.map(\.dimension)), \(keys.map(\.bucket)), \(keys.map(\.value)))
                    WITH ORDINALITY AS b (unit, dimension, bucket, value, number)
                JOIN activity_rollups r ON r.tenant_id = \(tx.caller.tenant) AND r.unit = b.unit AND r.dimension = b.dimension
                    AND r.bucket = b.bucket AND r.value = b.value
                WHERE r.users IS NOT NULL OR r.sessions IS NOT NULL
                """
            ) { row in
                StoredSketches(number: try row("number"), users: try row("users"), sessions: try row("sessions"))
            })
        return rows.reduce(into: [:]) { known, row in
            known[keys[row.number - 1]] = (Self.sketch(row.users), Self.sketch(row.sessions))
        }
    }

    private func sketches(_ keys: [FactKey]) throws -> [FactKey: Sketch] {
        let rows = try tx.query(
            Query(
                """
                SELECT b.number, r.users, NULL::bytea AS sessions
                FROM unnest(\(keys.map(\.unit)), \(keys.map(\.kind)), \(keys.map(\.bucket)), \(keys.map(\.label)))
                    WITH ORDINALITY AS b (unit, kind, bucket, label, number)
                JOIN fact_rollups r ON r.tenant_id = \(tx.caller.tenant) AND r.unit = b.unit AND r.kind = b.kind
                    AND r.bucket = b.bucket AND r.label = b.label
                WHERE r.users IS NOT NULL
                """
            ) { row in
                StoredSketches(number: try row("number"), users: try row("users"), sessions: try row("sessions"))
            })
        return rows.reduce(into: [:]) { known, row in known[keys[row.number - 1]] = Self.sketch(row.users) }
    }

    private struct StoredSketches: Sendable {
        let number: Int
        let users: [UInt8]?
        let sessions: [UInt8]?
    }

    private static func sketch(_ bytes: [UInt8]?) -> Sketch { bytes.flatMap { Sketch(bytes: $0) } ?? Sketch() }

    /// Nil when there is nothing new: what is stored stays.
    private static func merged(_ fresh: Sketch, _ stored: Sketch?) -> [UInt8]? {
        guard !fresh.isEmpty else { return nil }
        guard var sketch = stored else { return fresh.bytes }
        sketch.merge(fresh)
        return sketch.bytes
    }
}

extension RollupUnit: SQLBindable, SQLDecodable {}
extension RollupDimension: SQLBindable, SQLDecodable {}
