import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// What the platform's other programs ask.
struct InternalRoutes {
    let database: Database

    var endpoints: [Endpoints] {
        [
            Endpoints("/internal/v1/registrations") {
                Endpoint.put(
                    ":userID", "Make a person and their organization, or let them join the one that invited", may: .service, register)
            },
            Endpoints("/internal/v1/people") {
                Endpoint.get(":userID/claims", "What a token may say of a person", may: .service, claims)
                Endpoint.get(":userID/demands", "What a person's organizations demand of them", may: .service, demands)
            },
            Endpoints("/internal/v1/organizations") {
                Endpoint.get(":id", "An organization as it stands", may: .service, standing)
                Endpoint.get("by-slug/:slug", "The organization of a slug", may: .service, organization)
                Endpoint.get("by-domain/:domain", "The organization that has verified a domain", may: .service, domainOwner)
                Endpoint.put(":id/members/:userID", "Let somebody join who proved who they are elsewhere", may: .service, admit)
            },
        ]
    }

    // MARK: - Registration

    /// May be repeated: the same person answers with the same claims, and nothing is changed or announced again.
    func register(_ request: CallerRequest, _ body: RegistrationRequest) async throws -> PersonClaims {
        let user = try request.path("userID", as: UserID.self)
        let newcomer = Joining.Newcomer(
            account: user, email: body.email, firstName: body.firstName, lastName: body.lastName, gdprConsent: body.gdprConsent,
            marketingConsent: body.marketingConsent)
        if let text = body.invitationToken { return try await join(text, newcomer, request) }
        let slug = try Self.checked(body.organizationSlug)
        let caller = Caller(.person(user), tenant: body.organizationID)
        return try await database.transaction(as: caller) { tx in
            if let known = try tx.first(MembershipStore.of(user)) { return try known.claims() }
            do {
                return try Joining(tx: tx, request: request.http).found(body.organizationName, slug: slug, owner: newcomer).claims()
            } catch let failure as OrganizationFailure {
                // The same registration, at the same moment, from another process: it has just been committed.
                if let known = try tx.first(MembershipStore.of(user)) { return try known.claims() }
                throw failure
            }
        }
    }

    /// Every refusal is one of the token, so that auth can hand it on as it is.
    private func join(_ text: String, _ newcomer: Joining.Newcomer, _ request: CallerRequest) async throws -> PersonClaims {
        do {
            guard let token = InvitationToken(text) else { throw InvitationFailure.notFound }
            return try await database.transaction(as: Caller(.person(newcomer.account), tenant: token.tenant)) { tx in
                do {
                    return try Joining(tx: tx, request: request.http).accept(token, newcomer).claims()
                } catch ResourceFailure.notFound {
                    throw InvitationFailure.notFound
                }
            }
        } catch let failure as InvitationFailure {
            throw ValidationFailure("/invitationToken", failure.code, failure.detail ?? "is not good")
        }
    }

    private static func checked(_ slug: Slug?) throws(ValidationFailure) -> OrganizationSlug? {
        guard let slug else { return nil }
        do {
            return try OrganizationSlug(slug.rawValue)
        } catch {
            throw ValidationFailure("/organizationSlug", error.code, error.detail)
        }
    }

    /// May be repeated: who is a member keeps the role they have.
    func admit(_ request: CallerRequest, _ body: MembershipRequest) async throws -> PersonClaims {
        let user = try request.path("userID", as: UserID.self), id = try request.path("id", as: TenantID.self)
        guard let name = RoleName(rawValue: body.role), name != .owner else {
            throw ValidationFailure("/role", "invalid-role", "must be a role of the organization, and not owner")
        }
        let newcomer = Joining.Newcomer(account: user, email: body.email, firstName: body.firstName, lastName: body.lastName)
        return try await database.transaction(as: Caller(.person(user), tenant: id)) { tx in
            try Joining(tx: tx, request: request.http).admit(newcomer, as: try RoleStore(tx: tx).granted(name)).claims()
        }
    }

    // MARK: - Claims

    struct ClaimsQuery: Decodable, Sendable {
        /// Id or slug. Without it, the organization that the person has belonged to longest.
        let organization: Label?
    }

    /// 404 when the person belongs to none, or not to the named one; 409 while they, or it, are suspended.
    func claims(_ request: CallerRequest, _ query: ClaimsQuery) async throws -> PersonClaims {
        let user = try request.path("userID", as: UserID.self)
        let named = query.organization?.rawValue
        async let isSuperadmin = database.first(PlatformAdminStore.isOne(user), as: PlatformAdminStore.caller)
        let memberships: [Membership]
        if let id = named.flatMap({ TenantID($0) }) {
            memberships = try await database.query(MembershipStore.of(user), as: .service(.users, for: id))
        } else {
            memberships = try await database.platform(PlatformWork("memberships at sign-in")) { tx in
                try tx.query(MembershipStore.of(user, slug: named))
            }
        }
        return try Membership.claims(from: memberships, isSuperadmin: try await isSuperadmin ?? false)
    }

    /// Also of organizations where they, or it, are suspended: both may come back. Nothing is demanded of who belongs to none.
    func demands(_ request: CallerRequest) async throws -> PersonDemands {
        let user = try request.path("userID", as: UserID.self)
        let memberships = try await database.platform(PlatformWork("memberships at sign-in")) { tx in
            try tx.query(MembershipStore.of(user, slug: nil))
        }
        let joined = memberships.filter { $0.person.status != .invited && $0.organization.status != .deleted }
        return PersonDemands(secondFactor: joined.contains { $0.organization.settings.requireSecondFactor })
    }

    // MARK: - Organizations

    /// Whatever its status, also when nobody is left in it.
    func standing(_ request: CallerRequest) async throws -> PersonClaims.Organization {
        let id = try request.path("id", as: TenantID.self)
        let found = try await database.first(OrganizationStore.find(id), as: .service(.users, for: id))
        guard let found else { throw ResourceFailure.notFound }
        return PersonClaims.Organization(found)
    }

    func organization(_ request: CallerRequest) async throws -> OrganizationReference {
        let slug = try request.path("slug", as: String.self)
        let found = try await database.platform(PlatformWork("organization of a slug")) { tx in
            try tx.first(MembershipStore.organization(slug: slug))
        }
        guard let found else { throw ResourceFailure.notFound }
        return OrganizationReference(id: found.id, slug: found.slug.rawValue, status: found.status.rawValue)
    }

    func domainOwner(_ request: CallerRequest) async throws -> DomainOwner {
        let text = try request.path("domain", as: String.self)
        guard let domain = DomainName(rawValue: text) else { throw ResourceFailure.notFound }
        let found = try await database.platform(PlatformWork("organization of a domain")) { tx in
            try tx.first(MembershipStore.organization(domain: domain.rawValue))
        }
        guard let found else { throw ResourceFailure.notFound }
        return DomainOwner(organization: found.id, slug: found.slug.rawValue)
    }
}
