import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// The caller's organization, and which others they belong to.
struct OrganizationRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("organizations") {
            Endpoint.get("", "List the organizations you belong to", may: .signedIn, mine)
            Endpoint.get(":id", "Read your organization", may: "organizations:read", read)
            Endpoint.patch(":id", "Change your organization", may: "organizations:write", patch)
        }
    }

    struct MineQuery: Decodable, Sendable {
        let limit: PageLimit?
        let cursor: Cursor?
    }

    struct OrganizationPatch: Decodable, Sendable {
        let name: Change<Name>
        let slug: Change<OrganizationSlug>
    }

    /// Through the platform's door, for the caller's own memberships alone.
    func mine(_ request: CallerRequest, _ query: MineQuery) async throws -> Page<OrganizationView> {
        let user = try request.user()
        let limit = query.limit ?? .standard
        let after = try query.cursor.map { cursor in
            guard let keys = cursor.timeAndID else {
                throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
            }
            return keys
        }
        let memberships = try await database.platform(PlatformWork("organizations of a person")) { tx in
            try tx.query(MembershipStore.page(of: user, after: after, limit: limit.value + 1))
        }
        let shown = memberships.prefix(limit.value)
        let next =
            memberships.count > limit.value
            ? shown.last.map { Cursor(time: $0.person.createdAt, id: $0.organization.id.uuid) } : nil
        return Page(shown.map { OrganizationView($0.organization, role: $0.person.role) }, next: next)
    }

    func read(_ request: CallerRequest) async throws -> OrganizationView {
        let id = try request.path("id", as: TenantID.self)
        guard let found = try await database.first(OrganizationStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return OrganizationView(found)
    }

    func patch(_ request: CallerRequest, _ body: OrganizationPatch) async throws -> OrganizationView {
        guard try request.path("id", as: TenantID.self) == request.caller.tenant else { throw ResourceFailure.notFound }
        return try await database.transaction(as: request.caller) { tx in
            _ = try PersonStore(tx: tx).actor(request.caller, needing: "organizations:write")
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            try request.requireMatch(EntityTag(version: organization.version))
            let updated = organization.change(
                name: try Self.required("name", body.name, organization.name),
                slug: try Self.required("slug", body.slug, organization.slug), at: tx.now)
            guard let updated else { return OrganizationView(organization) }
            try organizations.save(organization)
            try Outbox(tx).append(updated)
            try Audit(tx, request.http).record(
                "users.organization.update", "organization", organization.id.description, risk: "medium",
                changed: ["name": .string(organization.name.rawValue), "slug": .string(organization.slug.rawValue)])
            return OrganizationView(organization)
        }
    }

    private static func required<Value>(_ field: String, _ change: Change<Value>, _ current: Value) throws(ValidationFailure) -> Value {
        guard let value = change.applied(to: current) else { throw ValidationFailure("/\(field)", "null", "must not be null") }
        return value
    }
}
