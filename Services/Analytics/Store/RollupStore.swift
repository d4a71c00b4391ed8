import Contracts
import Foundation
import Postgres

/// The rows of `activity_rollups`, `fact_rollups`, `rollup_values` and `people`, as the fold writes them.
struct RollupStore {
    let tx: Transaction
    let bound: RollupBound

    /// Adds counts to their buckets, and merges the sketches into those that are there. The caller holds the organization's fold lock.
    func add(_ counted: [ActivityKey: ActivityCount]) throws {
        guard !counted.isEmpty else { return }
        let (counts, known) = try bounded(counted) { try sketches($0) }
        let keys = Array(counts.keys)
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

    func add(_ counted: [FactKey: FactCount]) throws {
        guard !counted.isEmpty else { return }
        let (counts, known) = try bounded(counted) { try sketches($0) }
        let keys = Array(counts.keys)
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

    // MARK: - The bound

    /// The counts with what is beyond the bound put together, and what is stored under their keys.
    ///
    /// Costs nothing while all values are known: what is stored is read anyway. New values cost one statement for all of a fold.
    private func bounded<Key: RollupKey, Stored>(
        _ counts: [Key: Key.Count], _ stored: ([Key]) throws -> [Key: Stored]
    ) throws -> (counts: [Key: Key.Count], known: [Key: Stored]) {
        let known = try stored(Array(counts.keys))
        var fresh: [DayValue: Int] = [:]
        for (key, count) in counts where key.unit == .day && known[key] == nil {
            if let value = key.dayValue { fresh[value] = count.weight }
        }
        guard !fresh.isEmpty else { return (counts, known) }
        let beyond = bound.beyond(fresh, taken: try takePlaces(fresh))
        guard !beyond.isEmpty else { return (counts, known) }
        let bounded = RollupBound.together(counts, beyond)
        let rest = bounded.keys.filter { known[$0] == nil && $0 == $0.rest }
        return (bounded, known.merging(try stored(Array(rest))) { old, _ in old })
    }

    /// Counts the new values, up to the bound; returns how many there were before.
    private func takePlaces(_ fresh: [DayValue: Int]) throws -> [DayDimension: Int] {
        let wanted = Dictionary(grouping: fresh.keys, by: \.place).mapValues(\.count)
        let places = Array(wanted.keys)
        let rows = try tx.query(
            Query(
                """
                WITH asked AS (
                    SELECT b.number, b.dimension, b.day, b.wanted, coalesce(v.taken, 0) AS taken
                    FROM unnest(\(places.map(\.dimension)), \(places.map(\.day)), \(places.map { wanted[$0] ?? 0 }))
                        WITH ORDINALITY AS b (dimension, day, wanted, number)
                    LEFT JOIN rollup_values v ON v.tenant_id = \(tx.caller.tenant) AND v.dimension = b.dimension AND v.day = b.day
                ), counted AS (
                    INSERT INTO rollup_values AS v (tenant_id, dimension, day, taken)
                    SELECT \(tx.caller.tenant), dimension, day, least(taken + wanted, \(bound.values)) FROM asked
                    WHERE taken < \(bound.values)
                    ON CONFLICT (tenant_id, dimension, day) DO UPDATE SET taken = excluded.taken
                )
                SELECT number, taken FROM asked WHERE taken > 0
                """
            ) { row in
                TakenPlaces(number: try row("number"), taken: try row("taken"))
            })
        return rows.reduce(into: [:]) { taken, row in taken[places[row.number - 1]] = row.taken }
    }

    private struct TakenPlaces: Sendable {
        let number: Int
        let taken: Int
    }

    // MARK: - Sketches that are there

    // Days without a sketch too: whether a value is known is told by its day.

    private func sketches(_ keys: [ActivityKey]) throws -> [ActivityKey: (users: Sketch, sessions: Sketch)] {
        let rows = try tx.query(
            Query(
                """
                SELECT b.number, r.users, r.sessions
                FROM unnest(\(keys.map(\.unit)), \(keys.map(\.dimension)), \(keys.map(\.bucket)), \(keys.map(\.value)))
                    WITH ORDINALITY AS b (unit, dimension, bucket, value, number)
                JOIN activity_rollups r ON r.tenant_id = \(tx.caller.tenant) AND r.unit = b.unit AND r.dimension = b.dimension
                    AND r.bucket = b.bucket AND r.value = b.value
                WHERE r.users IS NOT NULL OR r.sessions IS NOT NULL OR r.unit = 'day'
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
                WHERE r.users IS NOT NULL OR r.unit = 'day'
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
