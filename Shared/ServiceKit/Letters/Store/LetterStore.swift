import Contracts
import Foundation
import Postgres

/// Letters that notifications has not taken yet.
struct LetterStore {
    let tx: Transaction

    struct Waiting: Sendable {
        let tenant: TenantID
        let id: UUID
        let sealed: Data
        let attempts: Int
    }

    func insert(_ id: UUID, sealed: Data) throws {
        try tx.execute(
            """
            INSERT INTO letters (tenant_id, id, sealed, created_at, next_attempt_at)
            VALUES (\(tx.caller.tenant), \(id), \(sealed), \(tx.now), \(tx.now))
            """)
    }

    /// The oldest that are due, which nobody else takes until `lease`. Through the platform's door.
    func take(at now: Date, lease: Date, limit: Int) throws -> [Waiting] {
        try tx.query(
            Query(
                """
                UPDATE letters SET next_attempt_at = \(lease), attempts = attempts + 1
                WHERE (tenant_id, id) IN (
                    SELECT tenant_id, id FROM letters WHERE next_attempt_at <= \(now)
                    ORDER BY next_attempt_at LIMIT \(limit) FOR UPDATE SKIP LOCKED)
                RETURNING tenant_id, id, sealed, attempts
                """
            ) { row in
                Waiting(tenant: try row("tenant_id"), id: try row("id"), sealed: try row("sealed"), attempts: try row("attempts"))
            })
    }

    func remove(_ letter: Waiting) throws {
        try tx.execute("DELETE FROM letters WHERE tenant_id = \(letter.tenant) AND id = \(letter.id)")
    }

    func postpone(_ letter: Waiting, until: Date) throws {
        try tx.execute("UPDATE letters SET next_attempt_at = \(until) WHERE tenant_id = \(letter.tenant) AND id = \(letter.id)")
    }
}
