import Contracts
import Foundation
import HTTPTypes
import Messaging
import Postgres
import ServiceKit

/// The caller's organization, which others they belong to, and new ones.
struct OrganizationRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("organizations") {
            Endpoint.get("", "List the organizations you belong to", may: .signedIn, mine)
            Endpoint.post("", "Found a further organization", may: .signedIn, found)
            Endpoint.get("branding", "How an organization shows itself where people sign in", .public, publicBranding)
            Endpoint.get(":id", "Read your organization", may: "organizations:read", read)
            Endpoint.patch(":id", "Change your organization", may: "organizations:write", patch)
            Endpoint.get(":id/branding", "Read the branding", may: "organizations:read", branding)
            Endpoint.put(":id/branding", "Replace the branding", may: "organizations:write", replaceBranding)
            Endpoint.get(":id/usage", "See how much of its plan the organization uses", may: "organizations:read", usage)
        }
    }

    struct MineQuery: Decodable, Sendable {
        let limit: PageLimit?
        let cursor: Cursor?
    }

    struct OrganizationDraft: Decodable, Sendable {
        let name: Name
        let slug: OrganizationSlug?
    }

    struct BrandingQuery: Decodable, Sendable {
        let slug: Slug
    }

    // MARK: - Which there are

    /// Through the platform's door, for the caller's own memberships alone. A key, or somebody who acts for the person, belongs to one
    /// organization: it learns nothing of the others.
    func mine(_ request: CallerRequest, _ query: MineQuery) async throws -> Page<OrganizationView> {
        let user = try request.user()
        let limit = query.limit ?? .standard, now = request.now
        let after = try query.cursor?.newestFirst()
        let page = MembershipStore.page(of: user, after: after, limit: limit.value + 1)
        let isInPerson = (try? request.person()) != nil
        let memberships =
            isInPerson
            ? try await database.platform(PlatformWork("organizations of a person")) { tx in try tx.query(page) }
            : try await database.query(page, as: request.caller)
        let shown = memberships.prefix(limit.value)
        let next =
            memberships.count > limit.value
            ? shown.last.map { Cursor(time: $0.person.createdAt, id: $0.organization.id.uuid) } : nil
        return Page(shown.map { OrganizationView($0.organization, at: now, role: $0.person.role) }, next: next)
    }

    /// The founder is its owner, under the name they have in the organization they are signed in to.
    func found(_ request: CallerRequest, _ draft: OrganizationDraft) async throws -> Created<OrganizationView> {
        let user = try request.person(), now = request.now
        guard let own = try await database.first(PersonStore.find(user), as: request.caller), own.status == .active else {
            throw AccessFailure.missingPermission("organizations:read")
        }
        let owned = try await database.platform(PlatformWork("organizations of a person")) { tx in
            try tx.first(MembershipStore.owned(by: user)) ?? 0
        }
        guard owned < Membership.ownedLimit else { throw OrganizationFailure.tooMany }
        let caller = Caller(.person(user), tenant: .make(at: now))
        return try await database.transaction(as: caller) { tx in
            var profile = own.profile
            profile.dataRetentionUntil = nil
            let membership = try Joining(tx: tx, request: request.http).found(
                draft.name, slug: draft.slug,
                owner: .init(account: user, email: own.email, gdprConsent: own.gdprConsent, marketingConsent: false), profile: profile)
            return Created(
                OrganizationView(membership.organization, at: now, role: membership.person.role),
                at: "/api/v1/organizations/\(membership.organization.id)")
        }
    }

    // MARK: - The caller's own

    func read(_ request: CallerRequest) async throws -> OrganizationView {
        let id = try request.path("id", as: TenantID.self)
        guard let found = try await database.first(OrganizationStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return OrganizationView(found, at: request.now)
    }

    func patch(_ request: CallerRequest, _ body: OrganizationPatch) async throws -> OrganizationView {
        try await change(request, "users.organization.update", risk: "medium") { organization, actor, tx in
            let form = try body.applied(to: organization.form)
            if form.settings.defaultRole != organization.settings.defaultRole {
                let role = try RoleStore(tx: tx).granted(form.settings.defaultRole, field: "/settings/defaultRole")
                // Whoever joins without an invitation must not be let in with more than the one who says so has.
                if role.name == .owner { try actor.requireOwner() }
                try actor.requireCover(of: role.permissions)
            }
            return organization.change(form, at: tx.now)
        }
    }

    func branding(_ request: CallerRequest) async throws -> BrandingView { BrandingView(try await read(own: request)) }

    func replaceBranding(_ request: CallerRequest, _ body: BrandingBody) async throws -> BrandingView {
        let view = try await changed(request, "users.organization.brand", risk: "low") { organization, _, tx in
            try organization.change(body.branding, at: tx.now)
        }
        return BrandingView(view)
    }

    /// A slug that nobody has answers as one that says nothing of itself.
    func publicBranding(_ request: PublicRequest, _ query: BrandingQuery) async throws -> BrandingView {
        let slug = query.slug.rawValue
        let found = try await database.platform(PlatformWork("organization of a slug")) { tx in
            try tx.first(MembershipStore.organization(slug: slug))
        }
        return BrandingView(found?.status == .active ? found?.branding ?? Branding() : Branding())
    }

    func usage(_ request: CallerRequest) async throws -> UsageView {
        let organization = try await read(own: request)
        async let seats = database.first(UsageStore.seats(), as: request.caller, slow: true)
        async let storage = database.first(UsageStore.storage(), as: request.caller)
        return UsageView(organization, try await seats, try await storage)
    }

    private func read(own request: CallerRequest) async throws -> Organization {
        let id = try request.requireOwnOrganization()
        guard let found = try await database.first(OrganizationStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return found
    }

    // MARK: - Changing

    private func change(
        _ request: CallerRequest, _ action: String, risk: String,
        _ body: @escaping @Sendable (inout Organization, Actor, Transaction) throws -> OrganizationUpdated?
    ) async throws -> OrganizationView {
        OrganizationView(try await changed(request, action, risk: risk, body), at: request.now)
    }

    private func changed(
        _ request: CallerRequest, _ action: String, risk: String,
        _ body: @escaping @Sendable (inout Organization, Actor, Transaction) throws -> OrganizationUpdated?
    ) async throws -> Organization {
        try request.requireOwnOrganization()
        return try await database.transaction(as: request.caller) { tx in
            let actor = try PersonStore(tx: tx).actor(request.caller, needing: "organizations:write")
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            try organization.requireActive()
            try request.requireMatch(EntityTag(version: organization.version))
            let before = organization
            guard let updated = try body(&organization, actor, tx) else { return organization }
            try organizations.save(organization)
            try Outbox(tx).append(updated)
            let (was, changed) = before.differences(organization)
            try Audit(tx, request.http).record(
                action, "organization", organization.id.description, risk: risk, was: was, changed: changed)
            return organization
        }
    }
}

extension Organization {
    /// What an audit entry says of a change.
    func differences(_ new: Organization) -> (was: [String: JSONValue], changed: [String: JSONValue]) {
        var was: [String: JSONValue] = [:], changed: [String: JSONValue] = [:]
        for (key, value) in values {
            guard let other = new.values[key], other != value else { continue }
            was[key] = value
            changed[key] = other
        }
        return (was, changed)
    }

    private var values: [String: JSONValue] {
        func json(_ value: some Encodable) -> JSONValue {
            (try? JSON.encode(value)).flatMap { try? JSON.decode(JSONValue.self, from: $0) } ?? .null
        }
        return [
            "name": .string(name.rawValue), "slug": .string(slug.rawValue), "status": .string(status.rawValue),
            "plan": .string(plan.rawValue),
            "maxUsers": .integer(limits.seats), "storageLimitGb": .integer(limits.storageGB),
            "features": .array(granted.map(\.rawValue).sorted().map { .string($0) }), "subscriptionStatus": .string(subscription.rawValue),
            "trialEndsAt": trialEndsAt.map { .string(Timestamp.text($0)) } ?? .null, "dataResidency": .string(dataResidency.rawValue),
            "settings": json(settings), "branding": json(branding), "domain": domain.map { .string($0) } ?? .null,
        ]
    }
}
