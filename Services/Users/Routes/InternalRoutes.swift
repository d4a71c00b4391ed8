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
                Endpoint.put(":userID", "Make a person and their organization", may: .service, register)
            },
            Endpoints("/internal/v1/people") {
                Endpoint.get(":userID/claims", "What a token may say of a person", may: .service, claims)
            },
            Endpoints("/internal/v1/organizations") {
                Endpoint.get("by-slug/:slug", "The organization of a slug", may: .service, organization)
            },
        ]
    }

    /// May be repeated: the same person answers with the same claims, and nothing is changed or announced again.
    func register(_ request: CallerRequest, _ body: RegistrationRequest) async throws -> PersonClaims {
        let user = try request.path("userID", as: UserID.self)
        let slug = try Self.checked(body.organizationSlug)
        let caller = Caller(.person(user), tenant: body.organizationID)
        return try await database.transaction(as: caller) { tx in
            if let known = try tx.first(MembershipStore.of(user)) { return try known.claims() }
            let organizations = OrganizationStore(tx: tx)
            let candidates = slug.map { [$0] } ?? OrganizationSlug.candidates(for: body.organizationName, id: body.organizationID)
            for candidate in candidates {
                guard let organization = try organizations.insert(body.organizationName, candidate) else { continue }
                return try Self.found(organization, user, body, in: tx, request.http)
            }
            // The same registration, at the same moment, from another process: it has just been committed.
            if let known = try tx.first(MembershipStore.of(user)) { return try known.claims() }
            let idIsTaken = try tx.first(OrganizationStore.find(body.organizationID)) != nil
            throw idIsTaken ? OrganizationFailure.exists : OrganizationFailure.slugTaken
        }
    }

    private static func found(
        _ organization: Organization, _ user: UserID, _ body: RegistrationRequest, in tx: Transaction, _ request: PublicRequest
    ) throws -> PersonClaims {
        var profile = Profile(firstName: body.firstName, lastName: body.lastName)
        profile.marketingConsent = body.marketingConsent
        let person = Person(
            new: user, email: body.email, profile: profile, role: .owner, status: .active, gdprConsent: body.gdprConsent, at: tx.now)
        try PersonStore(tx: tx).insert(person)
        try Outbox(tx).append([organization.created(by: user), person.created, person.added])
        try Audit(tx, request).record("users.organization.create", "organization", organization.id.description)
        return try Membership(person: person, organization: organization).claims()
    }

    private static func checked(_ slug: Slug?) throws(ValidationFailure) -> OrganizationSlug? {
        guard let slug else { return nil }
        do {
            return try OrganizationSlug(slug.rawValue)
        } catch {
            throw ValidationFailure("/organizationSlug", error.code, error.detail)
        }
    }

    struct ClaimsQuery: Decodable, Sendable {
        /// Id or slug. Without it, the organization that the person has belonged to longest.
        let organization: Label?
    }

    /// 404 when the person belongs to none, or not to the named one; 409 while they, or it, are suspended.
    func claims(_ request: CallerRequest, _ query: ClaimsQuery) async throws -> PersonClaims {
        let user = try request.path("userID", as: UserID.self)
        let named = query.organization?.rawValue
        if let id = named.flatMap({ TenantID($0) }) {
            let memberships = try await database.query(MembershipStore.of(user), as: .service(.users, for: id))
            return try Membership.claims(from: memberships)
        }
        let memberships = try await database.platform(PlatformWork("memberships at sign-in")) { tx in
            try tx.query(MembershipStore.of(user, slug: named))
        }
        return try Membership.claims(from: memberships)
    }

    func organization(_ request: CallerRequest) async throws -> OrganizationReference {
        let slug = try request.path("slug", as: String.self)
        let found = try await database.platform(PlatformWork("organization of a slug")) { tx in
            try tx.first(MembershipStore.organization(slug: slug))
        }
        guard let found else { throw ResourceFailure.notFound }
        return OrganizationReference(id: found.id, slug: found.slug.rawValue, status: found.status)
    }
}
