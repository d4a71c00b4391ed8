import Contracts
import Foundation
import Postgres

extension Account.Status: SQLBindable, SQLDecodable {}

/// Accounts, under the platform's own tenant: nobody has an organization yet when an account is looked for.
struct AccountStore {
    let tx: Transaction

    /// Who looks at accounts.
    static let caller = Caller.anonymous(in: .platform)

    private static let columns: SQL = "id, email, password_hash, status, registration"

    private static func read(_ row: Row) throws -> Account {
        let registration: JSONB<RegistrationRequest>? = try row("registration")
        return Account(
            id: try row("id"), email: try row("email"), passwordHash: try row("password_hash"), status: try row("status"),
            registration: registration?.value)
    }

    static func find(_ email: EmailAddress) -> Query<Account> {
        Query("SELECT \(fragment: columns) FROM accounts WHERE email = \(email)", read)
    }

    /// Keeps the address for a registration that begins. False when another account has it.
    func insertPending(_ account: Account) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO accounts (tenant_id, id, email, password_hash, status, registration, password_changed_at, created_at)
            VALUES (\(tx.caller.tenant), \(account.id), \(account.email), \(account.passwordHash), \(Account.Status.pending),
                    \(JSONB(account.registration)), \(tx.now), \(tx.now))
            ON CONFLICT ON CONSTRAINT accounts_email DO NOTHING
            """) == 1
    }

    func find(_ email: EmailAddress) throws -> Account? { try tx.first(Self.find(email)) }

    /// The same person tries again with other details.
    static func replaceRegistration(_ id: UserID, with registration: RegistrationRequest) -> SQL {
        "UPDATE accounts SET registration = \(JSONB(registration)) WHERE id = \(id) AND status = 'pending'"
    }

    static func activate(_ id: UserID, at now: Date) -> SQL {
        """
        UPDATE accounts SET status = 'active', registration = NULL, last_login_at = COALESCE(last_login_at, \(now))
        WHERE id = \(id) AND status = 'pending'
        """
    }

    /// With the registration that was refused: one that the person has put in its place meanwhile stays.
    static func removePending(_ id: UserID, _ refused: RegistrationRequest) -> SQL {
        "DELETE FROM accounts WHERE id = \(id) AND status = 'pending' AND registration = \(JSONB(refused))"
    }

    static func noteSignIn(_ id: UserID, at now: Date) -> SQL { "UPDATE accounts SET last_login_at = \(now) WHERE id = \(id)" }

    static func replaceHash(_ id: UserID, _ old: String, with new: String) -> SQL {
        "UPDATE accounts SET password_hash = \(new) WHERE id = \(id) AND password_hash = \(old)"
    }

    /// Takes some pending accounts that are older than `before` and that nobody has tried to finish since then.
    static func takePending(before: Date, now: Date, limit: Int) -> Query<Account> {
        Query(
            """
            UPDATE accounts SET completion_tried_at = \(now) WHERE id IN (
                SELECT id FROM accounts
                WHERE status = 'pending' AND created_at < \(before) AND COALESCE(completion_tried_at, created_at) < \(before)
                ORDER BY created_at LIMIT \(limit) FOR UPDATE SKIP LOCKED)
            RETURNING \(fragment: columns)
            """, read)
    }
}

/// Which registrations have been announced, in the organization that each began in.
struct RegistrationStore {
    let tx: Transaction

    /// True for the first who asks.
    func claimAnnouncement(of account: UserID) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO registrations (tenant_id, account_id, announced_at) VALUES (\(tx.caller.tenant), \(account), \(tx.now))
            ON CONFLICT (tenant_id, account_id) DO NOTHING
            """) == 1
    }
}
