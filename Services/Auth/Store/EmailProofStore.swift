import Contracts
import Foundation
import Postgres

extension EmailProof.Purpose: SQLBindable, SQLDecodable {}

/// Links and codes that were mailed, under the platform's own tenant; none of them can be read back.
struct EmailProofStore {
    let tx: Transaction

    private static let columns: SQL =
        "id, purpose, email, account_id, code_digest, wrong_passwords, expires_at, password_hash, registration"

    private static func read(_ row: Row) throws -> EmailProof {
        EmailProof(
            id: try row("id"), purpose: try row("purpose"), email: try row("email"), account: try row("account_id"),
            codeDigest: try row("code_digest"), wrongPasswords: try row("wrong_passwords"), expiresAt: try row("expires_at"),
            passwordHash: try row("password_hash"), registration: try row("registration"))
    }

    /// How many letters of a purpose were asked for, for this address, since then: also where nobody has it.
    func count(_ purpose: EmailProof.Purpose, _ email: EmailAddress, since: Date) throws -> Int {
        try tx.first(
            Query(
                "SELECT count(*) AS count FROM email_proofs WHERE email = \(email) AND purpose = \(purpose) AND created_at > \(since)",
                column: "count")) ?? 0
    }

    /// A later letter takes the place of the earlier ones.
    func replaceEarlier(_ purpose: EmailProof.Purpose, _ email: EmailAddress) throws {
        try tx.execute(
            "UPDATE email_proofs SET spent_at = \(tx.now) WHERE email = \(email) AND purpose = \(purpose) AND spent_at IS NULL")
    }

    func insert(_ proof: EmailProof, tokenDigest: Data) throws {
        try tx.execute(
            """
            INSERT INTO email_proofs (tenant_id, id, purpose, email, account_id, token_digest, code_digest, password_hash, registration,
                                      created_at, expires_at)
            VALUES (\(tx.caller.tenant), \(proof.id), \(proof.purpose), \(proof.email), \(proof.account), \(tokenDigest),
                    \(proof.codeDigest), \(proof.passwordHash), \(proof.registration), \(tx.now), \(proof.expiresAt))
            """)
    }

    /// The live one of a link. Nobody's has no link that anybody was told.
    static func find(tokenDigest: Data, at now: Date) -> Query<EmailProof> {
        Query(
            """
            SELECT \(fragment: columns) FROM email_proofs
            WHERE token_digest = \(tokenDigest) AND spent_at IS NULL AND expires_at > \(now)
            """, read)
    }

    /// The live ones of an address that may still be tried by code. Counts the try, whether the code is right or not.
    static func tryCode(_ purposes: [EmailProof.Purpose], _ email: EmailAddress, at now: Date) -> Query<EmailProof> {
        Query(
            """
            UPDATE email_proofs SET attempts = attempts + 1
            WHERE email = \(email) AND purpose = ANY(\(purposes.map(\.rawValue))::text[]) AND spent_at IS NULL AND expires_at > \(now)
                AND attempts < \(EmailProof.maximumAttempts)
            RETURNING \(fragment: columns)
            """, read)
    }

    /// A wrong password with a registration's link or code.
    static func countWrongPassword(_ id: UUID) -> SQL {
        "UPDATE email_proofs SET wrong_passwords = wrong_passwords + 1 WHERE id = \(id)"
    }

    /// The registrations that wait for this address, the latest first.
    func waitingRegistrations(_ email: EmailAddress) throws -> [EmailProof] {
        try tx.query(
            Query(
                """
                SELECT \(fragment: Self.columns) FROM email_proofs
                WHERE email = \(email) AND purpose = \(EmailProof.Purpose.register) AND spent_at IS NULL AND expires_at > \(tx.now)
                ORDER BY created_at DESC LIMIT \(EmailProof.maximumPerHour)
                """, Self.read))
    }

    /// False when it was spent before.
    func spend(_ id: UUID) throws -> Bool {
        try tx.execute("UPDATE email_proofs SET spent_at = \(tx.now) WHERE id = \(id) AND spent_at IS NULL AND expires_at > \(tx.now)") == 1
    }

    static func prune(before: Date, limit: Int) -> SQL {
        "DELETE FROM email_proofs WHERE id IN (SELECT id FROM email_proofs WHERE expires_at < \(before) LIMIT \(limit))"
    }
}
