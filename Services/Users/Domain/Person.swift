import Contracts
import Foundation

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
    /// Until when the organization keeps what it knows of the person, where it has said so.
    var dataRetentionUntil: CalendarDate?
}

/// Somebody in one organization.
struct Person: Sendable, Equatable {
    let id: UserID
    let email: EmailAddress
    private(set) var profile: Profile
    private(set) var role: RoleName
    /// What the role grants now.
    private(set) var permissions: [Permission]
    private(set) var status: PersonStatus
    private(set) var gdprConsent: Bool
    let createdAt: Date
    private(set) var updatedAt: Date
    private(set) var version: Int

    init(
        id: UserID, email: EmailAddress, profile: Profile, role: RoleName, permissions: [Permission], status: PersonStatus,
        gdprConsent: Bool, createdAt: Date, updatedAt: Date, version: Int
    ) {
        self.id = id
        self.email = email
        self.profile = profile
        self.role = role
        self.permissions = permissions
        self.status = status
        self.gdprConsent = gdprConsent
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.version = version
    }

    /// A new row, in the state it is first stored in.
    init(
        new id: UserID, email: EmailAddress, profile: Profile, role: GrantedRole, status: PersonStatus, gdprConsent: Bool, at now: Date
    ) {
        self.init(
            id: id, email: email, profile: profile, role: role.name, permissions: role.permissions, status: status,
            gdprConsent: gdprConsent, createdAt: now, updatedAt: now, version: 1)
    }

    var isActiveOwner: Bool { role == .owner && status == .active }
    /// Who is suspended takes no seat; who is invited keeps theirs free.
    var takesSeat: Bool { status != .suspended }
    var displayName: String {
        let name = [profile.firstName, profile.lastName].compactMap { $0?.rawValue }.joined(separator: " ")
        return name.isEmpty ? email.rawValue : name
    }
    var created: UserCreated {
        UserCreated(
            userID: id, email: email.rawValue, firstName: profile.firstName?.rawValue, lastName: profile.lastName?.rawValue,
            role: role.rawValue)
    }
    var added: MemberAdded { MemberAdded(userID: id, email: email.rawValue, role: role.rawValue) }
    var updated: UserUpdated {
        UserUpdated(
            userID: id, email: email.rawValue, firstName: profile.firstName?.rawValue, lastName: profile.lastName?.rawValue,
            role: role.rawValue, status: status.rawValue)
    }

    /// What a change did; `events` is empty when nothing is different from before.
    struct Change: Sendable {
        var events: [any Event] = []
        /// Tokens may say more than is so now.
        var hasLostRights = false
        var wasSuspended = false
        /// A seat is needed that was not taken before.
        var needsSeat = false
    }

    /// `otherOwners` counts the active owners beside this person: an organization always has one.
    mutating func change(
        profile: Profile, role: GrantedRole, status: PersonStatus, by actor: Actor, otherOwners: Int, at now: Date
    ) throws(MemberFailure) -> Change {
        let hasNewRole = role.name != self.role, hasNewStatus = status != self.status
        guard hasNewRole || hasNewStatus || profile != self.profile else { return Change() }
        if hasNewRole || hasNewStatus {
            if self.role == .owner || role.name == .owner { try actor.requireOwner() }
            if isActiveOwner, role.name != .owner || status != .active, otherOwners == 0 { throw .lastOwner }
            // Who has not joined has nothing to suspend, and cannot be made to have joined.
            if hasNewStatus, status == .invited || self.status == .invited { throw .notJoined }
            try actor.requireCover(of: permissions)
            try actor.requireCover(of: role.permissions)
        }
        var change = Change()
        change.hasLostRights = hasNewRole && !PermissionSet(role.permissions).covers(PermissionSet(permissions))
        // An owner may do what no permission says.
        if hasNewRole, self.role == .owner { change.hasLostRights = true }
        change.wasSuspended = hasNewStatus && status == .suspended
        change.needsSeat = hasNewStatus && self.status == .suspended
        self.profile = profile
        self.role = role.name
        permissions = role.permissions
        self.status = status
        updatedAt = now
        version += 1
        change.events = hasNewRole ? [updated, MemberRoleChanged(userID: id, role: role.name.rawValue)] : [updated]
        return change
    }

    /// The events of leaving the organization for good.
    func remove(by actor: Actor, otherOwners: Int) throws(MemberFailure) -> [any Event] {
        if role == .owner { try actor.requireOwner() }
        try actor.requireCover(of: permissions)
        return try leave(otherOwners: otherOwners)
    }

