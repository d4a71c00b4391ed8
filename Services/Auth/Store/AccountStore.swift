import Contracts
import Foundation
import Postgres

extension Account.Status: SQLBindable, SQLDecodable {}

/// Accounts, under the platform's own tenant: nobody has an organization yet when an account is looked for.
struct AccountStore {
    let tx: Transaction

    /// Who looks at accounts.
    static let caller = Caller.anonymous(in: .platform)

    /// The person themselves, in what is theirs and no organization's.
    static func caller(_ account: UserID) -> Caller { Caller(.person(account), tenant: .platform) }

    private static let columns: SQL = "id, email, password_hash, status, registration, email_verified_at"

    private static func read(_ row: Row) throws -> Account {
        let registration: JSONB<RegistrationRequest>? = try row("registration")
        return Account(
            id: try row("id"), email: try row("email"), passwordHash: try row("password_hash"), status: try row("status"),
            registration: registration?.value, emailVerifiedAt: try row("email_verified_at"))
    }

    static func find(_ email: EmailAddress) -> Query<Account> {
        Query("SELECT \(fragment: columns) FROM accounts WHERE email = \(email)", read)
    }

    static func find(_ id: UserID) -> Query<Account> {
        Query("SELECT \(fragment: columns) FROM accounts WHERE id = \(id)", read)
    }

    func find(_ email: EmailAddress) throws -> Account? { try tx.first(Self.find(email)) }

    // MARK: - Registration

    /// Keeps the address for a registration that begins, under the id that was reserved for it where one was. Nil when another
    /// account has it, or, unless `isProven`, when it is reserved: then whoever registers must show that the mailbox is theirs.
    func insertPending(_ account: Account, isProven: Bool) throws -> UserID? {
        try tx.first(
            Query(
                """
                INSERT INTO accounts AS known (tenant_id, id, email, password_hash, status, registration, password_changed_at, created_at,
                                               email_verified_at)
                VALUES (\(tx.caller.tenant), \(account.id), \(account.email), \(account.passwordHash), \(Account.Status.pending),
                        \(JSONB(account.registration)), \(tx.now), \(tx.now), \(account.emailVerifiedAt))
                ON CONFLICT ON CONSTRAINT accounts_email DO UPDATE SET
                    password_hash = excluded.password_hash, status = excluded.status, registration = excluded.registration,
                    password_changed_at = excluded.password_changed_at, created_at = excluded.created_at,
                    email_verified_at = excluded.email_verified_at, completion_tried_at = NULL
                WHERE known.status = 'reserved' AND \(isProven)
                RETURNING id
                """, column: "id"))
    }

    /// The account of an address, or an id kept for whoever registers with it.
    func reserve(_ email: EmailAddress) throws -> AccountReservation? {
        try tx.execute(
            """
            INSERT INTO accounts (tenant_id, id, email, status, reserved_at, created_at)
            VALUES (\(tx.caller.tenant), \(UserID.ofAccount()), \(email), \(Account.Status.reserved), \(tx.now), \(tx.now))
            ON CONFLICT ON CONSTRAINT accounts_email DO NOTHING
            """)
        return try find(email).map { AccountReservation(id: $0.id, status: $0.status.reservation) }
    }

    /// The same person tries again with other details. Whoever registers with a reserved id goes on showing an invitation: without one
    /// they could found an organization of their own under an id that others know as somebody else's.
    static func replaceRegistration(_ id: UserID, with registration: RegistrationRequest) -> SQL {
        """
        UPDATE accounts SET registration = \(JSONB(registration))
        WHERE id = \(id) AND status = 'pending' AND (reserved_at IS NULL OR \(registration.invitationToken != nil))
        """
    }

    /// The account as it is now; nil when it was active before.
    func activate(_ id: UserID, isVerified: Bool) throws -> Account? {
        let verifiedAt = isVerified ? tx.now : nil
        return try tx.first(
            Query(
                """
                UPDATE accounts SET status = 'active', registration = NULL, last_login_at = COALESCE(last_login_at, \(tx.now)),
                    email_verified_at = COALESCE(email_verified_at, \(verifiedAt))
                WHERE id = \(id) AND status = 'pending' RETURNING \(fragment: Self.columns)
                """, Self.read))
    }

