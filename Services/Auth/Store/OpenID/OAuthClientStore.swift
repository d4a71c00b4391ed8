import Contracts
import Foundation
import Postgres

extension OAuthClient.Kind: SQLBindable, SQLDecodable {}

/// OAuth clients of one organization.
struct OAuthClientStore {
    let tx: Transaction

    private static let columns: SQL = """
        tenant_id, id, name, kind, secret_digest, key_set, redirect_uris, post_logout_redirect_uris, grant_types, scopes, created_by,
        created_at, updated_at, version
        """

    private static func read(_ row: Row) throws -> OAuthClient {
        let redirects: [String] = try row("redirect_uris"), afterLogout: [String] = try row("post_logout_redirect_uris")
        let grantTypes: [String] = try row("grant_types"), scopes: [String] = try row("scopes")
        let keySet: JSONB<JSONValue>? = try row("key_set")
        let name: String = try row("name")
        return OAuthClient(
            tenant: try row("tenant_id"), id: try row("id"), kind: try row("kind"),
            terms: OAuthClient.Terms(
                name: Name(checked: name), redirectURIs: redirects.map(RedirectAddress.init(checked:)),
                postLogoutRedirectURIs: afterLogout.map(RedirectAddress.init(checked:)),
                grantTypes: grantTypes.compactMap(OAuthClient.GrantType.init(rawValue:)), scopes: scopes.compactMap { OAuthScope($0) },
                keySet: keySet?.value),
            secretDigest: try row("secret_digest"), createdBy: try row("created_by"), createdAt: try row("created_at"),
            updatedAt: try row("updated_at"), version: try row("version"))
    }

    static func find(_ id: ClientID) -> Query<OAuthClient> {
        Query("SELECT \(fragment: columns) FROM oauth_clients WHERE id = \(id)", read)
    }

    func lock(_ id: ClientID) throws -> OAuthClient? {
        try tx.first(Query("SELECT \(fragment: Self.columns) FROM oauth_clients WHERE id = \(id) FOR UPDATE", Self.read))
    }

    /// The newest first, one more than the limit.
    static func list(before: (Date, UUID)?, limit: Int) -> Query<OAuthClient> {
        let rest: SQL = before.map { "WHERE (created_at, id) < (\($0.0), \($0.1))" } ?? .empty
        return Query(
            "SELECT \(fragment: columns) FROM oauth_clients \(fragment: rest) ORDER BY created_at DESC, id DESC LIMIT \(limit + 1)", read)
    }

    func count() throws -> Int { try tx.first("SELECT count(*) AS clients FROM oauth_clients")?("clients") ?? 0 }

    func insert(_ client: OAuthClient) throws {
        try tx.execute(
            """
            INSERT INTO oauth_clients (tenant_id, id, name, kind, secret_digest, key_set, redirect_uris, post_logout_redirect_uris,
                grant_types, scopes, created_by, created_at, updated_at, version)
            VALUES (\(tx.caller.tenant), \(client.id), \(client.name), \(client.kind), \(client.secretDigest),
                \(client.keySet.map { JSONB($0) }), \(client.redirectURIs.map(\.rawValue)), \(client.postLogoutRedirectURIs.map(\.rawValue)),
                \(client.grantTypes.map(\.rawValue)), \(client.scopes.texts), \(client.createdBy), \(client.createdAt),
                \(client.updatedAt), \(client.version))
            """)
    }

    func save(_ client: OAuthClient) throws {
        try tx.execute(
            """
            UPDATE oauth_clients SET name = \(client.name), secret_digest = \(client.secretDigest),
                key_set = \(client.keySet.map { JSONB($0) }), redirect_uris = \(client.redirectURIs.map(\.rawValue)),
                post_logout_redirect_uris = \(client.postLogoutRedirectURIs.map(\.rawValue)),
                grant_types = \(client.grantTypes.map(\.rawValue)), scopes = \(client.scopes.texts), updated_at = \(client.updatedAt),
                version = \(client.version)
            WHERE id = \(client.id)
            """)
    }

    func remove(_ id: ClientID) throws { try tx.execute("DELETE FROM oauth_clients WHERE id = \(id)") }

    /// Takes an assertion's id. False when it was used before.
    static func takeAssertion(_ digest: Data, of client: OAuthClient, until: Date) -> SQL {
        """
        INSERT INTO oauth_assertions (tenant_id, client_id, digest, expires_at) VALUES (\(client.tenant), \(client.id), \(digest), \(until))
        ON CONFLICT DO NOTHING
        """
    }
}

/// What people have allowed clients, in one organization.
struct GrantStore {
    let tx: Transaction

    /// What this person has allowed this client so far.
    static func scopes(of account: UserID, for client: ClientID) -> Query<[OAuthScope]> {
        Query("SELECT scopes FROM oauth_grants WHERE account_id = \(account) AND client_id = \(client)") { row in
            let scopes: [String] = try row("scopes")
            return scopes.compactMap { OAuthScope($0) }
        }
    }

    /// Adds what is allowed now to what was allowed before.
    func allow(_ scopes: [OAuthScope], _ account: UserID, _ client: ClientID) throws {
        try tx.execute(
            """
            INSERT INTO oauth_grants AS known (tenant_id, id, account_id, client_id, scopes, created_at, last_used_at)
            VALUES (\(tx.caller.tenant), \(GrantID.make(at: tx.now)), \(account), \(client), \(scopes.texts), \(tx.now), \(tx.now))
            ON CONFLICT ON CONSTRAINT oauth_grants_one DO UPDATE SET last_used_at = excluded.last_used_at,
                scopes = (SELECT array_agg(DISTINCT scope) FROM unnest(known.scopes || excluded.scopes) AS scope)
            """)
    }

    func noteUse(_ account: UserID, _ client: ClientID) throws {
        try tx.execute("UPDATE oauth_grants SET last_used_at = \(tx.now) WHERE account_id = \(account) AND client_id = \(client)")
    }

    /// The latest used first. A person has as many at most as the organization has clients.
    static func list(of account: UserID) -> Query<Grant> {
        Query(
            """
            SELECT g.id, g.client_id, c.name, g.scopes, g.created_at, g.last_used_at
            FROM oauth_grants g JOIN oauth_clients c ON c.tenant_id = g.tenant_id AND c.id = g.client_id
            WHERE g.account_id = \(account) ORDER BY g.last_used_at DESC, g.id LIMIT \(OAuthClient.maximumCount)
            """
        ) { row in
            let scopes: [String] = try row("scopes")
            return Grant(
                id: try row("id"), client: try row("client_id"), clientName: try row("name"), scopes: scopes.compactMap { OAuthScope($0) },
                createdAt: try row("created_at"), lastUsedAt: try row("last_used_at"))
        }
    }

    /// Removes it and says whose client it was for; nil when this person has no such grant.
    func remove(_ id: GrantID, of account: UserID) throws -> ClientID? {
        try tx.first("DELETE FROM oauth_grants WHERE id = \(id) AND account_id = \(account) RETURNING client_id")?("client_id")
    }
}
