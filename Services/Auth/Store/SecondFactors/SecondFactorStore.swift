import Contracts
import Foundation
import Postgres

extension SecondFactorMethod: SQLBindable, SQLDecodable {}

/// Second factors of accounts, under the platform's own tenant like the accounts themselves.
struct SecondFactorStore {
    let tx: Transaction

    private static let columns: SQL = "id, account_id, method, name, secret, hint, last_step, created_at, confirmed_at, last_used_at"

    private static func read(_ row: Row) throws -> SecondFactor {
        SecondFactor(
            id: try row("id"), account: try row("account_id"), method: try row("method"), name: try row("name"), secret: try row("secret"),
            hint: try row("hint"), lastStep: try row("last_step"), createdAt: try row("created_at"),
            confirmedAt: try row("confirmed_at"), lastUsedAt: try row("last_used_at"))
    }

    /// Those that count, oldest first.
    static func confirmed(of account: UserID) -> Query<SecondFactor> {
        Query(
            """
            SELECT \(fragment: columns) FROM second_factors
            WHERE account_id = \(account) AND confirmed_at IS NOT NULL ORDER BY created_at, id
            """, read)
    }

    func confirmed(of account: UserID) throws -> [SecondFactor] { try tx.query(Self.confirmed(of: account)) }

    /// Those of one method that wait to be confirmed, newest first.
    func unconfirmed(_ method: SecondFactorMethod, of account: UserID, since: Date) throws -> [SecondFactor] {
        try tx.query(
            Query(
                """
                SELECT \(fragment: Self.columns) FROM second_factors
                WHERE account_id = \(account) AND method = \(method) AND confirmed_at IS NULL AND created_at > \(since)
                ORDER BY created_at DESC, id DESC
                """, Self.read))
    }

    func find(_ id: SecondFactorID, of account: UserID) throws -> SecondFactor? {
        try tx.first(
            Query("SELECT \(fragment: Self.columns) FROM second_factors WHERE id = \(id) AND account_id = \(account)", Self.read))
    }

    func insert(_ factor: SecondFactor) throws {
        try tx.execute(
            """
            INSERT INTO second_factors (tenant_id, id, account_id, method, name, secret, hint, created_at, confirmed_at)
            VALUES (\(tx.caller.tenant), \(factor.id), \(factor.account), \(factor.method), \(factor.name), \(factor.secret),
                    \(factor.hint), \(factor.createdAt), \(factor.confirmedAt))
            """)
    }

    func confirm(_ id: SecondFactorID) throws {
        try tx.execute("UPDATE second_factors SET confirmed_at = \(tx.now), last_used_at = \(tx.now) WHERE id = \(id)")
    }

    func noteUse(_ id: SecondFactorID) throws {
        try tx.execute("UPDATE second_factors SET last_used_at = \(tx.now) WHERE id = \(id)")
    }

    /// False when this step, or a later one, was taken before.
    func take(_ step: Int, of id: SecondFactorID) throws -> Bool {
        try tx.execute(
            """
            UPDATE second_factors SET last_step = \(step), last_used_at = \(tx.now)
            WHERE id = \(id) AND COALESCE(last_step, -1) < \(step)
            """) == 1
    }

    func rename(_ id: SecondFactorID, to name: Name) throws {
        try tx.execute("UPDATE second_factors SET name = \(name) WHERE id = \(id)")
    }

    /// False when it was not there. A security key goes with its factor.
    func remove(_ id: SecondFactorID) throws -> Bool {
        try tx.execute("DELETE FROM second_factors WHERE id = \(id)") == 1
    }

    func removeUnconfirmed(_ method: SecondFactorMethod, of account: UserID) throws {
        try tx.execute("DELETE FROM second_factors WHERE account_id = \(account) AND method = \(method) AND confirmed_at IS NULL")
    }

    func removeUnconfirmed(of account: UserID) throws {
        try tx.execute("DELETE FROM second_factors WHERE account_id = \(account) AND confirmed_at IS NULL")
    }

    /// Everything there is, confirmed or not. Returns the methods of those that counted.
    func removeAll(of account: UserID) throws -> [SecondFactorMethod] {
        let removed = try tx.query(
            Query("DELETE FROM second_factors WHERE account_id = \(account) RETURNING \(fragment: Self.columns)", Self.read))
        return removed.filter { $0.confirmedAt != nil }.map(\.method)
    }

    /// Where its owner is written to.
    func address(of account: UserID) throws -> EmailAddress? {
        try tx.first(Query("SELECT email FROM accounts WHERE id = \(account)", column: "email"))
    }

    /// One after the other: what changes the factors of one account waits here for the others that do.
    func lockAccount(_ account: UserID) throws {
        _ = try tx.query("SELECT id FROM accounts WHERE id = \(account) FOR UPDATE")
    }

    static func pruneUnconfirmed(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM second_factors WHERE id IN
        (SELECT id FROM second_factors WHERE confirmed_at IS NULL AND created_at < \(before) LIMIT \(limit))
        """
    }
}

/// Recovery codes, as hashes.
struct RecoveryCodeStore {
    let tx: Transaction

    static func left(of account: UserID) -> Query<Int> {
        Query("SELECT count(*) AS left FROM recovery_codes WHERE account_id = \(account) AND used_at IS NULL", column: "left")
    }

    func left(of account: UserID) throws -> Int { try tx.first(Self.left(of: account)) ?? 0 }

    /// Puts these in the place of all others.
    func replace(of account: UserID, with digests: [Data]) throws {
        try removeAll(of: account)
        try tx.execute(
            """
            INSERT INTO recovery_codes (tenant_id, account_id, digest, created_at)
            SELECT \(tx.caller.tenant), \(account), digest, \(tx.now) FROM unnest(\(digests)) AS digest
            """)
    }

    /// False when it is none, or was used before.
    func use(_ digest: Data, of account: UserID) throws -> Bool {
        try tx.execute(
            "UPDATE recovery_codes SET used_at = \(tx.now) WHERE account_id = \(account) AND digest = \(digest) AND used_at IS NULL") == 1
    }

    func removeAll(of account: UserID) throws { try tx.execute("DELETE FROM recovery_codes WHERE account_id = \(account)") }
}
