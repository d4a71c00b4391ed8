import Contracts
import Crypto
import Foundation
import Postgres

/// Failed sign-ins by e-mail address, kept as a hash, whether an account has the address or not.
struct SignInFailureStore {
    let tx: Transaction

    private static func digest(_ email: EmailAddress) -> Data { Data(SHA256.hash(data: Data(email.rawValue.utf8))) }

    /// Until when the address is locked; no row when it is not known to have failed.
    static func lock(of email: EmailAddress) -> Query<Date?> {
        Query("SELECT locked_until FROM sign_in_failures WHERE email_digest = \(digest(email))", column: "locked_until")
    }

    /// Counts one more and returns how many there are now.
    func add(_ email: EmailAddress) throws -> Int {
        let forgotten = tx.now.addingTimeInterval(-LockOut.memory)
        let row = try tx.first(
            """
            INSERT INTO sign_in_failures AS known (tenant_id, email_digest, failures, last_failed_at)
            VALUES (\(tx.caller.tenant), \(Self.digest(email)), 1, \(tx.now))
            ON CONFLICT (tenant_id, email_digest) DO UPDATE SET
                failures = CASE WHEN known.last_failed_at < \(forgotten) THEN 1 ELSE known.failures + 1 END,
                last_failed_at = excluded.last_failed_at
            RETURNING failures
            """)
        return try row?("failures") ?? 1
    }

    func lock(_ email: EmailAddress, until: Date) throws {
        try tx.execute("UPDATE sign_in_failures SET locked_until = \(until) WHERE email_digest = \(Self.digest(email))")
    }

    static func forget(_ email: EmailAddress) -> SQL { "DELETE FROM sign_in_failures WHERE email_digest = \(digest(email))" }

    static func prune(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM sign_in_failures WHERE email_digest IN
        (SELECT email_digest FROM sign_in_failures WHERE last_failed_at < \(before) LIMIT \(limit))
        """
    }
}
