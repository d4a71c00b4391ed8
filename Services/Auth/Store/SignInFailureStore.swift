import Contracts
import Crypto
import Foundation
import Postgres

/// Failed sign-ins by what they are counted by, kept as a hash, whether an account has the address or not.
struct SignInFailureStore {
    let tx: Transaction

    struct Count: Sendable, Equatable {
        let digest: Data
        let failures: Int
        let lockedUntil: Date?
        let lastFailedAt: Date
    }

    static func digest(_ counter: FailureCounter) -> Data { Data(SHA256.hash(data: Data(counter.name.utf8))) }

    /// No row for what is not known to have failed.
    static func find(_ counters: [FailureCounter]) -> Query<Count> {
        Query(
            """
            SELECT email_digest, failures, locked_until, last_failed_at FROM sign_in_failures
            WHERE email_digest = ANY(\(counters.map(digest)))
            """
        ) { row in
            Count(
                digest: try row("email_digest"), failures: try row("failures"), lockedUntil: try row("locked_until"),
                lastFailedAt: try row("last_failed_at"))
        }
    }

    /// Counts one more and returns how many there are now.
    func add(_ counter: FailureCounter) throws -> Int {
        let forgotten = tx.now.addingTimeInterval(-counter.memory)
        let row = try tx.first(
            """
            INSERT INTO sign_in_failures AS known (tenant_id, email_digest, failures, last_failed_at)
            VALUES (\(tx.caller.tenant), \(Self.digest(counter)), 1, \(tx.now))
            ON CONFLICT (tenant_id, email_digest) DO UPDATE SET
                failures = CASE WHEN known.last_failed_at < \(forgotten) THEN 1 ELSE known.failures + 1 END,
                last_failed_at = excluded.last_failed_at
            RETURNING failures
            """)
        return try row?("failures") ?? 1
    }

    func lock(_ counter: FailureCounter, until: Date?) throws {
        try tx.execute("UPDATE sign_in_failures SET locked_until = \(until) WHERE email_digest = \(Self.digest(counter))")
    }

    static func forget(_ counters: [FailureCounter]) -> SQL {
        "DELETE FROM sign_in_failures WHERE email_digest = ANY(\(counters.map(digest)))"
    }

    static func prune(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM sign_in_failures WHERE email_digest IN
        (SELECT email_digest FROM sign_in_failures WHERE last_failed_at < \(before) LIMIT \(limit))
        """
    }
}
