import Contracts
import Postgres

/// What a consumer has handled already.
struct InboxStore {
    let tx: Transaction

    /// Those of the events that are claimed for the first time, whichever way they are ordered. While another transaction holds one of them
    /// unfinished, this waits for its end; the order of the ids keeps two that claim the same from waiting for each other.
    func claim(_ events: [EventID], by consumer: String) throws -> Set<EventID> {
        Set(
            try tx.query(
                Query(
                    """
                    INSERT INTO inbox (tenant_id, consumer, event_id) \
                    SELECT \(tx.caller.tenant), \(consumer)::text, id FROM unnest(\(events.map(\.uuid))) AS id ORDER BY id \
                    ON CONFLICT DO NOTHING RETURNING event_id
                    """, column: "event_id")))
    }
}

/// The inbox for all tenants, under the platform's role.
struct InboxPruning {
    let tx: Transaction

    /// Forgets some events handled longer ago than `age`; returns how many.
    func prune(olderThan age: Duration, most: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM inbox WHERE (tenant_id, consumer, event_id) IN (SELECT tenant_id, consumer, event_id FROM inbox \
            WHERE handled_at < now() - make_interval(secs => \(age.seconds)) LIMIT \(most))
            """)
    }

    /// Forgets all that a consumer has handled, so that a replay takes effect; returns how many events.
    func forget(_ consumer: String) throws -> Int {
        try tx.execute("DELETE FROM inbox WHERE consumer = \(consumer)")
    }
}
