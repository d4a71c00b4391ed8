import Contracts
import Foundation
import Postgres

/// The source's database, as the ledger reads it.
struct ProducedStore {
    let tx: Transaction

    /// All that was ever committed: a key at 7 has announced 7 events.
    func counters() throws -> [EntryKey: Int64] {
        let rows = try tx.query(
            Query("SELECT tenant_id, subject, last FROM counters") { row in
                (EntryKey(tenant: try row("tenant_id"), subject: try row("subject")), try row("last") as Int64)
            })
        return Dictionary(uniqueKeysWithValues: rows)
    }

    func produced() throws -> Int64 {
        try tx.first(Query("SELECT COALESCE(sum(last), 0)::bigint AS produced FROM counters", column: "produced")) ?? 0
    }

    /// What the relay has still to publish, and of that what has never been published.
    func waiting() throws -> (all: Int64, first: Int64) {
        let row = try tx.first(
            Query("SELECT count(*) AS waiting, count(*) FILTER (WHERE NOT again) AS first FROM outbox_waiting") { row in
                (all: try row("waiting") as Int64, first: try row("first") as Int64)
            })
        return row ?? (0, 0)
    }

    func announced() throws -> Int64 { try tx.first(Query("SELECT count(*) AS count FROM outbox", column: "count")) ?? 0 }
}

/// The sink's database, as the ledger reads it.
struct HandledStore {
    let tx: Transaction

    func handled() throws -> Int64 {
        try tx.first(Query("SELECT COALESCE(sum(handled), 0)::bigint AS handled FROM marks", column: "handled")) ?? 0
    }

    /// The last number of each key that took effect.
    func marks() throws -> [EntryKey: Int64] {
        let rows = try tx.query(
            Query("SELECT tenant_id, subject, last FROM marks") { row in
                (EntryKey(tenant: try row("tenant_id"), subject: try row("subject")), try row("last") as Int64)
            })
        return Dictionary(uniqueKeysWithValues: rows)
    }

    func effects() throws -> [EntryKey: KeyEffects] {
        let rows = try tx.query(
            Query(
                """
                SELECT tenant_id, subject, count(*) AS effects, count(DISTINCT number) AS numbers, max(number) AS highest, \
                min(number) AS lowest, count(*) FILTER (WHERE number <= previous) AS disordered FROM effects GROUP BY tenant_id, subject
                """
            ) { row in
                (
                    EntryKey(tenant: try row("tenant_id"), subject: try row("subject")),
                    KeyEffects(
                        effects: try row("effects"), numbers: try row("numbers"), lowest: try row("lowest"), highest: try row("highest"),
                        disordered: try row("disordered"))
                )
            })
        return Dictionary(uniqueKeysWithValues: rows)
    }

    /// The first few effects that came after one with a higher number of their key, as sentences.
    func disorders(atMost most: Int) throws -> [String] {
        try tx.query(
            Query(
                """
                SELECT subject, number, previous, produced_at, applied_at FROM effects WHERE number <= previous \
                ORDER BY applied_at LIMIT \(Int32(most))
                """
            ) { row in
                let (subject, number, previous) = (try row("subject") as String, try row("number") as Int64, try row("previous") as Int64)
                let (produced, applied) = (try row("produced_at") as Date, try row("applied_at") as Date)
                return
                    "\(subject) number \(number), of \(Timestamp.text(produced)), took effect \(Timestamp.text(applied)), after \(previous)"
            })
    }

    /// Which of these numbers of a key took effect.
    func effected(_ key: EntryKey, of numbers: Set<Int64>) throws -> Set<Int64> {
        Set(
            try tx.query(
                Query(
                    """
                    SELECT number FROM effects WHERE tenant_id = \(key.tenant) AND subject = \(key.subject) \
                    AND number = ANY(\(numbers.sorted()))
                    """, column: "number")))
    }

    /// How long after a moment the last of what had been produced by then took effect; 0 when all of it had already.
    func caughtUp(after moment: Date) throws -> Double {
        try tx.first(
            Query(
                """
                SELECT GREATEST(0, EXTRACT(EPOCH FROM COALESCE(max(applied_at), \(moment)) - \(moment)))::float8 AS seconds \
                FROM effects WHERE produced_at <= \(moment)
                """, column: "seconds")) ?? 0
    }

    /// Seconds from the production of an event to its effect: the median, the 99th of a hundred, the longest.
    func delays() throws -> [Double] {
        let row = try tx.first(
            Query(
                """
                SELECT COALESCE(percentile_cont(0.5) WITHIN GROUP (ORDER BY delay), 0)::float8 AS half, \
                COALESCE(percentile_cont(0.99) WITHIN GROUP (ORDER BY delay), 0)::float8 AS most, \
                COALESCE(max(delay), 0)::float8 AS longest \
                FROM (SELECT EXTRACT(EPOCH FROM applied_at - produced_at)::float8 AS delay FROM effects) AS delays
                """
            ) { row in [try row("half") as Double, try row("most") as Double, try row("longest") as Double] })
        return row ?? [0, 0, 0]
    }
}
