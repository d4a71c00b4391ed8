import Contracts
import Foundation
import Postgres

/// Sessions of one organization.
struct SessionStore {
    let tx: Transaction

    fileprivate static let columns: SQL =
        """
        id, account_id, methods, address, user_agent, device, risk, created_at, authenticated_at, ends_at, last_used_at, expires_at,
        revoked_at, impersonator_id, impersonation_reason, begun_at
        """

    fileprivate static func read(_ row: Row) throws -> Session {
        Session(
            id: try row("id"), account: try row("account_id"), methods: try row("methods"), address: try row("address"),
            userAgent: try row("user_agent"), device: try row("device"), risk: try row("risk"), createdAt: try row("created_at"),
            begunAt: try row("begun_at"), authenticatedAt: try row("authenticated_at"), endsAt: try row("ends_at"),
            lastUsedAt: try row("last_used_at"),
            expiresAt: try row("expires_at"), revokedAt: try row("revoked_at"), impersonation: try impersonation(row))
    }

    private static func impersonation(_ row: Row) throws -> Impersonation? {
        guard let impersonator: UserID = try row("impersonator_id") else { return nil }
        return Impersonation(impersonator: impersonator, reason: try row("impersonation_reason"))
    }

    static func find(_ id: SessionID) -> Query<Session> {
        Query("SELECT \(fragment: columns) FROM sessions WHERE id = \(id)", read)
    }

    func lock(_ id: SessionID) throws -> Session? {
        try tx.first(Query("SELECT \(fragment: Self.columns) FROM sessions WHERE id = \(id) FOR UPDATE", Self.read))
    }

    func insert(_ session: Session) throws {
        try tx.execute(
            """
            INSERT INTO sessions (tenant_id, id, account_id, methods, address, user_agent, device, risk, created_at, authenticated_at,
                                  ends_at, last_used_at, expires_at, impersonator_id, impersonation_reason, begun_at)
            VALUES (\(tx.caller.tenant), \(session.id), \(session.account), \(session.methods), \(session.address), \(session.userAgent),
                    \(session.device), \(session.risk), \(session.createdAt), \(session.authenticatedAt), \(session.endsAt),
                    \(session.lastUsedAt), \(session.expiresAt), \(session.impersonation?.impersonator),
                    \(session.impersonation?.reason), \(session.begunAt))
            """)
    }

    func save(_ session: Session) throws {
        try tx.execute(
            """
            UPDATE sessions SET methods = \(session.methods), authenticated_at = \(session.authenticatedAt),
                last_used_at = \(session.lastUsedAt), expires_at = \(session.expiresAt), revoked_at = \(session.revokedAt),
                revocation_reason = COALESCE(\(session.endReason?.rawValue)::text, revocation_reason)
            WHERE id = \(session.id)
            """)
    }

    /// The live ones of one person, begun before then, but the one kept.
    func lockLive(of account: UserID, before: Date, except kept: SessionID?) throws -> [Session] {
        let exception: SQL = kept.map { " AND id <> \($0)" } ?? .empty
        return try tx.query(
            Query(
                """
                SELECT \(fragment: Self.columns) FROM sessions
                WHERE account_id = \(account) AND revoked_at IS NULL AND expires_at > \(tx.now)
                    AND COALESCE(begun_at, created_at) <= \(before)\(fragment: exception)
                ORDER BY id FOR UPDATE
                """, Self.read))
    }

    /// The person has shown their password in it when they changed it: it counts as begun right after that, and what is made from it too.
    func beginAnew(_ id: SessionID, after change: Date) throws {
        let begunAt = change.addingTimeInterval(0.001)
        try tx.execute("UPDATE sessions SET begun_at = \(begunAt) WHERE id = \(id) AND COALESCE(begun_at, created_at) <= \(change)")
    }

    static func markPublished(_ ids: [SessionID], at now: Date) -> SQL {
        "UPDATE sessions SET revocation_published_at = \(now) WHERE id = ANY(\(ids))"
    }

    static func markPublished(_ id: SessionID, at now: Date) -> SQL {
        "UPDATE sessions SET revocation_published_at = \(now) WHERE id = \(id)"
    }
}

/// The platform's own work on the sessions of all organizations: its role sees nothing else.
struct PlatformSessionStore {
    let tx: Transaction

