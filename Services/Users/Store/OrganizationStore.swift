import Contracts
import Foundation
import Postgres

extension OrganizationSlug: SQLBindable, SQLDecodable {}
extension Organization.Status: SQLBindable, SQLDecodable {}

/// The caller's organization: row-level security shows no other.
struct OrganizationStore {
    let tx: Transaction

    /// In a join with people; the aliases keep the two tables' columns apart.
    static let columns: SQL = """
        o.tenant_id AS organization_id, o.name, o.slug, o.domain, o.status AS organization_status, o.plan, o.max_users, o.storage_limit_gb,
        o.trial_ends_at, o.data_residency, o.created_at AS organization_created_at, o.updated_at AS organization_updated_at,
        o.version AS organization_version
        """

    static func read(_ row: Row) throws -> Organization {
        Organization(
            id: try row("organization_id"), name: try row("name"), slug: try row("slug"), domain: try row("domain"),
            status: try row("organization_status"), plan: try row("plan"), maxUsers: try row("max_users"),
            storageLimitGB: try row("storage_limit_gb"), trialEndsAt: try row("trial_ends_at"), dataResidency: try row("data_residency"),
            createdAt: try row("organization_created_at"), updatedAt: try row("organization_updated_at"),
            version: try row("organization_version"))
    }

    static func find(_ id: TenantID) -> Query<Organization> {
        Query("SELECT \(fragment: columns) FROM organizations o WHERE o.tenant_id = \(id)", read)
    }

    /// Also what makes two changes of owners wait for each other.
    func lock() throws -> Organization {
        let found = try tx.first(
            Query(
                "SELECT \(fragment: Self.columns) FROM organizations o WHERE o.tenant_id = \(tx.caller.tenant) FOR UPDATE", Self.read))
        guard let found else { throw ResourceFailure.notFound }
        return found
    }

    /// Nil when the slug, or the id, is taken.
    func insert(_ name: Name, _ slug: OrganizationSlug) throws -> Organization? {
        try tx.first(
            Query(
                """
                INSERT INTO organizations AS o (tenant_id, name, slug, created_at, updated_at)
                VALUES (\(tx.caller.tenant), \(name), \(slug), \(tx.now), \(tx.now))
                ON CONFLICT DO NOTHING RETURNING \(fragment: Self.columns)
                """, Self.read))
    }

    /// Throws `OrganizationFailure.slugTaken`.
    func save(_ organization: Organization) throws {
        do {
            try tx.execute(
                """
                UPDATE organizations SET name = \(organization.name), slug = \(organization.slug), updated_at = \(organization.updatedAt),
                    version = \(organization.version)
                WHERE tenant_id = \(organization.id)
                """)
        } catch let failure as PostgresFailure where failure.isUniqueViolation && failure.constraint == "organizations_slug" {
            throw OrganizationFailure.slugTaken
        }
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

    /// A page of them, newest first.
    static func page(of user: UserID, after cursor: (Date, UUID)?, limit: Int) -> Query<Membership> {
        let rest: SQL = cursor.map { " AND (p.created_at, o.tenant_id) < (\($0.0), \($0.1))" } ?? .empty
        return Query(
            """
            SELECT \(fragment: PersonStore.columns), \(fragment: OrganizationStore.columns)
            FROM people p JOIN organizations o USING (tenant_id)
            WHERE p.user_id = \(user) AND p.status <> 'invited'\(fragment: rest)
            ORDER BY p.created_at DESC, o.tenant_id DESC LIMIT \(limit)
            """, read)
    }

    static func organization(slug: String) -> Query<Organization> {
        Query("SELECT \(fragment: OrganizationStore.columns) FROM organizations o WHERE o.slug = \(slug)", OrganizationStore.read)
    }
}
