import Contracts
import Foundation
import ServiceKit

enum PeopleSort: String, Sendable, Codable, CaseIterable {
    case newestFirst = "-createdAt"
    case oldestFirst = "createdAt"
    case email
    case emailDescending = "-email"

    var order: PersonStore.Order {
        switch self {
        case .newestFirst: .newestFirst
        case .oldestFirst: .oldestFirst
        case .email: .email
        case .emailDescending: .emailDescending
        }
    }

    /// Where the page after a person begins.
    func cursor(after person: Person) -> Cursor {
        switch self {
        case .newestFirst, .oldestFirst: Cursor(time: person.createdAt, id: person.id.uuid)
        case .email, .emailDescending: Cursor(["email", person.email.rawValue])
        }
    }

    /// Throws when the cursor is of another list, or of this one in another order.
    func position(of cursor: Cursor) throws(ValidationFailure) -> PersonStore.Position {
        switch self {
        case .newestFirst, .oldestFirst:
            if let (time, id) = cursor.timeAndID { return .time(time, id) }
        case .email, .emailDescending:
            if cursor.keys.count == 2, cursor.keys[0] == "email" { return .email(cursor.keys[1]) }
        }
        throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
    }
}

struct PeopleQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
    let sort: PeopleSort?
    let role: RoleName?
    let status: PersonStatus?
    /// A part of the address, the name or the company.
    let q: Label?
    let email: EmailAddress?
    let company: Name?
    let createdFrom: Date?
    let createdBefore: Date?

    var filter: PersonStore.Filter {
        PersonStore.Filter(
            role: role, status: status, text: q?.rawValue, email: email, company: company, createdFrom: createdFrom,
            createdBefore: createdBefore)
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
    let role: RoleName?
    let company: Name?
    let jobTitle: Name?
    let phone: PhoneNumber?
    let timezone: TimeZoneName?
    let language: LanguageTag?
    let dataRetentionUntil: CalendarDate?
    /// A few words in the letter that invites them.
    let message: InvitationMessage?

    var profile: Profile {
        Profile(
            firstName: firstName, lastName: lastName, company: company, jobTitle: jobTitle, phone: phone, timezone: timezone ?? .utc,
            language: language ?? .english, dataRetentionUntil: dataRetentionUntil)
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
    let dataRetentionUntil: CalendarDate?
    let role: RoleName?
    let status: SettableStatus?

    func profile(replacing old: Profile) -> Profile {
        Profile(
            firstName: firstName, lastName: lastName, company: company, jobTitle: jobTitle, phone: phone, timezone: timezone ?? .utc,
            language: language ?? .english, marketingConsent: marketingConsent ?? old.marketingConsent,
            dataRetentionUntil: dataRetentionUntil)
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
            marketingConsent: marketingConsent.applied(to: profile.marketingConsent) ?? false,
            dataRetentionUntil: profile.dataRetentionUntil)
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
    /// The organization's business, not the person's.
    let dataRetentionUntil: Change<CalendarDate>
    let role: Change<RoleName>
    let status: Change<SettableStatus>

    func profile(of person: Person) -> Profile {
        let own = ProfilePatch(
            firstName: firstName, lastName: lastName, company: company, jobTitle: jobTitle, phone: phone, timezone: timezone,
            language: language, marketingConsent: marketingConsent)
        var profile = own.applied(to: person.profile)
        profile.dataRetentionUntil = dataRetentionUntil.applied(to: profile.dataRetentionUntil)
        return profile
    }

    func role(of person: Person) throws(ValidationFailure) -> RoleName {
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
    let role: RoleName
}
