import Contracts
import Foundation
import Postgres

/// Sessions of one organization.
struct SessionStore {
    let tx: Transaction

    private static let columns: SQL = "id, account_id, methods, address, user_agent, created_at, last_used_at, expires_at, revoked_at"

    private static func read(_ row: Row) throws -> Session {
        Session(
            id: try row("id"), account: try row("account_id"), methods: try row("methods"), address: try row("address"),
            userAgent: try row("user_agent"), createdAt: try row("created_at"), lastUsedAt: try row("last_used_at"),
            expiresAt: try row("expires_at"), revokedAt: try row("revoked_at"))
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
            INSERT INTO sessions (tenant_id, id, account_id, methods, address, user_agent, created_at, last_used_at, expires_at)
            VALUES (\(tx.caller.tenant), \(session.id), \(session.account), \(session.methods), \(session.address), \(session.userAgent),
                    \(session.createdAt), \(session.lastUsedAt), \(session.expiresAt))
            """)
    }

    func save(_ session: Session) throws {
        try tx.execute(
            """
            UPDATE sessions SET last_used_at = \(session.lastUsedAt), expires_at = \(session.expiresAt),
                revoked_at = \(session.revokedAt), revocation_reason = COALESCE(\(session.endReason?.rawValue)::text, revocation_reason)
            WHERE id = \(session.id)
            """)
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
