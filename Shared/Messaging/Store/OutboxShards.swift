import Contracts
import Foundation
import Postgres

/// Which relays of the service live, and which of them works on which shard of the keys. The database's clock decides, as it is one
/// for all.
struct OutboxShards {
    /// Into how many parts an outbox is divided. A constant of the migration: an event's shard is `hashtext(subject) & 15`.
    static let count = 16

    let tx: Transaction

    struct Standing: Sendable, Equatable {
        /// Relays that live, this one among them.
        let relays: Int
        let mine: [Int32]
        /// Held by nobody who lives.
        let free: [Int32]

        /// How many shards a relay works on when all have their part.
        var share: Int { (OutboxShards.count + relays - 1) / max(1, relays) }
    }

    /// Says that this relay lives, and until when that holds.
    func renew(_ holder: UUID, for length: Duration) throws -> Standing {
        try tx.execute("SELECT set_config('synchronous_commit', 'off', true)")
        try tx.execute(
            """
            INSERT INTO outbox_relays (holder, expires_at) \
            VALUES (\(holder), clock_timestamp() + make_interval(secs => \(length.seconds))) \
            ON CONFLICT (tenant_id, holder) DO UPDATE SET expires_at = excluded.expires_at
            """)
        let rows = try tx.query(
            """
            SELECT s.shard, COALESCE(s.holder = \(holder), false) AS mine, r.holder IS NULL AS free, \
            (SELECT count(*) FROM outbox_relays WHERE expires_at > clock_timestamp()) AS relays FROM outbox_shards s \
            LEFT JOIN outbox_relays r ON r.holder = s.holder AND r.expires_at > clock_timestamp() ORDER BY s.shard
            """)
        var (mine, free, relays): ([Int32], [Int32], Int) = ([], [], 1)
        for row in rows {
            relays = try row("relays")
            if try row("mine") { mine.append(try row("shard")) } else if try row("free") { free.append(try row("shard")) }
        }
        return Standing(relays: relays, mine: mine, free: free)
    }

    /// Takes shards that nobody alive holds, `most` at most; those that another is just taking are left to it.
    func take(_ most: Int, for holder: UUID) throws -> [Int32] {
        try tx.query(
            """
            UPDATE outbox_shards SET holder = \(holder) WHERE shard IN (SELECT s.shard FROM outbox_shards s WHERE NOT EXISTS \
            (SELECT FROM outbox_relays r WHERE r.holder = s.holder AND r.expires_at > clock_timestamp()) \
            ORDER BY s.shard LIMIT \(most) FOR UPDATE SKIP LOCKED) RETURNING shard
            """
        ).map { try $0("shard") }
    }

    /// Gives up some shards.
    func give(_ shards: [Int32], of holder: UUID) throws {
        try tx.execute("UPDATE outbox_shards SET holder = NULL WHERE holder = \(holder) AND shard = ANY(\(shards))")
    }

    /// This relay ends.
    func leave(_ holder: UUID) throws {
        try tx.execute("UPDATE outbox_shards SET holder = NULL WHERE holder = \(holder)")
        try tx.execute("DELETE FROM outbox_relays WHERE holder = \(holder)")
    }

    /// Forgets relays that died long ago.
    func forgetDead() throws {
        try tx.execute("DELETE FROM outbox_relays WHERE expires_at < now() - interval '1 hour'")
    }
}
