import Contracts
import Foundation
import Postgres

/// Sign-ins through clients of one organization, and their refresh tokens.
struct AuthorizationStore {
    let tx: Transaction

    private static let columns: SQL = """
        id, client_id, account_id, code_expires_at, redirect_uri, scopes, nonce, challenge, browser_tenant, browser_session, methods,
        authenticated_at, address, user_agent, created_at, session_id, redeemed_at, expires_at
        """

    private static func read(_ row: Row) throws -> Authorization {
        let scopes: [String] = try row("scopes")
        return Authorization(
            id: try row("id"), client: try row("client_id"), account: try row("account_id"), codeExpiresAt: try row("code_expires_at"),
            redirectURI: try row("redirect_uri"), scopes: scopes.compactMap { OAuthScope($0) }, nonce: try row("nonce"),
            challenge: try row("challenge"),
            browser: Authorization.BrowserReference(tenant: try row("browser_tenant"), session: try row("browser_session")),
            methods: try row("methods"), authenticatedAt: try row("authenticated_at"), address: try row("address"),
            userAgent: try row("user_agent"), createdAt: try row("created_at"), session: try row("session_id"),
            redeemedAt: try row("redeemed_at"), expiresAt: try row("expires_at"))
    }

    func insert(_ authorization: Authorization, code: CarriedSecret) throws {
        try tx.execute(
            """
            INSERT INTO oauth_authorizations (tenant_id, id, client_id, account_id, code_digest, code_expires_at, redirect_uri, scopes,
                nonce, challenge, browser_tenant, browser_session, methods, authenticated_at, address, user_agent, created_at, expires_at)
            VALUES (\(tx.caller.tenant), \(authorization.id), \(authorization.client), \(authorization.account), \(code.digest),
                \(authorization.codeExpiresAt), \(authorization.redirectURI), \(authorization.scopes.texts), \(authorization.nonce),
                \(authorization.challenge), \(authorization.browser.tenant), \(authorization.browser.session), \(authorization.methods),
                \(authorization.authenticatedAt), \(authorization.address), \(authorization.userAgent), \(authorization.createdAt),
                \(authorization.expiresAt))
            """)
    }

    static func find(code: CarriedSecret) -> Query<Authorization> {
        Query(
            "SELECT \(fragment: columns) FROM oauth_authorizations WHERE id = \(code.id) AND code_digest = \(code.digest)", read)
    }

    static func find(_ id: AuthorizationID) -> Query<Authorization> {
        Query("SELECT \(fragment: columns) FROM oauth_authorizations WHERE id = \(id)", read)
    }

    static func find(session: SessionID) -> Query<Authorization> {
        Query("SELECT \(fragment: columns) FROM oauth_authorizations WHERE session_id = \(session)", read)
    }

    func lock(_ id: AuthorizationID) throws -> Authorization? {
        try tx.first(Query("SELECT \(fragment: Self.columns) FROM oauth_authorizations WHERE id = \(id) FOR UPDATE", Self.read))
    }

    func save(_ authorization: Authorization) throws {
        try tx.execute(
            """
            UPDATE oauth_authorizations SET session_id = \(authorization.session), redeemed_at = \(authorization.redeemedAt),
                expires_at = \(authorization.expiresAt)
            WHERE id = \(authorization.id)
            """)
    }

    /// Redeemed and not over: of a client, or of a client for one person.
    static func live(of client: ClientID, account: UserID?, at now: Date) -> Query<Authorization> {
        let person: SQL = account.map { "AND account_id = \($0)" } ?? .empty
        return Query(
            """
            SELECT \(fragment: columns) FROM oauth_authorizations
            WHERE client_id = \(client) \(fragment: person) AND session_id IS NOT NULL AND expires_at > \(now)
            """, read)
    }

    static func live(ofBrowser session: SessionID, at now: Date) -> Query<Authorization> {
        Query(
            """
            SELECT \(fragment: columns) FROM oauth_authorizations
            WHERE browser_session = \(session) AND session_id IS NOT NULL AND expires_at > \(now)
            """, read)
    }

    /// Codes that nobody has redeemed yet are worth nothing from now on.
    func spoilCodes(of client: ClientID, _ account: UserID) throws {
        try tx.execute(
            "DELETE FROM oauth_authorizations WHERE client_id = \(client) AND account_id = \(account) AND session_id IS NULL")
    }

