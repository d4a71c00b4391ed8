import Contracts
import Foundation
import Postgres

/// A row of the outbox that is not published yet.
struct OutboxRow: Sendable {
    let position: Int64
    let topic: String
    let envelope: EventEnvelope
    let payload: [UInt8]

    init(_ row: Row, source: String) throws {
        position = try row("position")
        topic = try row("topic")
        payload = try row("payload")
        envelope = EventEnvelope(
            id: try row("id"), source: source, type: try row("type"), subject: try row("subject"), time: try row("occurred_at"),
            tenant: try row("tenant_id"), actor: try row("actor"), traceparent: try row("traceparent"))
    }
}

/// The outbox as its service writes it.
struct OutboxStore {
    let tx: Transaction

    /// One statement, whatever the number of events.
    func add(_ events: [(envelope: EventEnvelope, topic: Topic, payload: [UInt8])]) throws {
        try tx.insert(
            into: "outbox",
            columns: ["id", "tenant_id", "topic", "type", "subject", "actor", "traceparent", "occurred_at", "payload"],
            rows: events.map { event in
                let envelope = event.envelope
                return [
                    envelope.id, envelope.tenant, event.topic.name, envelope.type, envelope.subject, envelope.actor, envelope.traceparent,
                    envelope.time, Data(event.payload),
                ]
            })
    }
}

/// The outbox as the relay works it off: for all tenants, under the platform's role.
struct OutboxQueue {
    let tx: Transaction

    /// Takes or prolongs the lease. False when another relay holds it. The database's clock decides, as it is one for all replicas.
    func lease(_ holder: UUID, for length: Duration) throws -> Bool {
        let row = try tx.first(
            """
            INSERT INTO outbox_lease (holder, expires_at) VALUES (\(holder), now() + make_interval(secs => \(length.seconds))) \
            ON CONFLICT (tenant_id) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at \
            WHERE outbox_lease.holder = excluded.holder OR outbox_lease.expires_at < now() RETURNING holder
            """)
        return row != nil
    }

    func release(_ holder: UUID) throws {
        try tx.execute("DELETE FROM outbox_lease WHERE holder = \(holder)")
    }

    /// The oldest that are not published, up to the one that exceeds `bytes`.
    func unsent(_ most: Int, bytes: Int, source: String) throws -> [OutboxRow] {
        try tx.query(
            """
            SELECT position, id, tenant_id, topic, type, subject, actor, traceparent, occurred_at, payload FROM \
            (SELECT position, id, tenant_id, topic, type, subject, actor, traceparent, occurred_at, payload, \
            sum(octet_length(payload)) OVER (ORDER BY position) - octet_length(payload) AS before FROM outbox \
            WHERE sent_at IS NULL ORDER BY position LIMIT \(most)) AS oldest \
            WHERE before < \(bytes) ORDER BY position
            """
        ).map { try OutboxRow($0, source: source) }
    }

    func markSent(_ positions: [Int64]) throws {
        try tx.execute("UPDATE outbox SET sent_at = now() WHERE position = ANY(\(positions)) AND sent_at IS NULL")
    }

    /// How many wait, and for how long the oldest has.
    func backlog() throws -> (depth: Int, oldestSeconds: Double) {
        let row = try tx.first(
            """
            SELECT count(*) AS depth, COALESCE(EXTRACT(EPOCH FROM now() - min(occurred_at)), 0)::float8 AS age \
            FROM outbox WHERE sent_at IS NULL
            """)
        guard let row else { return (0, 0) }
        return (try row("depth"), try row("age"))
    }

    /// Deletes some of those sent longer ago than `age`; returns how many.
    func prune(olderThan age: Duration, most: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM outbox WHERE position IN \
            (SELECT position FROM outbox WHERE sent_at < now() - make_interval(secs => \(age.seconds)) LIMIT \(most))
            """)
    }

    /// Makes those that were announced since then wait again; returns how many.
    func republish(since time: Date) throws -> Int {
        try tx.execute("UPDATE outbox SET sent_at = NULL WHERE occurred_at >= \(time) AND sent_at IS NOT NULL")
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
