import Contracts
import Foundation
import Postgres

extension OrganizationSlug: SQLBindable, SQLDecodable {}
extension Organization.Status: SQLBindable, SQLDecodable {}
extension Plan: SQLBindable, SQLDecodable {}
extension SubscriptionStatus: SQLBindable, SQLDecodable {}
extension DataResidency: SQLBindable, SQLDecodable {}
extension DomainName: SQLBindable, SQLDecodable {}

/// The caller's organization: row-level security shows no other.
struct OrganizationStore {
    let tx: Transaction

    /// In a join with people; the aliases keep the two tables' columns apart.
    static let columns: SQL = """
        o.tenant_id AS organization_id, o.name, o.slug, o.domain, o.status AS organization_status, o.plan, o.max_users, o.storage_limit_gb,
        o.sso_enabled, o.custom_branding, o.api_access, o.subscription_status, o.trial_ends_at, o.data_residency, o.settings, o.branding,
        o.wanted_domain, o.domain_challenge, o.domain_verified_at, o.domain_checked_at, o.domain_misses, o.suspended_reason, o.erased_after,
        o.created_at AS organization_created_at, o.updated_at AS organization_updated_at, o.version AS organization_version
        """

    static func read(_ row: Row) throws -> Organization {
        let settings: JSONB<OrganizationSettings> = try row("settings")
        let branding: JSONB<Branding> = try row("branding")
        var granted: Set<Feature> = []
        if try row("sso_enabled") { granted.insert(.sso) }
        if try row("custom_branding") { granted.insert(.customBranding) }
        if try row("api_access") { granted.insert(.apiAccess) }
        return Organization(
            id: try row("organization_id"), name: try row("name"), slug: try row("slug"), domain: try row("domain"),
            status: try row("organization_status"), plan: try row("plan"),
            limits: Limits(seats: try row("max_users"), storageGB: try row("storage_limit_gb")), granted: granted,
            subscription: try row("subscription_status"), trialEndsAt: try row("trial_ends_at"), dataResidency: try row("data_residency"),
            settings: settings.value, branding: branding.value, claim: try claim(row), suspendedReason: try row("suspended_reason"),
            erasedAfter: try row("erased_after"), createdAt: try row("organization_created_at"),
            updatedAt: try row("organization_updated_at"), version: try row("organization_version"))
    }

    private static func claim(_ row: Row) throws -> DomainClaim? {
        guard let domain: DomainName = try row("wanted_domain"), let challenge: String = try row("domain_challenge") else { return nil }
        return DomainClaim(
            domain: domain, challenge: challenge, verifiedAt: try row("domain_verified_at"), checkedAt: try row("domain_checked_at"),
            misses: try row("domain_misses"))
    }

    static func find(_ id: TenantID) -> Query<Organization> {
        Query("SELECT \(fragment: columns) FROM organizations o WHERE o.tenant_id = \(id)", read)
    }

    /// Also what makes two changes of owners, or two people for one seat, wait for each other.
    func lock() throws -> Organization {
        let found = try tx.first(
            Query(
                "SELECT \(fragment: Self.columns) FROM organizations o WHERE o.tenant_id = \(tx.caller.tenant) FOR UPDATE", Self.read))
        guard let found else { throw ResourceFailure.notFound }
        return found
    }

    /// Nil when the slug, or the id, is taken.
    func insert(_ organization: Organization) throws -> Organization? {
        let granted = organization.granted
        return try tx.first(
            Query(
                """
                INSERT INTO organizations AS o (tenant_id, name, slug, plan, max_users, storage_limit_gb, sso_enabled, custom_branding,
                    api_access, subscription_status, trial_ends_at, created_at, updated_at)
                VALUES (\(tx.caller.tenant), \(organization.name), \(organization.slug), \(organization.plan), \(organization.limits.seats),
                    \(organization.limits.storageGB), \(granted.contains(.sso)), \(granted.contains(.customBranding)),
                    \(granted.contains(.apiAccess)), \(organization.subscription), \(organization.trialEndsAt),
                    \(organization.createdAt), \(organization.updatedAt))
                ON CONFLICT DO NOTHING RETURNING \(fragment: Self.columns)
                """, Self.read))
    }