    /// The same, by the person's own will.
    func leave(otherOwners: Int) throws(MemberFailure) -> [any Event] {
        if isActiveOwner, otherOwners == 0 { throw .lastOwner }
        return [MemberRemoved(userID: id), UserDeleted(userID: id)]
    }

    /// Somebody invited has come, under the id of their account. What they say of themselves fills what nobody had said.
    func joined(as account: UserID, firstName: Name?, lastName: Name?, gdprConsent: Bool, marketingConsent: Bool, at now: Date) -> Person {
        var profile = profile
        profile.firstName = profile.firstName ?? firstName
        profile.lastName = profile.lastName ?? lastName
        profile.marketingConsent = marketingConsent
        return Person(
            id: account, email: email, profile: profile, role: role, permissions: permissions, status: .active,
            gdprConsent: gdprConsent, createdAt: createdAt, updatedAt: now, version: version + 1)
    }
}

/// A role with what it grants, as it is when it is given.
struct GrantedRole: Sendable, Equatable {
    let name: RoleName
    let permissions: [Permission]

    init(name: RoleName, permissions: [Permission]) {
        self.name = name
        self.permissions = permissions
    }

    init(_ role: BuiltInRole) { self.init(name: RoleName(checked: role.rawValue), permissions: role.permissions) }

    static let owner = GrantedRole(.owner)
}

/// Who changes a member: owners are made, changed and removed by owners alone, and nobody deals out rights that they lack.
struct Actor: Sendable {
    let isOwner: Bool
    let rights: PermissionSet

    /// Rights as they are now. A token says what they were when it was signed: who was demoted, suspended or removed since must
    /// not be able to undo that with it. Without a permission, being an active member is enough. An API key has its owner's rights,
    /// as far as it was given them; a client has its own, and is nobody's owner.
    init(_ caller: Caller, now member: Person?, needing permission: Permission?) throws(AccessFailure) {
        if case .client = caller.principal, let permission {
            guard caller.may(permission) else { throw .missingPermission(permission) }
            rights = caller.permissions
            isOwner = false
            return
        }
        guard let member, member.status == .active else { throw .missingPermission(permission ?? "users:write") }
        let own = PermissionSet(member.permissions)
        rights = if case .apiKey = caller.principal { own.intersection(caller.permissions) } else { own }
        if let permission, !rights.allows(permission) { throw .missingPermission(permission) }
        isOwner = member.role == .owner
    }

    func requireOwner() throws(MemberFailure) {
        guard isOwner else { throw .ownersOnly }
    }

    /// Refuses to deal out, or to take, rights that the actor lacks.
    func requireCover(of permissions: [Permission]) throws(MemberFailure) {
        guard rights.covers(PermissionSet(permissions)) else { throw .widerThanYours }
    }
}

/// Refusals about members.
enum MemberFailure: String, Failure {
    case emailTaken = "email-taken"
    case lastOwner = "last-owner"
    case ownersOnly = "owners-only"
    case notJoined = "not-joined"
    case widerThanYours = "wider-than-yours"
    case seatsExhausted = "seats-exhausted"
    case notOwner = "not-owner"
    /// To auth: this person may not sign in here.
    case suspended = "member-suspended"
    case organizationSuspended = "organization-suspended"
    case organizationDeleted = "organization-deleted"

    var kind: FailureKind {
        switch self {
        // Auth shows the last three to the person as 403; between services that would say that the service token was refused.
        case .emailTaken, .lastOwner, .notJoined, .seatsExhausted, .notOwner, .suspended, .organizationSuspended, .organizationDeleted:
            .conflict
        case .ownersOnly, .widerThanYours: .forbidden
        }
    }

    var detail: String? {
        switch self {
        case .emailTaken: "Somebody in this organization has this e-mail address."
        case .lastOwner: "An organization always has an owner: make somebody else one first."
        case .ownersOnly: "Only an owner may make, change or remove an owner."
        case .notJoined: "This person has not joined yet: suspend or activate them when they have."
        case .widerThanYours: "Nobody gives or takes rights that they do not have themselves."
        case .seatsExhausted: "Every seat of the organization's plan is taken: remove or suspend somebody, or take a larger plan."
        case .notOwner: "Only an active member can become the owner."
        case .suspended: "This membership is suspended."
        case .organizationSuspended: "This organization is suspended."
        case .organizationDeleted: "This organization is deleted."
        }
    }
}
