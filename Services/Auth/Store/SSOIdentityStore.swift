import Contracts
import Foundation
import Postgres

extension SSOIdentity.Origin: SQLBindable, SQLDecodable {}

/// Who people are elsewhere, and the accounts that these sign in to. All under the platform's tenant.
struct SSOIdentityStore {
    let tx: Transaction

    private static let columns: SQL = "id, issuer, subject, account_id, email, linked_by, created_at, last_used_at"

    private static func read(_ row: Row) throws -> SSOIdentity {
        SSOIdentity(
            id: try row("id"), issuer: try row("issuer"), subject: try row("subject"), account: try row("account_id"),
            email: try row("email"), origin: try row("linked_by"), createdAt: try row("created_at"), lastUsedAt: try row("last_used_at"))
    }

    static func find(_ assertion: SSOAssertion) -> Query<SSOIdentity> {
        Query(
            "SELECT \(fragment: columns) FROM identities WHERE issuer = \(assertion.issuer) AND subject = \(assertion.subject)", read)
    }

    static func list(of account: UserID) -> Query<SSOIdentity> {
        Query("SELECT \(fragment: columns) FROM identities WHERE account_id = \(account) ORDER BY created_at, id", read)
    }

    /// Nil when it has gone, or is another's.
    func lock(_ id: SSOIdentityID, of account: UserID) throws -> SSOIdentity? {
        try tx.first(
            Query(
                "SELECT \(fragment: Self.columns) FROM identities WHERE id = \(id) AND account_id = \(account) FOR UPDATE", Self.read))
    }

    func delete(_ id: SSOIdentityID) throws { try tx.execute("DELETE FROM identities WHERE id = \(id)") }

    /// The account that the identity belongs to afterwards: this one, or the one that was quicker.
    func link(_ assertion: SSOAssertion, to account: UserID, by origin: SSOIdentity.Origin) throws -> UserID {
        let id = SSOIdentityID.make(at: tx.now)
        let owner: UserID? = try tx.first(
            Query(
                """
                INSERT INTO identities (tenant_id, id, issuer, subject, account_id, email, linked_by, created_at, last_used_at)
                VALUES (\(tx.caller.tenant), \(id), \(assertion.issuer), \(assertion.subject), \(account),
                        \(assertion.email), \(origin), \(tx.now), \(tx.now))
                ON CONFLICT ON CONSTRAINT identities_subject DO UPDATE SET last_used_at = excluded.last_used_at, email = excluded.email
                RETURNING account_id
                """, column: "account_id"))
        return owner ?? account
    }

    // MARK: - Accounts

    /// An account without a password, whose address the issuer has verified. An id that was kept for the address becomes the account.
    /// Nil when somebody else was quicker.
    func makeAccount(_ id: UserID, _ email: EmailAddress) throws -> UserID? {
        try tx.first(
            Query(
                """
                INSERT INTO accounts (tenant_id, id, email, status, email_verified_at, created_at)
                VALUES (\(tx.caller.tenant), \(id), \(email), 'active', \(tx.now), \(tx.now))
                ON CONFLICT ON CONSTRAINT accounts_email DO UPDATE
                    SET status = 'active', email_verified_at = excluded.email_verified_at
                    WHERE accounts.status = 'reserved'
                RETURNING id
                """, column: "id"))
    }

    /// Takes back what `makeAccount` made for somebody whom users then refused: the id stays where an invitation keeps it.
    func unmakeAccount(_ id: UserID) throws {
        try tx.execute("DELETE FROM identities WHERE account_id = \(id)")
        try tx.execute("DELETE FROM accounts WHERE id = \(id) AND password_hash IS NULL AND reserved_at IS NULL")
        try tx.execute(
            """
            UPDATE accounts SET status = 'reserved', email_verified_at = NULL
            WHERE id = \(id) AND password_hash IS NULL AND reserved_at IS NOT NULL
            """)
    }

    /// Whether the account can be signed in to with a password; holds it, so that the last way in is not taken away twice at once.
    func lockPassword(of account: UserID) throws -> Bool? {
        try tx.first(
            Query("SELECT password_hash IS NOT NULL AS has_password FROM accounts WHERE id = \(account) FOR UPDATE", column: "has_password")
        )
    }
}
