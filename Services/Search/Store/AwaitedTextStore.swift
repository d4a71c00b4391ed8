import Contracts
import Foundation
import Postgres

/// The rows of texts that are still to be asked for. Each is written in the transaction that takes its document in, so none is forgotten.
struct AwaitedTextStore {
    let tx: Transaction

    init(_ tx: Transaction) { self.tx = tx }

    /// Asks for the text, also when it was asked for before.
    func add(_ id: DocumentID, version: Int) throws {
        try tx.execute(
            """
            INSERT INTO awaited_texts (tenant_id, id, version, attempts, due_at)
            VALUES (\(tx.caller.tenant), \(id), \(version), 0, \(tx.now))
            ON CONFLICT (tenant_id, id) DO UPDATE SET version = excluded.version, attempts = 0, due_at = excluded.due_at
            """)
    }

    /// Asks for the texts of those that have none.
    func addMissing(among ids: [DocumentID]) throws {
        try tx.execute(
            """
            INSERT INTO awaited_texts (tenant_id, id, version, attempts, due_at)
            SELECT tenant_id, id, version, 0, \(tx.now) FROM documents
            WHERE id = ANY (\(ids)) AND searchable AND type = \(DocumentType.file) AND body = '' ORDER BY id
            ON CONFLICT (tenant_id, id) DO UPDATE SET attempts = 0, due_at = excluded.due_at
            """)
    }

    func remove(_ id: DocumentID) throws {
        try tx.execute("DELETE FROM awaited_texts WHERE id = \(id)")
    }

    /// The next organization after this one that has a text to ask for; organizations take turns. Runs as the platform.
    static func tenantInTurn(after tenant: TenantID, at now: Date) -> Query<TenantID> {
        Query(
            """
            SELECT tenant_id FROM awaited_texts WHERE tenant_id > \(tenant) AND due_at <= \(now) ORDER BY tenant_id LIMIT 1
            """, column: "tenant_id")
    }

    /// One that is due, put off for as long as asking may take. Nil when others are at all of them.
    func take() throws -> AwaitedText? {
        try tx.first(
            Query(
                """
                UPDATE awaited_texts SET attempts = attempts + 1, due_at = \(tx.now.addingTimeInterval(AwaitedText.lease))
                WHERE id = (
                    SELECT id FROM awaited_texts WHERE due_at <= \(tx.now) ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING id, version, attempts
                """
            ) { row in AwaitedText(id: try row("id"), version: try row("version"), attempts: try row("attempts")) })
    }

    /// Unless it was asked for anew meanwhile.
    func postpone(_ awaited: AwaitedText) throws {
        try tx.execute(
            """
            UPDATE awaited_texts SET due_at = \(tx.now.addingTimeInterval(awaited.pause))
            WHERE id = \(awaited.id) AND attempts = \(awaited.attempts)
            """)
    }
}