    struct Ended: Sendable {
        let tenant: TenantID
        let id: SessionID
        let revokedAt: Date
    }

    struct Placed: Sendable {
        let tenant: TenantID
        let session: Session
    }

    /// The live sessions of one person in all organizations, or in one, the latest first.
    func live(of account: UserID, in tenant: TenantID?, after: (Date, UUID)?, limit: Int) throws -> [Placed] {
        let place: SQL = tenant.map { " AND tenant_id = \($0)" } ?? .empty
        let position: SQL = after.map { " AND (created_at, id) < (\($0.0), \($0.1))" } ?? .empty
        return try tx.query(
            Query(
                """
                SELECT tenant_id, \(fragment: SessionStore.columns) FROM sessions
                WHERE account_id = \(account) AND revoked_at IS NULL AND expires_at > \(tx.now)\(fragment: place)\(fragment: position)
                ORDER BY created_at DESC, id DESC LIMIT \(limit)
                """
            ) { row in
                Placed(tenant: try row("tenant_id"), session: try SessionStore.read(row))
            })
    }

    /// The organization of one of a person's live sessions.
    func tenant(of id: SessionID, of account: UserID) throws -> TenantID? {
        try tx.first(
            Query(
                """
                SELECT tenant_id FROM sessions
                WHERE id = \(id) AND account_id = \(account) AND revoked_at IS NULL AND expires_at > \(tx.now)
                """, column: "tenant_id"))
    }

    /// The organizations in which a person has live sessions.
    func tenants(of account: UserID) throws -> [TenantID] {
        try tx.query(
            Query(
                "SELECT DISTINCT tenant_id FROM sessions WHERE account_id = \(account) AND revoked_at IS NULL AND expires_at > \(tx.now)",
                column: "tenant_id"))
    }

    /// The ranges of addresses are made of these: where an account was used from lately, in whatever organization.
    func addresses(of account: UserID, since: Date) throws -> [String] {
        try tx.query(
            Query(
                """
                SELECT DISTINCT address FROM sessions
                WHERE account_id = \(account) AND address IS NOT NULL AND (created_at > \(since) OR last_used_at > \(since)) LIMIT 100
                """, column: "address"))
    }

    /// Ended sessions that not every program has been told of.
    func unpublished(limit: Int) throws -> [Ended] {
        try tx.query(
            Query(
                """
                SELECT tenant_id, id, revoked_at FROM sessions
                WHERE revoked_at IS NOT NULL AND revocation_published_at IS NULL ORDER BY revoked_at LIMIT \(limit)
                """
            ) { row in
                Ended(tenant: try row("tenant_id"), id: try row("id"), revokedAt: try row("revoked_at"))
            })
    }

    func markPublished(_ ids: [SessionID]) throws {
        try tx.execute("UPDATE sessions SET revocation_published_at = \(tx.now) WHERE id = ANY(\(ids))")
    }

    /// Sessions that ended long ago, with their refresh tokens. Returns how many.
    func prune(before: Date, limit: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM sessions WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM sessions WHERE expires_at < \(before) LIMIT \(limit))
            """)
    }
}

/// Refresh tokens of one organization, as hashes.
struct RefreshTokenStore {
    let tx: Transaction

    struct Held: Sendable {
        let session: SessionID
        let expiresAt: Date
        let isSpent: Bool
    }

    static func find(_ token: RefreshToken) -> Query<Held> {
        Query(
            """
            SELECT session_id, expires_at, used_at IS NOT NULL AS is_spent FROM refresh_tokens
            WHERE digest = \(token.digest) AND session_id = \(token.session)
            """
        ) { row in
            Held(session: try row("session_id"), expiresAt: try row("expires_at"), isSpent: try row("is_spent"))
        }
    }

    func insert(_ token: RefreshToken, expiresAt: Date) throws {
        try tx.execute(
            """
            INSERT INTO refresh_tokens (tenant_id, digest, session_id, created_at, expires_at)
            VALUES (\(tx.caller.tenant), \(token.digest), \(token.session), \(tx.now), \(expiresAt))
            """)
    }

    /// False when it had been spent before.
    func spend(_ token: RefreshToken) throws -> Bool {
        try tx.execute("UPDATE refresh_tokens SET used_at = \(tx.now) WHERE digest = \(token.digest) AND used_at IS NULL") == 1
    }
}
