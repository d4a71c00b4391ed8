import Contracts
import Foundation
import Postgres

/// The rows of `tenant_keys`: data keys as they lie, wrapped by the master key.
enum TenantKeyStore {
    struct Wrapped: Sendable {
        let version: Int
        let bytes: Data
    }

    /// The newest, which seals new content.
    static let current: Query<Wrapped> = Query("SELECT version, wrapped FROM tenant_keys ORDER BY version DESC LIMIT 1") { row in
        Wrapped(version: try row("version"), bytes: try row("wrapped"))
    }

    /// Keeps the key unless another request was quicker, and gives the one that is kept.
    static func add(_ key: Wrapped, in tx: Transaction) throws -> Wrapped {
        try tx.execute(
            """
            INSERT INTO tenant_keys (tenant_id, version, wrapped, created_at)
            VALUES (\(tx.caller.tenant), \(key.version), \(key.bytes), \(tx.now))
            ON CONFLICT (tenant_id, version) DO NOTHING
            """)
        return try tx.first(current) ?? key
    }
}