    func spoilCode(_ id: AuthorizationID) throws {
        try tx.execute("DELETE FROM oauth_authorizations WHERE id = \(id) AND session_id IS NULL")
    }

    func spoilCodes(ofBrowser session: SessionID) throws {
        try tx.execute("DELETE FROM oauth_authorizations WHERE browser_session = \(session) AND session_id IS NULL")
    }
}

/// Refresh tokens of clients, as hashes.
struct ClientRefreshTokenStore {
    let tx: Transaction

    struct Held: Sendable {
        let authorization: AuthorizationID
        let expiresAt: Date
        let isSpent: Bool
    }

    static func find(_ token: CarriedSecret) -> Query<Held> {
        Query(
            """
            SELECT authorization_id, expires_at, used_at IS NOT NULL AS is_spent FROM oauth_refresh_tokens
            WHERE digest = \(token.digest) AND authorization_id = \(token.id)
            """
        ) { row in
            Held(authorization: try row("authorization_id"), expiresAt: try row("expires_at"), isSpent: try row("is_spent"))
        }
    }

    func insert(_ token: CarriedSecret, expiresAt: Date) throws {
        try tx.execute(
            """
            INSERT INTO oauth_refresh_tokens (tenant_id, digest, authorization_id, created_at, expires_at)
            VALUES (\(tx.caller.tenant), \(token.digest), \(token.id), \(tx.now), \(expiresAt))
            """)
    }

    /// False when it had been spent before.
    func spend(_ token: CarriedSecret) throws -> Bool {
        try tx.execute("UPDATE oauth_refresh_tokens SET used_at = \(tx.now) WHERE digest = \(token.digest) AND used_at IS NULL") == 1
    }
}

/// Browsers that are signed in to our own pages.
struct BrowserStore {
    let tx: Transaction

    struct Held: Sendable {
        let session: Session
        let tenants: [TenantID]
    }

    /// With its session, when neither is over.
    func find(_ cookie: CarriedSecret) throws -> Held? {
        let id = SessionID(cookie.id)
        let row = try tx.first(
            "SELECT tenants FROM browser_sessions WHERE session_id = \(id) AND digest = \(cookie.digest) AND expires_at > \(tx.now)")
        guard let row, let session = try tx.first(SessionStore.find(id)), session.isLive(at: tx.now) else { return nil }
        return Held(session: session, tenants: try row("tenants"))
    }

    func tenants(of session: SessionID) throws -> [TenantID] {
        try tx.first("SELECT tenants FROM browser_sessions WHERE session_id = \(session)")?("tenants") ?? []
    }

    func insert(_ cookie: CarriedSecret, expiresAt: Date) throws {
        try tx.execute(
            """
            INSERT INTO browser_sessions (tenant_id, session_id, digest, tenants, created_at, expires_at)
            VALUES (\(tx.caller.tenant), \(SessionID(cookie.id)), \(cookie.digest), \([TenantID]()), \(tx.now), \(expiresAt))
            """)
    }

    /// The browser has signed in to a client of this organization.
    static func noteVisit(_ session: SessionID, to tenant: TenantID) -> SQL {
        """
        UPDATE browser_sessions SET tenants = array_append(tenants, \(tenant.uuid))
        WHERE session_id = \(session) AND NOT (\(tenant.uuid) = ANY(tenants))
        """
    }

    func remove(_ session: SessionID) throws { try tx.execute("DELETE FROM browser_sessions WHERE session_id = \(session)") }
}

/// The platform's own work on what clients have left behind: its role sees nothing else.
struct PlatformOpenIDStore {
    let tx: Transaction

    /// Codes that nobody redeemed, sign-ins that are over, with their refresh tokens. Returns how many.
    func pruneAuthorizations(before: Date, limit: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM oauth_authorizations WHERE (tenant_id, id) IN
            (SELECT tenant_id, id FROM oauth_authorizations WHERE expires_at < \(before) LIMIT \(limit))
            """)
    }

    func pruneAssertions(before: Date, limit: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM oauth_assertions WHERE (tenant_id, client_id, digest) IN
            (SELECT tenant_id, client_id, digest FROM oauth_assertions WHERE expires_at < \(before) LIMIT \(limit))
            """)
    }
}

/// Whether a person has shown that the address is theirs.
enum EmailStanding {
    static func isVerified(_ account: UserID) -> Query<Bool> {
        Query("SELECT email_verified_at IS NOT NULL AS is_verified FROM accounts WHERE id = \(account)", column: "is_verified")
    }
}
