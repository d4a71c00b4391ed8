import Contracts
import Foundation
import Postgres

/// Codes that were sent, as keyed digests: one for each factor, the last.
struct SentCodeStore {
    let tx: Transaction

    func replace(_ subject: UUID, of account: UserID, digest: Data, expiresAt: Date) throws {
        try tx.execute(
            """
            INSERT INTO sent_codes (tenant_id, subject_id, account_id, digest, expires_at)
            VALUES (\(tx.caller.tenant), \(subject), \(account), \(digest), \(expiresAt))
            ON CONFLICT (tenant_id, subject_id) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at, attempts = 0
            """)
    }

    /// Counts one more try and gives what was sent; nil when there is nothing to try, or it was tried too often.
    func attempt(_ subject: UUID, of account: UserID, limit: Int) throws -> Data? {
        try tx.first(
            Query(
                """
                UPDATE sent_codes SET attempts = attempts + 1
                WHERE subject_id = \(subject) AND account_id = \(account) AND expires_at > \(tx.now) AND attempts < \(limit)
                RETURNING digest
                """, column: "digest"))
    }

    /// Whether a code was sent to the account that nobody has used and that has not expired.
    func isWaiting(_ account: UserID) throws -> Bool {
        try tx.first(
            Query(
                "SELECT EXISTS (SELECT FROM sent_codes WHERE account_id = \(account) AND expires_at > \(tx.now)) AS waits", column: "waits")
        )
            ?? false
    }

    func remove(_ subject: UUID) throws { try tx.execute("DELETE FROM sent_codes WHERE subject_id = \(subject)") }

    func removeAll(of account: UserID) throws { try tx.execute("DELETE FROM sent_codes WHERE account_id = \(account)") }

    static func prune(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM sent_codes WHERE subject_id IN
        (SELECT subject_id FROM sent_codes WHERE expires_at < \(before) LIMIT \(limit))
        """
    }
}

/// How often an account's codes were wrong, and how often codes were sent to it.
struct SecondFactorLimitStore {
    let tx: Transaction

    struct Sent: Sendable {
        let count: Int
        let since: Date?
        let last: Date?
    }

    /// The row is kept from changing until the transaction ends: of many guesses at once, each sees what came of those before it.
    func lockedUntil(_ account: UserID) throws -> Date? {
        try ensureRow(account)
        return try tx.first(
            Query<Date?>("SELECT locked_until FROM second_factor_limits WHERE account_id = \(account) FOR UPDATE", column: "locked_until"))
            ?? nil
    }

    private func ensureRow(_ account: UserID) throws {
        try tx.execute(
            """
            INSERT INTO second_factor_limits (tenant_id, account_id) VALUES (\(tx.caller.tenant), \(account))
            ON CONFLICT (tenant_id, account_id) DO NOTHING
            """)
    }

    /// Counts one more wrong code and returns how many there are now; those from before `forgotten` count no more.
    func addFailure(_ account: UserID, forgotten: Date) throws -> Int {
        try tx.first(
            Query(
                """
                INSERT INTO second_factor_limits AS known (tenant_id, account_id, failures, last_failed_at)
                VALUES (\(tx.caller.tenant), \(account), 1, \(tx.now))
                ON CONFLICT (tenant_id, account_id) DO UPDATE SET
                    failures = CASE WHEN known.last_failed_at < \(forgotten) THEN 1 ELSE known.failures + 1 END,
                    last_failed_at = excluded.last_failed_at
                RETURNING failures
                """, column: "failures")) ?? 1
    }

    func lock(_ account: UserID, until: Date) throws {
        try tx.execute("UPDATE second_factor_limits SET locked_until = \(until) WHERE account_id = \(account)")
    }

    func forgetFailures(_ account: UserID) throws {
        try tx.execute("UPDATE second_factor_limits SET failures = 0, locked_until = NULL WHERE account_id = \(account) AND failures > 0")
    }

    /// What was sent lately; the row is kept from changing until the transaction ends.
    func sent(_ account: UserID) throws -> Sent {
        try ensureRow(account)
        return try tx.first(
            Query("SELECT sent, sent_since, last_sent_at FROM second_factor_limits WHERE account_id = \(account) FOR UPDATE") { row in
                Sent(count: try row("sent"), since: try row("sent_since"), last: try row("last_sent_at"))
            }) ?? Sent(count: 0, since: nil, last: nil)
    }

    func noteSent(_ account: UserID, count: Int, since: Date) throws {
        try tx.execute(
            """
            UPDATE second_factor_limits SET sent = \(count), sent_since = \(since), last_sent_at = \(tx.now)
            WHERE account_id = \(account)
            """)
    }
}
