import Contracts
import Foundation
import Postgres

/// Who runs the platform. The rows are the platform's own: `caller` sees them, no organization does.
struct PlatformAdminStore {
    let tx: Transaction

    /// Nobody's organization.
    static let caller = Caller.service(.users, for: .platform)

    struct Admin: Sendable, Equatable {
        let user: UserID
        let email: EmailAddress
        let grantedBy: UserID?
        let createdAt: Date
    }

    private static func read(_ row: Row) throws -> Admin {
        Admin(user: try row("user_id"), email: try row("email"), grantedBy: try row("granted_by"), createdAt: try row("created_at"))
    }

    static func isOne(_ user: UserID) -> Query<Bool> {
        Query("SELECT EXISTS (SELECT 1 FROM platform_admins WHERE user_id = \(user)) AS yes", column: "yes")
    }

    static func all(limit: Int) -> Query<Admin> {
        Query("SELECT user_id, email, granted_by, created_at FROM platform_admins ORDER BY created_at, user_id LIMIT \(limit)", read)
    }

    /// All of them under lock, so that two cannot take the last one's place away from each other.
    func lockAll() throws -> [Admin] {
        try tx.query(
            Query("SELECT user_id, email, granted_by, created_at FROM platform_admins ORDER BY user_id FOR UPDATE", Self.read))
    }

    /// False when they are one already.
    func insert(_ admin: Admin) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO platform_admins (tenant_id, user_id, email, granted_by, created_at)
            VALUES (\(tx.caller.tenant), \(admin.user), \(admin.email), \(admin.grantedBy), \(admin.createdAt)) ON CONFLICT DO NOTHING
            """) == 1
    }

    func remove(_ user: UserID) throws -> Bool { try tx.execute("DELETE FROM platform_admins WHERE user_id = \(user)") == 1 }
}

/// Addresses that accounts have shown to be theirs; rows of the platform's own.
struct VerifiedAddressStore {
    let tx: Transaction

    func keep(_ email: EmailAddress, of user: UserID) throws {
        try tx.execute(
            """
            INSERT INTO verified_addresses (tenant_id, user_id, email, verified_at)
            VALUES (\(tx.caller.tenant), \(user), \(email), \(tx.now))
            ON CONFLICT (tenant_id, user_id) DO UPDATE SET email = EXCLUDED.email, verified_at = EXCLUDED.verified_at
            """)
    }

    func users(of email: EmailAddress) throws -> [UserID] {
        try tx.query("SELECT user_id FROM verified_addresses WHERE email = \(email)").map { try $0("user_id") }
    }
}

/// Organizations as the platform sees them: through its own door alone.
enum PlatformOrganizationStore {
    struct Found: Sendable {
        let organization: Organization
        let people: Int
    }

    private static let columns: SQL = """
        \(fragment: OrganizationStore.columns), (SELECT count(*) FROM people p WHERE p.tenant_id = o.tenant_id) AS people
        """

    private static func read(_ row: Row) throws -> Found {
        Found(organization: try OrganizationStore.read(row), people: try row("people"))
    }

    static func page(
        text: String?, status: Organization.Status?, plan: Plan?, after cursor: (Date, UUID)?, limit: Int
    ) -> Query<Found> {
        var conditions: [SQL] = ["true"]
        if let text {
            let pattern = "%" + text.lowercased().filter { $0 != "%" && $0 != "\\" && $0 != "_" } + "%"
            conditions.append("(lower(o.name) LIKE \(pattern) OR o.slug LIKE \(pattern) OR o.domain LIKE \(pattern))")
        }
        if let status { conditions.append("o.status = \(status)") }
        if let plan { conditions.append("o.plan = \(plan)") }
        if let (time, id) = cursor { conditions.append("(o.created_at, o.tenant_id) < (\(time), \(id))") }
        return Query(
            """
            SELECT \(fragment: columns) FROM organizations o WHERE \(fragment: conditions.joined(separator: " AND "))
            ORDER BY o.created_at DESC, o.tenant_id DESC LIMIT \(limit)
            """, read)
    }

    static func find(_ id: TenantID) -> Query<Found> {
        Query("SELECT \(fragment: columns) FROM organizations o WHERE o.tenant_id = \(id)", read)
    }

    /// Any membership of a person: their address as the platform knows it.
    static func email(of user: UserID) -> Query<EmailAddress> {
        Query(
            "SELECT p.email FROM people p WHERE p.user_id = \(user) AND p.status <> 'invited' ORDER BY p.created_at LIMIT 1",
            column: "email")
    }

    /// Deleted organizations that cannot be restored any more and still have their slug.
    static func pastRestoring(at now: Date, limit: Int) -> Query<TenantID> {
        Query(
            """
            SELECT o.tenant_id FROM organizations o
            WHERE o.status = 'deleted' AND o.erased_after <= \(now) AND o.slug NOT LIKE 'erased-%' LIMIT \(limit)
            """, column: "tenant_id")
    }

    /// Active organizations whose verified domain was last looked at before a time.
    static func domainsToCheck(before: Date, limit: Int) -> Query<TenantID> {
        Query(
            """
            SELECT o.tenant_id FROM organizations o
            WHERE o.domain_verified_at IS NOT NULL AND o.domain_checked_at < \(before) AND o.status = 'active'
            ORDER BY o.domain_checked_at LIMIT \(limit)
            """, column: "tenant_id")
    }
}

/// What an organization uses.
struct UsageStore {
    let tx: Transaction

    struct Seats: Sendable {
        let active: Int
        let invited: Int
        let suspended: Int
    }

    struct Storage: Sendable {
        let bytes: Int
        let files: Int
    }

    static func seats() -> Query<Seats> {
        Query(
            """
            SELECT count(*) FILTER (WHERE status = 'active') AS active, count(*) FILTER (WHERE status = 'invited') AS invited,
                count(*) FILTER (WHERE status = 'suspended') AS suspended FROM people
            """
        ) { row in Seats(active: try row("active"), invited: try row("invited"), suspended: try row("suspended")) }
    }

    static func storage() -> Query<Storage> {
        Query("SELECT bytes, files FROM storage_usage") { row in Storage(bytes: try row("bytes"), files: try row("files")) }
    }

    func addStorage(bytes: Int, files: Int) throws {
        try tx.execute(
            """
            INSERT INTO storage_usage (tenant_id, bytes, files, updated_at) VALUES (\(tx.caller.tenant), \(bytes), \(files), \(tx.now))
            ON CONFLICT (tenant_id) DO UPDATE SET bytes = storage_usage.bytes + EXCLUDED.bytes,
                files = storage_usage.files + EXCLUDED.files,
                updated_at = EXCLUDED.updated_at
            """)
    }
}
