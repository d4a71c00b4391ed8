import Contracts
import Foundation
import Postgres

extension DomainName: SQLBindable, SQLDecodable {}
extension ClientText: SQLBindable, SQLDecodable {}
extension JoiningRole: SQLBindable, SQLDecodable {}
extension WebOrigin: SQLBindable, SQLDecodable {}
extension SSOPreset: SQLBindable, SQLDecodable {}
extension SSOConnection.Kind: SQLBindable {}

/// Connections of one organization.
struct SSOConnectionStore {
    let tx: Transaction

    private static let columns: SQL = """
        id, name, preset, issuer, client_id, domains, default_role, joins, enforced, enabled, return_origins, last_used_at, created_at,
        updated_at, version
        """

    private static func read(_ row: Row) throws -> SSOConnection {
        let settings = SSOConnection.Settings(
            name: try row("name"), preset: try row("preset"), issuer: try row("issuer"), clientID: try row("client_id"),
            domains: try row("domains"), defaultRole: try row("default_role"), joins: try row("joins"), enforced: try row("enforced"),
            enabled: try row("enabled"), returnOrigins: try row("return_origins"))
        return SSOConnection(
            id: try row("id"), settings: settings, lastUsedAt: try row("last_used_at"), createdAt: try row("created_at"),
            updatedAt: try row("updated_at"), version: try row("version"))
    }

    static func find(_ id: SSOConnectionID) -> Query<SSOConnection> {
        Query("SELECT \(fragment: columns) FROM sso_connections WHERE id = \(id)", read)
    }

    /// Newest first.
    static func list(after place: (Date, UUID)?, limit: Int) -> Query<SSOConnection> {
        let condition: SQL = place.map { "WHERE (created_at, id) < (\($0.0), \($0.1))" } ?? .empty
        return Query(
            "SELECT \(fragment: columns) FROM sso_connections \(fragment: condition) ORDER BY created_at DESC, id DESC LIMIT \(limit)", read
        )
    }

    func lock(_ id: SSOConnectionID) throws -> SSOConnection {
        let found = try tx.first(Query("SELECT \(fragment: Self.columns) FROM sso_connections WHERE id = \(id) FOR UPDATE", Self.read))
        guard let found else { throw SSOFailure.connectionNotFound }
        return found
    }

    func count() throws -> Int { try tx.first(Query("SELECT count(*) AS count FROM sso_connections", column: "count")) ?? 0 }

    func insert(_ connection: SSOConnection, sealedSecret: Data) throws {
        let settings = connection.settings
        try tx.execute(
            """
            INSERT INTO sso_connections (
                tenant_id, id, name, kind, preset, issuer, client_id, client_secret, domains, default_role, joins, enforced, enabled,
                return_origins, created_at, updated_at, version)
            VALUES (
                \(tx.caller.tenant), \(connection.id), \(settings.name), \(connection.kind), \(settings.preset), \(settings.issuer),
                \(settings.clientID), \(sealedSecret), \(settings.domains)::text[], \(settings.defaultRole), \(settings.joins),
                \(settings.enforced), \(settings.enabled), \(settings.returnOrigins)::text[], \(connection.createdAt),
                \(connection.updatedAt), \(connection.version))
            """)
    }

    /// - Parameter sealedSecret: nil keeps the one there is.
    func save(_ connection: SSOConnection, sealedSecret: Data?) throws {
        let settings = connection.settings
        try tx.execute(
            """
            UPDATE sso_connections SET
                name = \(settings.name), kind = \(connection.kind), preset = \(settings.preset), issuer = \(settings.issuer),
                client_id = \(settings.clientID), client_secret = COALESCE(\(sealedSecret)::bytea, client_secret),
                domains = \(settings.domains)::text[], default_role = \(settings.defaultRole), joins = \(settings.joins),
                enforced = \(settings.enforced), enabled = \(settings.enabled), return_origins = \(settings.returnOrigins)::text[],
                last_used_at = \(connection.lastUsedAt), updated_at = \(connection.updatedAt), version = \(connection.version)
            WHERE id = \(connection.id)
            """)
    }

    func delete(_ id: SSOConnectionID) throws { try tx.execute("DELETE FROM sso_connections WHERE id = \(id)") }

    /// As it was sealed.
    static func secret(of id: SSOConnectionID) -> Query<Data> {
        Query("SELECT client_secret FROM sso_connections WHERE id = \(id)", column: "client_secret")
    }

    /// The one that people of a domain sign in with: the enforced one before others, the oldest before later ones.
    static func serving(_ domain: DomainName) -> Query<SSOConnection> {
        Query(
            """
            SELECT \(fragment: columns) FROM sso_connections WHERE enabled AND domains @> ARRAY[\(domain)::text]
            ORDER BY enforced DESC, created_at, id LIMIT 1
            """, read)
    }

    func noteUse(_ id: SSOConnectionID) throws { try tx.execute("UPDATE sso_connections SET last_used_at = \(tx.now) WHERE id = \(id)") }
}

/// What is asked before any organization is known: the platform's role sees where connections are, and nothing that is secret.
struct PlatformSSOStore {
    let tx: Transaction

    func tenant(of id: SSOConnectionID) throws -> TenantID? {
        try tx.first(Query("SELECT tenant_id FROM sso_connections WHERE id = \(id) AND enabled", column: "tenant_id"))
    }

    /// Whether any organization says that it is for this domain. Most domains nobody speaks of, and need no question to users.
    func isSpokenFor(_ domain: DomainName) throws -> Bool {
        let text: SQL = "SELECT EXISTS (SELECT FROM sso_connections WHERE enabled AND domains @> ARRAY[\(domain)::text]) AS spoken"
        return try tx.first(Query(text, column: "spoken")) ?? false
    }
}
