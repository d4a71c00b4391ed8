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
    let role: String
    let status: PersonStatus
    let company: String?
    let jobTitle: String?
    let phone: String?
    let timezone: String
    let language: String
    let consents: Consents
    let dataRetentionUntil: String?
    let createdAt: Date
    let updatedAt: Date
    let version: Int

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ person: Person) {
        id = person.id
        email = person.email.rawValue
        firstName = person.profile.firstName?.rawValue
        lastName = person.profile.lastName?.rawValue
        role = person.role.rawValue
        status = person.status
        company = person.profile.company?.rawValue
        jobTitle = person.profile.jobTitle?.rawValue
        phone = person.profile.phone?.rawValue
        timezone = person.profile.timezone.rawValue
        language = person.profile.language.rawValue
        consents = Consents(gdpr: person.gdprConsent, marketing: person.profile.marketingConsent)
        dataRetentionUntil = person.profile.dataRetentionUntil?.rawValue
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
    let role: String
    let status: PersonStatus
    let joinedAt: Date
    let version: Int

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ person: Person) {
        userId = person.id
        email = person.email.rawValue
        firstName = person.profile.firstName?.rawValue
        lastName = person.profile.lastName?.rawValue
        role = person.role.rawValue
        status = person.status
        joinedAt = person.createdAt
        version = person.version
    }
}

/// What was set in motion for somebody who cannot sign in.
struct PasswordResetView: View {
    let userId: UserID
}

extension OrganizationReference: View {}
extension PersonClaims: View {}
extension PersonClaims.Organization: View {}
extension PersonDemands: View {}
extension DomainOwner: View {}
