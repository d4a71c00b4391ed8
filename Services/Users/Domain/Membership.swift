import Contracts
import Foundation

/// Somebody and one organization they belong to.
struct Membership: Sendable {
    /// Organizations that one person may found.
    static let ownedLimit = 50

    let person: Person
    let organization: Organization

    /// What a token says. Throws while the person or the organization is suspended, or the organization deleted.
    func claims(isSuperadmin: Bool = false) throws(MemberFailure) -> PersonClaims {
        try organization.requireActive()
        guard person.status == .active else { throw .suspended }
        return PersonClaims(
            userID: person.id, email: person.email.rawValue, firstName: person.profile.firstName?.rawValue,
            lastName: person.profile.lastName?.rawValue,
            organization: .init(organization),
            // The rights of a platform admin are on the platform's own endpoints; in the organization they have their role's.
            roles: [person.role.rawValue] + (isSuperadmin ? [BuiltInRole.superadmin.rawValue] : []), permissions: person.permissions,
            requiresSecondFactor: organization.settings.requireSecondFactor)
    }

    /// The one to sign in to, of several in the order in which they began: the first that can be used.
    /// Invitations and deleted organizations do not count.
    static func claims(from memberships: [Membership], isSuperadmin: Bool = false) throws -> PersonClaims {
        let joined = memberships.filter { $0.person.status != .invited && $0.organization.status != .deleted }
        guard let first = joined.first else { throw ResourceFailure.notFound }
        let usable = joined.first { $0.person.status == .active && $0.organization.status == .active }
        return try (usable ?? first).claims(isSuperadmin: isSuperadmin)
    }
}

extension PersonClaims.Organization {
    init(_ organization: Organization) {
        self.init(
            id: organization.id, name: organization.name.rawValue, slug: organization.slug.rawValue, plan: organization.plan.rawValue,
            status: organization.status.rawValue)
    }
}
