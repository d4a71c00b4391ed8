import Contracts
import Foundation
import Postgres

/// The source's state.
struct CounterStore {
    let tx: Transaction

    /// Gives the key its next numbers; returns the last of them. Whoever else counts the same key waits for this transaction.
    func advance(_ subject: String, by count: Int64) throws -> Int64 {
        let last: Int64? = try tx.first(
            Query(
                """
                INSERT INTO counters (tenant_id, subject, last) VALUES (\(tx.caller.tenant), \(subject), \(count)) \
                ON CONFLICT (tenant_id, subject) DO UPDATE SET last = counters.last + excluded.last RETURNING last
                """, column: "last"))
        guard let last else { throw DrillFailure("the counter of \(subject) did not answer") }
        return last
    }
}

/// What took effect in the sink.
struct EffectStore {
    let tx: Transaction

    func keep(_ event: EntryAdded, producedAt: Date) throws {
        let previous: Int64? = try tx.first(
            Query(
                "SELECT last FROM marks WHERE tenant_id = \(tx.caller.tenant) AND subject = \(event.subject) FOR UPDATE", column: "last"))
        try tx.execute(
            """
            WITH mark AS (INSERT INTO marks (tenant_id, subject, last, handled) \
            VALUES (\(tx.caller.tenant), \(event.subject), \(event.number), 1) \
            ON CONFLICT (tenant_id, subject) DO UPDATE SET last = excluded.last, handled = marks.handled + 1) \
            INSERT INTO effects (tenant_id, subject, number, previous, produced_at) \
            VALUES (\(tx.caller.tenant), \(event.subject), \(event.number), \(previous ?? 0), \(producedAt))
            """)
    }
}