    /// Throws `OrganizationFailure.slugTaken`, `DomainFailure.taken`.
    func save(_ organization: Organization) throws {
        let claim = organization.claim, granted = organization.granted
        do {
            try tx.execute(
                """
                UPDATE organizations SET name = \(organization.name), slug = \(organization.slug), domain = \(organization.domain),
                    status = \(organization.status), plan = \(organization.plan), max_users = \(organization.limits.seats),
                    storage_limit_gb = \(organization.limits.storageGB), sso_enabled = \(granted.contains(.sso)),
                    custom_branding = \(granted.contains(.customBranding)), api_access = \(granted.contains(.apiAccess)),
                    subscription_status = \(organization.subscription), trial_ends_at = \(organization.trialEndsAt),
                    data_residency = \(organization.dataResidency), settings = \(JSONB(organization.settings)),
                    branding = \(JSONB(organization.branding)), wanted_domain = \(claim?.domain), domain_challenge = \(claim?.challenge),
                    domain_verified_at = \(claim?.verifiedAt), domain_checked_at = \(claim?.checkedAt),
                    domain_misses = \(claim?.misses ?? 0),
                    suspended_reason = \(organization.suspendedReason), erased_after = \(organization.erasedAfter),
                    suspended_at = CASE WHEN \(organization.status) = 'suspended' THEN coalesce(suspended_at, \(tx.now)) END,
                    deleted_at = CASE WHEN \(organization.status) = 'deleted' THEN coalesce(deleted_at, \(tx.now)) END,
                    updated_at = \(organization.updatedAt), version = \(organization.version)
                WHERE tenant_id = \(organization.id)
                """)
        } catch let failure as PostgresFailure where failure.isUniqueViolation {
            switch failure.constraint {
            case "organizations_slug": throw OrganizationFailure.slugTaken
            case "organizations_domain": throw DomainFailure.taken
            default: throw failure
            }
        }
    }

    /// Seats that are taken: by members, and by those who are invited.
    func seatsTaken() throws -> Int {
        try tx.first("SELECT count(*) AS count FROM people WHERE status IN ('active', 'invited')").map { try $0("count") } ?? 0
    }

    /// Throws unless the organization is active and has a seat free for one more. It must be locked.
    func requireRoom(in organization: Organization) throws {
        try organization.requireActive()
        guard try seatsTaken() < organization.limits.seats else { throw MemberFailure.seatsExhausted }
    }
}

/// Memberships across organizations, asked before any organization is known: through the platform's door, or inside one as its caller.
enum MembershipStore {
    /// More organizations than anybody belongs to.
    static let limit = 200

    private static func read(_ row: Row) throws -> Membership {
        Membership(person: try PersonStore.read(row), organization: try OrganizationStore.read(row))
    }

    /// In the order in which they began. As an organization's caller it finds that one alone.
    static func of(_ user: UserID, slug: String? = nil) -> Query<Membership> {
        let named: SQL = slug.map { " AND o.slug = \($0)" } ?? .empty
        return Query(
            """
            SELECT \(fragment: PersonStore.columns), \(fragment: OrganizationStore.columns)
            FROM people p JOIN organizations o USING (tenant_id)
            WHERE p.user_id = \(user)\(fragment: named) ORDER BY p.created_at, o.tenant_id LIMIT \(limit)
            """, read)
    }

    /// A page of them, newest first; deleted ones are left out.
    static func page(of user: UserID, after cursor: (Date, UUID)?, limit: Int) -> Query<Membership> {
        let rest: SQL = cursor.map { " AND (p.created_at, o.tenant_id) < (\($0.0), \($0.1))" } ?? .empty
        return Query(
            """
            SELECT \(fragment: PersonStore.columns), \(fragment: OrganizationStore.columns)
            FROM people p JOIN organizations o USING (tenant_id)
            WHERE p.user_id = \(user) AND p.status <> 'invited' AND o.status <> 'deleted'\(fragment: rest)
            ORDER BY p.created_at DESC, o.tenant_id DESC LIMIT \(limit)
            """, read)
    }

    /// Organizations that the person owns.
    static func owned(by user: UserID) -> Query<Int> {
        Query("SELECT count(*) AS count FROM people p WHERE p.user_id = \(user) AND p.role = 'owner'", column: "count")
    }

    static func organization(slug: String) -> Query<Organization> {
        Query("SELECT \(fragment: OrganizationStore.columns) FROM organizations o WHERE o.slug = \(slug)", OrganizationStore.read)
    }

    /// Of a verified domain; nil for one that is deleted or suspended.
    static func organization(domain: String) -> Query<Organization> {
        Query(
            "SELECT \(fragment: OrganizationStore.columns) FROM organizations o WHERE o.domain = \(domain) AND o.status = 'active'",
            OrganizationStore.read)
    }
}
