import Contracts
import Foundation
import Postgres

/// Devices that are not asked for a second factor, by the digest of their cookie.
struct TrustedDeviceStore {
    let tx: Transaction

    /// One row when the device is trusted with this account, and the password has not been changed since.
    static func find(_ digest: Data, of account: UserID, now: Date) -> Query<Date> {
        Query(
            """
            SELECT t.expires_at FROM trusted_devices t JOIN accounts a ON a.id = t.account_id
            WHERE t.digest = \(digest) AND t.account_id = \(account) AND t.expires_at > \(now)
                AND (a.password_changed_at IS NULL OR a.password_changed_at <= t.created_at)
            """, column: "expires_at")
    }

    func insert(_ digest: Data, of account: UserID, expiresAt: Date) throws {
        try tx.execute(
            """
            INSERT INTO trusted_devices (tenant_id, digest, account_id, created_at, expires_at)
            VALUES (\(tx.caller.tenant), \(digest), \(account), \(tx.now), \(expiresAt))
            """)
    }

    func removeAll(of account: UserID) throws { try tx.execute("DELETE FROM trusted_devices WHERE account_id = \(account)") }

    static func prune(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM trusted_devices WHERE digest IN
        (SELECT digest FROM trusted_devices WHERE expires_at < \(before) LIMIT \(limit))
        """
    }
}
