import Contracts
import Postgres

/// The rows of `facts`.
struct FactStore {
    let tx: Transaction

    /// A fact that is known already stays as it was.
    func add(_ fact: Fact) throws {
        try tx.execute(
            """
            INSERT INTO facts (tenant_id, event_id, kind, subject, user_id, occurred_at)
            VALUES (\(tx.caller.tenant), \(fact.id), \(fact.kind), \(fact.subject), \(fact.userID as UserID?), \(fact.occurredAt))
            ON CONFLICT (tenant_id, event_id) DO NOTHING
            """)
    }
}

extension FactKind: SQLBindable, SQLDecodable {}