    /// With the registration that was refused: one that the person has put in its place meanwhile stays. An id that was reserved
    /// is given back, with nothing of the registration left.
    func removePending(_ id: UserID, _ refused: RegistrationRequest) throws {
        let given = try tx.execute(
            """
            UPDATE accounts SET status = 'reserved', registration = NULL, password_hash = NULL, email_verified_at = NULL
            WHERE id = \(id) AND status = 'pending' AND registration = \(JSONB(refused)) AND reserved_at IS NOT NULL
            """)
        if given == 1 { return }
        try tx.execute("DELETE FROM accounts WHERE id = \(id) AND status = 'pending' AND registration = \(JSONB(refused))")
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

    /// Takes over an account from elsewhere. Nil when the address has one; a reserved id is kept.
    func insertImported(_ email: EmailAddress, passwordHash: String?, isVerified: Bool) throws -> UserID? {
        let verifiedAt = isVerified ? tx.now : nil
        return try tx.first(
            Query(
                """
                INSERT INTO accounts AS known (tenant_id, id, email, password_hash, status, password_changed_at, created_at, email_verified_at)
                VALUES (\(tx.caller.tenant), \(UserID.ofAccount()), \(email), \(passwordHash), \(Account.Status.active), \(tx.now),
                        \(tx.now), \(verifiedAt))
                ON CONFLICT ON CONSTRAINT accounts_email DO UPDATE SET
                    password_hash = excluded.password_hash, status = excluded.status, password_changed_at = excluded.password_changed_at,
                    email_verified_at = excluded.email_verified_at
                WHERE known.status = 'reserved'
                RETURNING id
                """, column: "id"))
    }

    // MARK: - Signing in

    static func noteSignIn(_ id: UserID, at now: Date) -> SQL { "UPDATE accounts SET last_login_at = \(now) WHERE id = \(id)" }

    /// The same password, hashed as hashes are made now.
    static func replaceHash(_ id: UserID, _ old: String?, with new: String) -> SQL {
        "UPDATE accounts SET password_hash = \(new) WHERE id = \(id) AND password_hash = \(old)"
    }

    /// The highest work factor among bcrypt hashes that are left.
    static let bcryptCost: Query<Int?> = Query(
        "SELECT max(substring(password_hash FROM 5 FOR 2)::bigint) AS cost FROM accounts WHERE password_hash LIKE '$2%'", column: "cost")

    // MARK: - Passwords and mailboxes

    /// Another password. All that was begun before now, but the one session kept, is to end, and with `endingKeys` all API keys. False
    /// when the password is not `old` any more (where `old` is given), or there is no such account. A reserved id becomes an account by
    /// this.
    func setPassword(
        _ id: UserID, to hash: String, from old: String? = nil, keeping session: SessionID?, endingKeys: Bool = false
    ) throws -> Bool {
        let keysEndAt = endingKeys ? tx.now : nil
        return try tx.execute(
            """
            UPDATE accounts SET password_hash = \(hash), password_changed_at = \(tx.now), sessions_end_at = \(tx.now),
                session_kept = \(session), sign_ins_void_until = \(tx.now), keys_end_at = COALESCE(\(keysEndAt), keys_end_at),
                status = 'active'
            WHERE id = \(id) AND status <> 'pending' AND (\(old)::text IS NULL OR password_hash = \(old)::text)
            """) == 1
    }

    /// False when it was verified before, or the account has another address by now.
    func verifyEmail(_ id: UserID, _ email: EmailAddress) throws -> Bool {
        try tx.execute(
            "UPDATE accounts SET email_verified_at = \(tx.now) WHERE id = \(id) AND email = \(email) AND email_verified_at IS NULL") == 1
    }

    struct SessionsToEnd: Sendable {
        let account: UserID
        let before: Date
        let kept: SessionID?
    }

    /// Accounts whose sessions were to end at least that long ago: what the request did not do is done for them.
    static func sessionsToEnd(before: Date, limit: Int) -> Query<SessionsToEnd> {
        Query(
            """
            SELECT id, sessions_end_at, session_kept FROM accounts WHERE sessions_end_at IS NOT NULL AND sessions_end_at < \(before)
            ORDER BY sessions_end_at LIMIT \(limit)
            """
        ) { row in
            SessionsToEnd(account: try row("id"), before: try row("sessions_end_at"), kept: try row("session_kept"))
        }
    }

    /// A sign-in that began until then, with what was changed then, opens nothing any more. Nil where nothing ever was.
    static func signInsVoidUntil(_ id: UserID) -> Query<Date?> {
        Query("SELECT sign_ins_void_until FROM accounts WHERE id = \(id)", column: "sign_ins_void_until")
    }

    /// The same inside a transaction that holds the account's row: no password is changed until it ends.
    func mayFinish(_ id: UserID, begunAt: Date) throws -> Bool {
        guard let until = try tx.first(Self.signInsVoidUntil(id)) ?? nil else { return true }
        return begunAt > until
    }

    struct KeysToEnd: Sendable {
        let account: UserID
        let markedAt: Date
    }

    /// Accounts whose API keys were to end at least that long ago.
    static func keysToEnd(before: Date, limit: Int) -> Query<KeysToEnd> {
        Query(
            """
            SELECT id, keys_end_at FROM accounts WHERE keys_end_at IS NOT NULL AND keys_end_at < \(before)
            ORDER BY keys_end_at LIMIT \(limit)
            """
        ) { row in
            KeysToEnd(account: try row("id"), markedAt: try row("keys_end_at"))
        }
    }

    /// A later reset has marked them anew.
    static func keysEnded(_ done: KeysToEnd) -> SQL {
        "UPDATE accounts SET keys_end_at = NULL WHERE id = \(done.account) AND keys_end_at = \(done.markedAt)"
    }

    static func sessionsEnded(_ done: SessionsToEnd) -> SQL {
        "UPDATE accounts SET sessions_end_at = NULL, session_kept = NULL WHERE id = \(done.account) AND sessions_end_at = \(done.before)"
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
