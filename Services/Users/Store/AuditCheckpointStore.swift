import AuditChain
import Contracts
import Foundation
import Postgres

/// The signed statements on the log of the caller's organization.
struct AuditCheckpointStore {
    let tx: Transaction

    private static let columns: SQL = "tenant_id, sequence, kind, hash, signed_at, key_id, signature"

    private static func read(_ row: Row) throws -> Checkpoint {
        let kind: String = try row("kind")
        return Checkpoint(
            kind: Checkpoint.Kind(rawValue: kind) ?? .checkpoint, organizationId: try row("tenant_id"), sequence: try row("sequence"),
            hash: try row("hash"), signedAt: try row("signed_at"), keyId: try row("key_id"), signature: try row("signature"))
    }

    /// Adds it, and notes how far the log is vouched for. What is there already stays as it is.
    func add(_ checkpoint: Checkpoint) throws {
        try tx.execute(
            """
            INSERT INTO audit_checkpoints (tenant_id, sequence, kind, hash, signed_at, key_id, signature)
            VALUES (\(tx.caller.tenant), \(checkpoint.sequence), \(checkpoint.kind.rawValue), \(checkpoint.hash), \(checkpoint.signedAt),
                \(checkpoint.keyId), \(checkpoint.signature))
            ON CONFLICT DO NOTHING
            """)
        guard checkpoint.kind == .checkpoint else { return }
        try tx.execute(
            """
            UPDATE audit_heads SET signed_sequence = \(checkpoint.sequence)
            WHERE tenant_id = \(tx.caller.tenant) AND signed_sequence < \(checkpoint.sequence)
            """)
    }

    /// In the order of what they vouch for.
    static func run(after sequence: Int, through last: Int, limit: Int) -> Query<Checkpoint> {
        Query(
            """
            SELECT \(fragment: columns) FROM audit_checkpoints WHERE kind = 'checkpoint' AND sequence > \(sequence) AND sequence <= \(last)
            ORDER BY sequence LIMIT \(limit)
            """, read)
    }

    static func at(_ sequence: Int) -> Query<Checkpoint> {
        Query("SELECT \(fragment: columns) FROM audit_checkpoints WHERE kind = 'checkpoint' AND sequence = \(sequence)", read)
    }

    static var last: Query<Checkpoint> {
        Query("SELECT \(fragment: columns) FROM audit_checkpoints WHERE kind = 'checkpoint' ORDER BY sequence DESC LIMIT 1", read)
    }

    /// Up to where the log was removed because of its age.
    static var pruned: Query<Checkpoint> {
        Query("SELECT \(fragment: columns) FROM audit_checkpoints WHERE kind = 'pruned' ORDER BY sequence DESC LIMIT 1", read)
    }
}

/// All logs, under the platform's role: which have come further than what vouches for them, and which reach back too far.
struct AuditLogsOfAll {
    let tx: Transaction

    /// Logs that have no checkpoint at their end.
    func unsigned(limit: Int, after tenant: TenantID?) throws -> [TenantID] {
        let rest: SQL = tenant.map { " AND tenant_id > \($0)" } ?? .empty
        return try tx.query(
            Query(
                """
                SELECT tenant_id FROM audit_heads WHERE sequence > signed_sequence\(fragment: rest) ORDER BY tenant_id LIMIT \(limit)
                """, column: "tenant_id"))
    }

    struct Outdated: Sendable {
        let tenant: TenantID
        let sequence: Int
        let hash: ChainHash
    }

    /// For each log, the last entry that is older than what is kept.
    func outdated(before time: Date, limit: Int) throws -> [Outdated] {
        try tx.query(
            Query(
                """
                SELECT DISTINCT ON (tenant_id) tenant_id, sequence, hash FROM audit_logs WHERE recorded_at < \(time)
                ORDER BY tenant_id, sequence DESC LIMIT \(limit)
                """
            ) { row in
                let hash: Data = try row("hash")
                return Outdated(tenant: try row("tenant_id"), sequence: try row("sequence"), hash: ChainHash(hash) ?? .none)
            })
    }

    /// Removes some of the entries up to and with a sequence; returns how many.
    func remove(_ tenant: TenantID, through sequence: Int, before time: Date, limit: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM audit_logs WHERE tenant_id = \(tenant) AND sequence <= \(sequence) AND recorded_at < \(time) AND sequence IN
                (SELECT sequence FROM audit_logs WHERE tenant_id = \(tenant) AND sequence <= \(sequence) ORDER BY sequence LIMIT \(limit))
            """)
    }
}
