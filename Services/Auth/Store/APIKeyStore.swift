import Contracts
import Foundation
import Postgres

/// API keys of one organization, as hashes.
struct APIKeyStore {
    let tx: Transaction

    private static let columns: SQL =
        "id, owner_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at, version"

    private static func read(_ row: Row) throws -> APIKey {
        let scopes: [String] = try row("scopes")
        return APIKey(
            id: try row("id"), owner: try row("owner_id"), name: try row("name"), prefix: try row("prefix"),
            scopes: scopes.compactMap { Permission($0) }, createdAt: try row("created_at"), expiresAt: try row("expires_at"),
            lastUsedAt: try row("last_used_at"), revokedAt: try row("revoked_at"), version: try row("version"))
    }

    // MARK: - Reading

    /// The key that a text is, whether it is still good or not.
    static func find(_ secret: APIKeySecret) -> Query<APIKey> {
        Query("SELECT \(fragment: columns) FROM api_keys WHERE digest = \(secret.digest)", read)
    }

    /// Keys that are not revoked, of one person or of all.
    static func page(of owner: UserID?, after cursor: (Date, UUID)?, limit: Int) -> Query<APIKey> {
        var conditions: [SQL] = ["revoked_at IS NULL"]
        if let owner { conditions.append("owner_id = \(owner)") }
        if let (time, id) = cursor { conditions.append("(created_at, id) < (\(time), \(id))") }
        return Query(
            """
            SELECT \(fragment: columns) FROM api_keys WHERE \(fragment: conditions.joined(separator: " AND "))
            ORDER BY created_at DESC, id DESC LIMIT \(limit)
            """, read)
    }

    static func find(_ id: APIKeyID) -> Query<APIKey> {
        Query("SELECT \(fragment: columns) FROM api_keys WHERE id = \(id) AND revoked_at IS NULL", read)
    }

    // MARK: - Writing

    func lock(_ id: APIKeyID) throws -> APIKey? {
        try tx.first(Query("SELECT \(fragment: Self.columns) FROM api_keys WHERE id = \(id) AND revoked_at IS NULL FOR UPDATE", Self.read))
    }

    /// How many good keys somebody has; until the transaction ends nobody else counts or adds one of theirs.
    func count(of owner: UserID) throws -> Int {
        try tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('api-keys ' || \(owner.description), 0))")
        let count = Query<Int>(
            """
            SELECT count(*) AS count FROM api_keys
            WHERE owner_id = \(owner) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > \(tx.now))
            """, column: "count")
        return try tx.first(count) ?? 0
    }

    func insert(_ key: APIKey, _ secret: APIKeySecret) throws {
        try tx.execute(
            """
            INSERT INTO api_keys (tenant_id, id, owner_id, name, prefix, digest, scopes, created_at, expires_at)
            VALUES (\(tx.caller.tenant), \(key.id), \(key.owner), \(key.name), \(key.prefix), \(secret.digest),
                    \(key.scopes.map(\.description)), \(key.createdAt), \(key.expiresAt))
            """)
    }

    func save(_ key: APIKey) throws {
        try tx.execute(
            """
            UPDATE api_keys SET name = \(key.name), version = \(key.version), revoked_at = \(key.revokedAt),
                revocation_reason = \(key.endReason?.rawValue)
            WHERE id = \(key.id)
            """)
    }

    /// Written once a minute at most, however often the key is used.
    static func noteUse(_ id: APIKeyID, at now: Date) -> SQL {
        """
        UPDATE api_keys SET last_used_at = \(now)
        WHERE id = \(id) AND (last_used_at IS NULL OR last_used_at < \(now.addingTimeInterval(-60)))
        """
    }

    /// Ends all keys of a person, or of everybody, and returns those that were not ended before.
    func revokeAll(of owner: UserID?, _ reason: APIKey.EndReason, madeUntil: Date) throws -> [(id: APIKeyID, owner: UserID)] {
        let condition: SQL = owner.map { " AND owner_id = \($0)" } ?? .empty
        return try tx.query(
            """
            UPDATE api_keys SET revoked_at = \(tx.now), revocation_reason = \(reason.rawValue), version = version + 1
            WHERE revoked_at IS NULL AND created_at <= \(madeUntil)\(fragment: condition) RETURNING id, owner_id
            """
        ).map { (try $0("id"), try $0("owner_id")) }
    }
}

/// The platform's own view of keys: whose they are, and nothing else.
struct PlatformAPIKeyStore {
    let tx: Transaction

    /// The organizations in which a person has keys that are not revoked.
    func tenants(of owner: UserID) throws -> [TenantID] {
        try tx.query(
            Query("SELECT DISTINCT tenant_id FROM api_keys WHERE owner_id = \(owner) AND revoked_at IS NULL", column: "tenant_id"))
    }
}
