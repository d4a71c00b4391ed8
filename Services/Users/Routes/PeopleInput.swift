import Contracts
import Foundation
import ServiceKit

enum PeopleSort: String, Sendable, Codable, CaseIterable {
    case newestFirst = "-createdAt"
    case oldestFirst = "createdAt"
}

struct PeopleQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
    let sort: PeopleSort?
    let role: Role?
    let status: PersonStatus?
    /// A part of the address or the name.
    let q: Label?

    var filter: PersonStore.Filter {
        PersonStore.Filter(role: role, status: status, text: q?.rawValue, oldestFirst: sort == .oldestFirst)
    }
}

/// The states that a person can be put into; `invited` comes of itself.
enum SettableStatus: String, Sendable, Codable, CaseIterable {
    case active, suspended
    var status: PersonStatus { self == .active ? .active : .suspended }
}

struct UserDraft: Decodable, Sendable {
    let email: EmailAddress
    let firstName: Name?
    let lastName: Name?
    let role: Role?
    let company: Name?
    let jobTitle: Name?
    let phone: PhoneNumber?
    let timezone: TimeZoneName?
    let language: LanguageTag?

    var profile: Profile {
        Profile(
            firstName: firstName, lastName: lastName, company: company, jobTitle: jobTitle, phone: phone, timezone: timezone ?? .utc,
            language: language ?? .english)
    }
}

/// The whole profile anew: what is left out is cleared. Role and status are rights, not profile, and stay when left out.
struct UserReplacement: Decodable, Sendable {
    let firstName: Name?
    let lastName: Name?
    let company: Name?
    let jobTitle: Name?
    let phone: PhoneNumber?
    let timezone: TimeZoneName?
    let language: LanguageTag?
    let marketingConsent: Bool?
    let role: Role?
    let status: SettableStatus?

    func profile(replacing old: Profile) -> Profile {
        Profile(
            firstName: firstName, lastName: lastName, company: company, jobTitle: jobTitle, phone: phone, timezone: timezone ?? .utc,
            language: language ?? .english, marketingConsent: marketingConsent ?? old.marketingConsent)
    }
}

/// A person's own profile, as a merge patch.
struct ProfilePatch: Decodable, Sendable {
    let firstName: Change<Name>
    let lastName: Change<Name>
    let company: Change<Name>
    let jobTitle: Change<Name>
    let phone: Change<PhoneNumber>
    let timezone: Change<TimeZoneName>
    let language: Change<LanguageTag>
    let marketingConsent: Change<Bool>

    func applied(to profile: Profile) -> Profile {
        Profile(
            firstName: firstName.applied(to: profile.firstName), lastName: lastName.applied(to: profile.lastName),
            company: company.applied(to: profile.company), jobTitle: jobTitle.applied(to: profile.jobTitle),
            phone: phone.applied(to: profile.phone), timezone: timezone.applied(to: profile.timezone) ?? .utc,
            language: language.applied(to: profile.language) ?? .english,
            marketingConsent: marketingConsent.applied(to: profile.marketingConsent) ?? false)
    }
}

/// Another person's profile and rights, as a merge patch.
struct UserPatch: Decodable, Sendable {
    let firstName: Change<Name>
    let lastName: Change<Name>
    let company: Change<Name>
    let jobTitle: Change<Name>
    let phone: Change<PhoneNumber>
    let timezone: Change<TimeZoneName>
    let language: Change<LanguageTag>
    let marketingConsent: Change<Bool>
    let role: Change<Role>
    let status: Change<SettableStatus>

    var profile: ProfilePatch {
        ProfilePatch(
            firstName: firstName, lastName: lastName, company: company, jobTitle: jobTitle, phone: phone, timezone: timezone,
            language: language, marketingConsent: marketingConsent)
    }

    func role(of person: Person) throws(ValidationFailure) -> Role {
        guard let role = role.applied(to: person.role) else { throw ValidationFailure("/role", "null", "must not be null") }
        return role
    }

    func status(of person: Person) throws(ValidationFailure) -> PersonStatus {
        switch status {
        case .keep: return person.status
        case .set(let wanted): return wanted.status
        case .clear: throw ValidationFailure("/status", "null", "must not be null")
        }
    }
}

struct MemberPatch: Decodable, Sendable {
    let role: Role
}
