import Contracts
import Foundation
import Postgres

extension PendingSignIn.Demand: SQLBindable, SQLDecodable {}

/// Sign-ins that wait for a second factor. One that was begun before the password was changed is none any more.
struct PendingSignInStore {
    let tx: Transaction

    private static let columns: SQL =
        """
        p.id, p.account_id, p.organization_id, p.methods, p.demand, p.risk, COALESCE(p.begun_at, p.created_at) AS begun_at, p.ends_at,
        p.expires_at
        """

    private static let isGood: SQL = """
        a.id = p.account_id AND (a.sign_ins_void_until IS NULL OR COALESCE(p.begun_at, p.created_at) > a.sign_ins_void_until)
        """

    private static func read(_ row: Row) throws -> PendingSignIn {
        PendingSignIn(
            id: try row("id"), account: try row("account_id"), organization: try row("organization_id"), methods: try row("methods"),
            demand: try row("demand"), risk: try row("risk"),
            origin: SessionOrigin(begunAt: try row("begun_at"), endsAt: try row("ends_at")), expiresAt: try row("expires_at"))
    }

    func insert(_ pending: PendingSignIn, digest: Data) throws {
        try tx.execute(
            """
            INSERT INTO pending_sign_ins (tenant_id, digest, id, account_id, organization_id, methods, demand, risk, created_at, expires_at,
                                          begun_at, ends_at)
            VALUES (\(tx.caller.tenant), \(digest), \(pending.id), \(pending.account), \(pending.organization), \(pending.methods),
                    \(pending.demand), \(pending.risk), \(tx.now), \(pending.expiresAt),
                    \(pending.origin.begunAt), \(pending.origin.endsAt))
            """)
    }

    /// Nil when it is unknown, expired, spent or was tried too often.
    static func find(_ digest: Data, now: Date, attempts: Int) -> Query<PendingSignIn> {
        Query(
            """
            SELECT \(fragment: columns) FROM pending_sign_ins p JOIN accounts a ON \(fragment: isGood)
            WHERE p.digest = \(digest) AND p.used_at IS NULL AND p.expires_at > \(now) AND p.attempts < \(attempts)
            """, read)
    }

    /// Counts one more try, and keeps others from trying at the same time. Nil as `find` is.
    func attempt(_ digest: Data, limit: Int) throws -> PendingSignIn? {
        try tx.first(
            Query(
                """
                UPDATE pending_sign_ins AS p SET attempts = p.attempts + 1 FROM accounts a
                WHERE \(fragment: Self.isGood)
                    AND p.digest = \(digest) AND p.used_at IS NULL AND p.expires_at > \(tx.now) AND p.attempts < \(limit)
                RETURNING \(fragment: Self.columns)
                """, Self.read))
    }

    func spend(_ digest: Data) throws {
        try tx.execute("UPDATE pending_sign_ins SET used_at = \(tx.now) WHERE digest = \(digest)")
    }

    func spendAll(of account: UserID) throws {
        try tx.execute("UPDATE pending_sign_ins SET used_at = \(tx.now) WHERE account_id = \(account) AND used_at IS NULL")
    }

    static func prune(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM pending_sign_ins WHERE digest IN
        (SELECT digest FROM pending_sign_ins WHERE expires_at < \(before) LIMIT \(limit))
        """
    }
}
