import Contracts
import Postgres

/// The rows of `facts`.
struct FactStore {
    let tx: Transaction

    /// A fact that is known already stays as it was; a new one waits for the roll-ups. It does not name who has objected to it.
    func add(_ fact: Fact) throws {
        let counted = fact.counted
        try tx.execute(
            """
            WITH added AS (
                INSERT INTO facts (tenant_id, occurred_at, event_id, kind, subject, user_id, label, amount, details)
                SELECT \(tx.caller.tenant), \(fact.occurredAt), \(fact.id), \(counted.kind)::text,
                    CASE WHEN o.user_id::text = \(fact.subject) THEN '' ELSE \(fact.subject)::text END,
                    CASE WHEN o.user_id IS NULL THEN who.user_id END, \(counted.label as String?)::text, \(counted.amount as Int?)::bigint,
                    \(counted.details.map(JSONB.init) as JSONB<[String: JSONValue]>?)::jsonb
                FROM (SELECT \(counted.person as UserID?)::uuid AS user_id) AS who
                LEFT JOIN objections o ON o.tenant_id = \(tx.caller.tenant) AND o.user_id = who.user_id AND o.returned_at IS NULL
                ON CONFLICT (tenant_id, occurred_at, event_id) DO NOTHING
                RETURNING event_id, occurred_at
            )
            INSERT INTO rollup_queue (tenant_id, source, ids, times)
            SELECT \(tx.caller.tenant), 'fact', ARRAY[event_id], ARRAY[occurred_at] FROM added
            """)
    }
}

extension FactKind: SQLBindable, SQLDecodable {}
