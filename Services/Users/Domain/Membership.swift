import Contracts
import Foundation

/// Somebody and one organization they belong to.
struct Membership: Sendable {
    let person: Person
    let organization: Organization

    /// What a token says. Throws while the person or the organization is suspended.
    func claims() throws(MemberFailure) -> PersonClaims {
        guard organization.status == .active else { throw .organizationSuspended }
        guard person.status == .active else { throw .suspended }
        return PersonClaims(
            userID: person.id, email: person.email.rawValue, firstName: person.profile.firstName?.rawValue,
            lastName: person.profile.lastName?.rawValue,
            organization: .init(
                id: organization.id, name: organization.name.rawValue, slug: organization.slug.rawValue, plan: organization.plan,
                status: organization.status.rawValue),
            roles: [person.role.rawValue], permissions: person.role.permissions)
    }

    /// The one to sign in to, of several in the order in which they began: the first that can be used. Invitations do not count.
    static func claims(from memberships: [Membership]) throws -> PersonClaims {
        let joined = memberships.filter { $0.person.status != .invited }
        guard let first = joined.first else { throw ResourceFailure.notFound }
        let usable = joined.first { $0.person.status == .active && $0.organization.status == .active }
        return try (usable ?? first).claims()
    }
}
