import Contracts
import Foundation
import Kafka
import Postgres

/// What the relays have seen of an outbox: everything committed before this snapshot, which leaves out the transactions under way then.
struct OutboxSnapshot: Sendable, Equatable {
    /// The first transaction that had not begun.
    let next: Int64
    /// Those before it that had not ended.
    let unfinished: [Int64]

    /// The text of `pg_snapshot`: `xmin:xmax:xip,xip`.
    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let next = Int64(parts[1]) else { return nil }
        self.next = next
        unfinished = parts[2].split(separator: ",").compactMap { Int64($0) }
    }
}

/// The outbox as the relays work it off: for all tenants, under the platform's role.
struct OutboxQueue {
    let tx: Transaction

    /// A lane with something that waits, and the first position of it that the question found.
    struct Found: Sendable, Equatable {
        let lane: Lane
        let first: Int64
    }

    /// The lanes of these shards in which something has been committed since `seen`, and what has been seen now. Costs what is new, however
    /// much waits and however many dead rows the table has.
    func news(since seen: OutboxSnapshot, shards: [Int32]) throws -> (found: [Found], seen: OutboxSnapshot?) {
        // The upper bound says nothing but that this is a range: the planner takes the index then, also without statistics.
        try answer(
            tx.query(
                """
                SELECT now.seen, n.tenant_id, n.shard, n.again, n.first FROM (SELECT pg_current_snapshot()::text AS seen) now LEFT JOIN \
                (SELECT tenant_id, shard, again, min(position) AS first FROM \
                (SELECT tenant_id, shard, again, position FROM outbox_waiting WHERE xid >= \(seen.next) AND xid < \(Int64.max) UNION ALL \
                SELECT tenant_id, shard, again, position FROM outbox_waiting WHERE xid = ANY(\(seen.unfinished))) w \
                WHERE shard = ANY(\(shards)) GROUP BY tenant_id, shard, again) n ON true
                """))
    }

    /// All lanes of these shards in which something waits: one step in the index for each lane, however much waits in it.
    func everything(shards: [Int32]) throws -> (found: [Found], seen: OutboxSnapshot?) {
        try answer(
            tx.query(
                """
                WITH RECURSIVE lanes AS ((SELECT tenant_id, shard, again, position FROM outbox_waiting \
                ORDER BY tenant_id, shard, again, position LIMIT 1) \
                UNION ALL SELECT n.tenant_id, n.shard, n.again, n.position FROM lanes l CROSS JOIN LATERAL \
                (SELECT w.tenant_id, w.shard, w.again, w.position FROM outbox_waiting w \
                WHERE (w.tenant_id, w.shard, w.again) > (l.tenant_id, l.shard, l.again) \
                ORDER BY w.tenant_id, w.shard, w.again, w.position LIMIT 1) n) \
                SELECT now.seen, n.tenant_id, n.shard, n.again, n.first FROM (SELECT pg_current_snapshot()::text AS seen) now LEFT JOIN \
                (SELECT tenant_id, shard, again, position AS first FROM lanes WHERE shard = ANY(\(shards))) n ON true
                """))
    }

    private func answer(_ rows: [Row]) throws -> (found: [Found], seen: OutboxSnapshot?) {
        var seen: OutboxSnapshot?
        var found: [Found] = []
        for row in rows {
            if seen == nil { seen = OutboxSnapshot(try row("seen")) }
            guard let tenant: TenantID = try row("tenant_id") else { break }
            found.append(Found(lane: Lane(tenant: tenant, shard: try row("shard"), again: try row("again")), first: try row("first")))
        }
        return (found, seen)
    }

    /// Marks as published. Without waiting for the disk: what a crash of the server brings back is published twice, as after any crash.
    func remove(_ events: [(lane: Lane, position: Int64)]) throws {
        try tx.execute("SELECT set_config('synchronous_commit', 'off', true)")
        try tx.execute(
            """
            DELETE FROM outbox_waiting w USING unnest(\(events.map(\.lane.tenant.uuid)), \(events.map(\.lane.shard)), \
            \(events.map(\.lane.again)), \(events.map(\.position))) AS sent (tenant, shard, again, position) \
            WHERE w.tenant_id = sent.tenant AND w.shard = sent.shard AND w.again = sent.again AND w.position = sent.position
            """)
    }

    /// How many wait, counted up to `most`, and for how long the oldest has. What waits to be published again does not count.
    func backlog(atMost most: Int) throws -> (depth: Int, oldestSeconds: Double) {
        let row = try tx.first(
            """
            SELECT (SELECT count(*) FROM (SELECT FROM outbox_waiting WHERE NOT again LIMIT \(most)) AS counted) AS depth, \
            COALESCE(EXTRACT(EPOCH FROM now() - (SELECT occurred_at FROM outbox_waiting WHERE NOT again ORDER BY xid LIMIT 1)), 0)::float8 \
            AS age
            """)
        guard let row else { return (0, 0) }
        let age: Double = try row("age")
        return (try row("depth"), max(0, age))
    }

