import Contracts
import Foundation

/// What a member's role is called: one that ships, or one of the organization's own.
struct RoleName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let lengths = 2...50
    static var schema: Schema { .string(minLength: 2, maxLength: 50, pattern: "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$") }

    static let owner = RoleName(checked: BuiltInRole.owner.rawValue)
    static let user = RoleName(checked: BuiltInRole.user.rawValue)

    /// `superadmin` is of the platform, and no role in an organization.
    static let builtIn = BuiltInRole.allCases.filter { $0 != .superadmin }

    var builtIn: BuiltInRole? { BuiltInRole(rawValue: rawValue).flatMap { $0 == .superadmin ? nil : $0 } }

    static func check(_ text: String) throws(TextProblem) -> String {
        let parts = text.split(omittingEmptySubsequences: false) { $0 == "-" || $0 == "_" }
        let plain = parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) } }
        guard lengths.contains(text.utf8.count), plain, text.utf8.first.map({ (97...122).contains($0) }) ?? false else {
            throw TextProblem(
                "invalid-role", "must be \(lengths.lowerBound) to \(lengths.upperBound) lowercase letters and digits, joined by - or _")
        }
        guard text != BuiltInRole.superadmin.rawValue else {
            throw TextProblem("reserved-role", "is a role of the platform, not of an organization")
        }
        return text
    }
}

/// What a role is for, on a line or two.
struct RoleDescription: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let limit = 500
    static var schema: Schema { .string(maxLength: 500) }
    static func check(_ text: String) throws(TextProblem) -> String {
        guard text.unicodeScalars.count <= limit else { throw TextProblem("too-long", "must have at most \(limit) characters") }
        return try ShortText.check(text)
    }
}

/// What a role may grant: permissions of the platform's, or wildcards over them.
struct GrantablePermission: Sendable, Codable, Hashable, Described {
    let permission: Permission
    static var schema: Schema { Permission.schema }
    static var placeholder: GrantablePermission { GrantablePermission(permission: .placeholder) }

    init(permission: Permission) { self.permission = permission }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let permission = Permission(text), PermissionCatalog.knows(permission) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: container.codingPath, debugDescription: "unknown",
                    underlyingError: TextProblem("unknown-permission", "must be one of the permissions that the catalogue lists, * allowed")
                ))
        }
        self.permission = permission
    }

    func encode(to encoder: any Encoder) throws { try permission.encode(to: encoder) }
}

/// A role of an organization's own.
struct CustomRole: Sendable, Equatable {
    /// More than anybody can tell apart.
    static let limit = 100
    static let permissionLimit = 100

    let id: RoleID
    private(set) var name: RoleName
    private(set) var description: RoleDescription
    private(set) var permissions: [Permission]
    let createdAt: Date
    private(set) var updatedAt: Date
    private(set) var version: Int

    init(
        id: RoleID, name: RoleName, description: RoleDescription, permissions: [Permission], createdAt: Date, updatedAt: Date, version: Int
    ) {
        self.id = id
        self.name = name
        self.description = description
        self.permissions = permissions
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.version = version
    }

    /// Never wider than what its maker has.
    init(
        new id: RoleID, name: RoleName, description: RoleDescription, permissions: [Permission], by actor: Actor, at now: Date
    ) throws(RoleFailure) {
        guard name.builtIn == nil else { throw .builtIn }
        let permissions = Self.unique(permissions)
        guard actor.rights.covers(PermissionSet(permissions)) else { throw .widerThanYours }
        self.init(id: id, name: name, description: description, permissions: permissions, createdAt: now, updatedAt: now, version: 1)
    }

    /// What a change did; nil when nothing is different from before.
    struct Outcome: Sendable, Equatable {
        /// Some who have the role may do less than before.
        let hasShrunk: Bool
        let hasNewRights: Bool
    }

    /// A name is changed only while nobody has it: tokens and events speak of it.
    mutating func change(
        name: RoleName, description: RoleDescription, permissions: [Permission], members: Int, by actor: Actor, at now: Date
    ) throws(RoleFailure) -> Outcome? {
        let permissions = Self.unique(permissions)
        guard name != self.name || description != self.description || permissions != self.permissions else { return nil }
        // Somebody with less must not take from a role what they could not have given it.
        guard actor.rights.covers(PermissionSet(permissions)), actor.rights.covers(PermissionSet(self.permissions)) else {
            throw .widerThanYours
        }
        if name != self.name {
            guard name.builtIn == nil else { throw .builtIn }
            guard members == 0 else { throw .inUse(members) }
        }
        let outcome = Outcome(
            hasShrunk: !PermissionSet(permissions).covers(PermissionSet(self.permissions)), hasNewRights: permissions != self.permissions)
        self.name = name
        self.description = description
        self.permissions = permissions
        updatedAt = now
        version += 1
        return outcome
    }

    private static func unique(_ permissions: [Permission]) -> [Permission] {
        permissions.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}

enum RoleKind {}
typealias RoleID = TypedID<RoleKind>

enum RoleFailure: Failure, Equatable {
    case builtIn, nameTaken, tooMany, widerThanYours, isDefault
    case inUse(Int)

    var code: String {
        switch self {
        case .builtIn: "built-in-role"
        case .nameTaken: "role-name-taken"
        case .tooMany: "too-many-roles"
        case .isDefault: "default-role"
        case .widerThanYours: "wider-than-yours"
        case .inUse: "role-in-use"
        }
    }

    var kind: FailureKind {
        switch self {
        case .builtIn, .nameTaken, .tooMany, .isDefault, .inUse: .conflict
        case .widerThanYours: .forbidden
        }
    }

    var detail: String? {
        switch self {
        case .builtIn: "This is a role that ships: choose another name, or leave it as it is."
        case .nameTaken: "The organization has a role of this name."
        case .isDefault: "Whoever joins gets this role: choose another default in the settings first."
        case .tooMany: "An organization has at most \(CustomRole.limit) roles of its own."
        case .widerThanYours: "Nobody gives or takes rights that they do not have themselves."
        case .inUse(let count): "\(count) member(s) or invitation(s) have this role: give them another one first."
        }
    }
}
