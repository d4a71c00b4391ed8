import Contracts
import Foundation
import ServiceKit

/// Somebody in the caller's organization.
struct UserView: View {
    struct Consents: Codable, Sendable {
        let gdpr: Bool
        let marketing: Bool
    }

    let id: UserID
    let email: String
    let firstName: String?
    let lastName: String?
    let role: Role
    let status: PersonStatus
    let company: String?
    let jobTitle: String?
    let phone: String?
    let timezone: String
    let language: String
    let consents: Consents
    let createdAt: Date
    let updatedAt: Date
    let version: Int

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ person: Person) {
        id = person.id
        email = person.email.rawValue
        firstName = person.profile.firstName?.rawValue
        lastName = person.profile.lastName?.rawValue
        role = person.role
        status = person.status
        company = person.profile.company?.rawValue
        jobTitle = person.profile.jobTitle?.rawValue
        phone = person.profile.phone?.rawValue
        timezone = person.profile.timezone.rawValue
        language = person.profile.language.rawValue
        consents = Consents(gdpr: person.gdprConsent, marketing: person.profile.marketingConsent)
        createdAt = person.createdAt
        updatedAt = person.updatedAt
        version = person.version
    }
}

/// Somebody as a member: their place in the organization, not their profile.
struct MemberView: View {
    let userId: UserID
    let email: String
    let firstName: String?
    let lastName: String?
    let role: Role
    let status: PersonStatus
    let joinedAt: Date
    let version: Int

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ person: Person) {
        userId = person.id
        email = person.email.rawValue
        firstName = person.profile.firstName?.rawValue
        lastName = person.profile.lastName?.rawValue
        role = person.role
        status = person.status
        joinedAt = person.createdAt
        version = person.version
    }
}

struct OrganizationView: View {
    let id: TenantID
    let name: String
    let slug: String
    let domain: String?
    let status: Organization.Status
    let plan: String
    let maxUsers: Int
    let storageLimitGb: Int
    let trialEndsAt: Date?
    let dataResidency: String
    let createdAt: Date
    let updatedAt: Date
    let version: Int
    /// The caller's role in it, in the list of their organizations.
    let role: Role?

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ organization: Organization, role: Role? = nil) {
        id = organization.id
        name = organization.name.rawValue
        slug = organization.slug.rawValue
        domain = organization.domain
        status = organization.status
        plan = organization.plan
        maxUsers = organization.maxUsers
        storageLimitGb = organization.storageLimitGB
        trialEndsAt = organization.trialEndsAt
        dataResidency = organization.dataResidency
        createdAt = organization.createdAt
        updatedAt = organization.updatedAt
        version = organization.version
        self.role = role
    }
}

/// `GET /internal/v1/organizations/by-slug/{slug}`.
struct OrganizationReference: View {
    let id: TenantID
    let slug: String
    let status: Organization.Status
}

extension PersonClaims: View {}