    /// Tells the other relays of the service something, through the channel on which they listen.
    func tell(_ channel: String, _ message: String) throws {
        try tx.execute("SELECT pg_notify(\(channel), \(message))")
    }
}

// MARK: - Reading events

/// Events read together, as records for the brokers, in the order of their takes and, in each, of their positions.
struct OutboxParcel: Sendable {
    struct Item: Sendable {
        /// Which of the chunk's takes it belongs to.
        let take: Int
        let position: Int64
    }

    let chunk: RelaySchedule.Chunk
    var items: [Item] = []
    var records: [KafkaRecord] = []
    /// For each take where to go on, when there is or may be more in its lane.
    var continuations: [Int64?]
    /// Positions whose event is gone: nothing can be published for them.
    var orphans: [Item] = []

    init(_ chunk: RelaySchedule.Chunk) {
        self.chunk = chunk
        continuations = Array(repeating: nil, count: chunk.takes.count)
    }
}

extension OutboxQueue {
    /// The events of a chunk, up to the one that exceeds `bytes`.
    func read(_ chunk: RelaySchedule.Chunk, bytes: Int, source: String) throws -> OutboxParcel {
        let takes = chunk.takes
        // What is new of a key waits for what is to be published again of it, and for what has waited for that already.
        let behind: SQL =
            takes.contains(where: \.isBehindAgain)
            ? """
             AND (NOT t.behind OR (\
            NOT EXISTS (SELECT FROM outbox_waiting a WHERE a.again AND a.tenant_id = t.tenant AND a.key = w.key) \
            AND w.key <> ALL (ARRAY(SELECT DISTINCT h.key FROM outbox_waiting h WHERE h.tenant_id = t.tenant AND h.shard = t.shard \
            AND h.again = t.again AND h.position >= t.held AND h.position < t.start))))
            """ : .empty
        // The LIMITs keep the planner from any other way than by the keys, whatever it believes of the sizes.
        let rows = try tx.query(
            """
            SELECT n, at, id, tenant_id, topic, type, subject, actor, traceparent, occurred_at, \
            CASE WHEN before < \(bytes) THEN payload END AS payload FROM (\
            SELECT t.n, w.position AS at, o.*, COALESCE(sum(octet_length(o.payload)) \
            OVER (ORDER BY t.n, w.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before \
            FROM unnest(\(takes.map(\.lane.tenant.uuid)), \(takes.map(\.lane.shard)), \(takes.map(\.lane.again)), \
            \(takes.map(\.from)), \(takes.map(\.most)), \(takes.map(\.isBehindAgain)), \(takes.map { $0.heldFrom ?? $0.from })) \
            WITH ORDINALITY AS t (tenant, shard, again, start, most, behind, held, n) \
            CROSS JOIN LATERAL (SELECT w.position, w.occurred_at FROM outbox_waiting w WHERE w.tenant_id = t.tenant AND w.shard = t.shard \
            AND w.again = t.again AND w.position >= t.start\(fragment: behind) ORDER BY w.position LIMIT t.most) w \
            LEFT JOIN LATERAL (SELECT id, tenant_id, topic, type, subject, actor, traceparent, occurred_at, payload FROM outbox o \
            WHERE o.tenant_id = t.tenant AND o.position = w.position AND o.occurred_at = w.occurred_at LIMIT 1) o ON true) events \
            ORDER BY n, at
            """)
        return try parcel(chunk, rows, source)
    }

    private func parcel(_ chunk: RelaySchedule.Chunk, _ rows: [Row], _ source: String) throws -> OutboxParcel {
        var parcel = OutboxParcel(chunk)
        parcel.items.reserveCapacity(rows.count)
        parcel.records.reserveCapacity(rows.count)
        var taken = Array(repeating: 0, count: chunk.takes.count)
        for row in rows {
            let n: Int = try row("n")
            let item = OutboxParcel.Item(take: n - 1, position: try row("at"))
            // One after it was too much already: it goes on from there.
            if parcel.continuations[item.take] != nil { continue }
            guard let id: EventID = try row("id") else {
                parcel.orphans.append(item)
                continue
            }
            guard let payload: [UInt8] = try row("payload") else {
                parcel.continuations[item.take] = item.position
                continue
            }
            let envelope = EventEnvelope(
                id: id, source: source, type: try row("type"), subject: try row("subject"), time: try row("occurred_at"),
                tenant: try row("tenant_id"), actor: try row("actor"), traceparent: try row("traceparent"))
            parcel.items.append(item)
            parcel.records.append(CloudEvent.record(topic: try row("topic"), envelope: envelope, payload: payload))
            taken[item.take] += 1
            if taken[item.take] == chunk.takes[item.take].most { parcel.continuations[item.take] = item.position + 1 }
        }
        return parcel
    }
}
