import Contracts
import Foundation

/// The roles that a member can have. (Roles of an organization's own come beside these.)
enum Role: String, Sendable, Codable, CaseIterable {
    case owner, admin, developer, editor, user, viewer

    var permissions: [Permission] { BuiltInRole(rawValue: rawValue)?.permissions ?? [] }
}

enum PersonStatus: String, Sendable, Codable, CaseIterable {
    case active
    /// Known to the organization, without an account that has joined it.
    case invited
    case suspended
}

/// What somebody says of themselves, and may change.
struct Profile: Sendable, Equatable {
    var firstName: Name?
    var lastName: Name?
    var company: Name?
    var jobTitle: Name?
    var phone: PhoneNumber?
    var timezone = TimeZoneName.utc
    var language = LanguageTag.english
    var marketingConsent = false
}

/// Somebody in one organization.
struct Person: Sendable, Equatable {
    let id: UserID
    let email: EmailAddress
    private(set) var profile: Profile
    private(set) var role: Role
    private(set) var status: PersonStatus
    let gdprConsent: Bool
    let createdAt: Date
    private(set) var updatedAt: Date
    private(set) var version: Int

    init(
        id: UserID, email: EmailAddress, profile: Profile, role: Role, status: PersonStatus, gdprConsent: Bool, createdAt: Date,
        updatedAt: Date, version: Int
    ) {
        self.id = id
        self.email = email
        self.profile = profile
        self.role = role
        self.status = status
        self.gdprConsent = gdprConsent
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.version = version
    }

    /// A new row, in the state it is first stored in.
    init(new id: UserID, email: EmailAddress, profile: Profile, role: Role, status: PersonStatus, gdprConsent: Bool, at now: Date) {
        self.init(
            id: id, email: email, profile: profile, role: role, status: status, gdprConsent: gdprConsent, createdAt: now, updatedAt: now,
            version: 1)
    }

    var isActiveOwner: Bool { role == .owner && status == .active }
    var created: UserCreated {
        UserCreated(
            userID: id, email: email.rawValue, firstName: profile.firstName?.rawValue, lastName: profile.lastName?.rawValue,
            role: role.rawValue)
    }
    var added: MemberAdded { MemberAdded(userID: id, email: email.rawValue, role: role.rawValue) }
    private var updated: UserUpdated {
        UserUpdated(
            userID: id, email: email.rawValue, firstName: profile.firstName?.rawValue, lastName: profile.lastName?.rawValue,
            role: role.rawValue, status: status.rawValue)
    }

    /// The events that a change causes; none when nothing is different from before.
    ///
    /// `otherOwners` counts the active owners beside this person: an organization always has one.
    mutating func change(
        profile: Profile, role: Role, status: PersonStatus, by actor: Actor, otherOwners: Int, at now: Date
    ) throws(MemberFailure) -> [any Event] {
        let rights = role != self.role || status != self.status
        guard rights || profile != self.profile else { return [] }
        if rights {
            if self.role == .owner || role == .owner { try actor.requireOwner() }
            if isActiveOwner, role != .owner || status != .active, otherOwners == 0 { throw .lastOwner }
            // Who has not joined has nothing to suspend, and cannot be made to have joined.
            if status != self.status, status == .invited || self.status == .invited { throw .notJoined }
        }
        let hasNewRole = role != self.role
        self.profile = profile
        self.role = role
        self.status = status
        updatedAt = now
        version += 1
        return hasNewRole ? [updated, MemberRoleChanged(userID: id, role: role.rawValue)] : [updated]
    }

    /// The events of leaving the organization for good.
    func remove(by actor: Actor, otherOwners: Int) throws(MemberFailure) -> [any Event] {
        if role == .owner { try actor.requireOwner() }
        if isActiveOwner, otherOwners == 0 { throw .lastOwner }
        return [MemberRemoved(userID: id), UserDeleted(userID: id)]
    }
}

/// Who changes a member: owners are made, changed and removed by owners alone.
struct Actor: Sendable {
    let isOwner: Bool

    /// Rights as they are now. A token says what they were when it was signed: who was demoted, suspended or removed since must
    /// not be able to undo that with it. Without a permission, being an active member is enough.
    init(_ caller: Caller, now member: Person?, needing permission: Permission?) throws(AccessFailure) {
        if caller.roles.contains(BuiltInRole.superadmin.rawValue) {
            isOwner = true
            return
        }
        guard let member, member.status == .active,
            permission.map({ needed in member.role.permissions.contains { $0.allows(needed) } }) ?? true
        else { throw .missingPermission(permission ?? "users:write") }
        isOwner = member.role == .owner
    }

    func requireOwner() throws(MemberFailure) {
        guard isOwner else { throw .ownersOnly }
    }
}

/// Refusals about members.
enum MemberFailure: String, Failure {
    case emailTaken = "email-taken"
    case lastOwner = "last-owner"
    case ownersOnly = "owners-only"
    case notJoined = "not-joined"
    /// To auth: this person may not sign in here.
    case suspended = "member-suspended"
    case organizationSuspended = "organization-suspended"

    var kind: FailureKind {
        switch self {
        // Auth shows the last two to the person as 403; between services that would say that the service token was refused.
        case .emailTaken, .lastOwner, .notJoined, .suspended, .organizationSuspended: .conflict
        case .ownersOnly: .forbidden
        }
    }

    var detail: String? {
        switch self {
        case .emailTaken: "Somebody in this organization has this e-mail address."
        case .lastOwner: "An organization always has an owner: make somebody else one first."
        case .ownersOnly: "Only an owner may make, change or remove an owner."
        case .notJoined: "This person has not joined yet: suspend or activate them when they have."
        case .suspended: "This membership is suspended."
        case .organizationSuspended: "This organization is suspended."
        }
    }
}
