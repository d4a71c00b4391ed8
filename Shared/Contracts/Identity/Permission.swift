/// A right in the form `resource:action`, with `*` allowed on either side in what a role grants.
///
/// `*` alone grants everything; `content:*` every action on content; `*:read` reading of every resource.
package struct Permission: Hashable, Sendable, Codable, CustomStringConvertible, ExpressibleByStringLiteral {
    package let resource: String
    package let action: String

    package init(resource: String, action: String) {
        self.resource = resource
        self.action = action
    }

    /// Nil unless the text is `*`, or two non-empty parts joined by one colon.
    package init?(_ text: String) {
        if text == "*" {
            self.init(resource: "*", action: "*")
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        self.init(resource: String(parts[0]), action: String(parts[1]))
    }

    package init(stringLiteral text: String) {
        guard let permission = Permission(text) else {
            preconditionFailure("a permission is written resource:action, not \(text)")
        }
        self = permission
    }

    package var description: String { resource == "*" && action == "*" ? "*" : "\(resource):\(action)" }

    /// Resources that `*` names only where it stands for everything: who may read "all" does not read what all the others did, from
    /// which address and with which device. Such a right is granted by its name, or with everything.
    package static let sensitive: Set<String> = ["audit"]

    /// Whether holding this permission allows what `needed` names.
    package func allows(_ needed: Permission) -> Bool {
        (resource == needed.resource || (resource == "*" && reaches(needed.resource))) && (action == "*" || action == needed.action)
    }

    /// Whether `*` as this permission's resource means that one too.
    private func reaches(_ other: String) -> Bool { action == "*" || !Self.sensitive.contains(other) }

    /// What both allow: `*:read` and `content:*` meet in `content:read`. Nil when they have nothing in common.
    package func meet(_ other: Permission) -> Permission? {
        func common(_ left: String, _ right: String) -> String? {
            if left == "*" { return right }
            return right == "*" || left == right ? left : nil
        }
        if resource == "*", !reaches(other.resource) { return nil }
        if other.resource == "*", !other.reaches(resource) { return nil }
        guard let resource = common(resource, other.resource), let action = common(action, other.action) else { return nil }
        return Permission(resource: resource, action: action)
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let permission = Permission(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "a permission is written resource:action")
        }
        self = permission
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The permissions of one caller.
package struct PermissionSet: Hashable, Sendable, ExpressibleByArrayLiteral {
    package let permissions: [Permission]

    package init(_ permissions: [Permission]) { self.permissions = permissions }
    package init(arrayLiteral elements: Permission...) { self.init(elements) }

    package func allows(_ needed: Permission) -> Bool { permissions.contains { $0.allows(needed) } }

    /// Whether everything that `other` allows is allowed by one of these, wildcards included: nobody hands on more than they have.
    package func covers(_ other: PermissionSet) -> Bool { other.permissions.allSatisfy { allows($0) } }

    /// What both sets allow, without repetition.
    package func intersection(_ other: PermissionSet) -> PermissionSet {
        var met: [Permission] = []
        for own in permissions {
            for theirs in other.permissions {
                if let common = own.meet(theirs), !met.contains(common) { met.append(common) }
            }
        }
        return PermissionSet(met)
    }
}

/// The roles that ship. An organization can add its own, with names other than these.
package enum BuiltInRole: String, Sendable, CaseIterable, Codable {
    case superadmin, owner, admin, developer, editor, user, viewer

    /// What the role grants within its organization (`superadmin`: on the platform).
    package var permissions: [Permission] {
        switch self {
        case .superadmin, .owner, .admin: ["*"]
        case .developer: ["api:*", "docs:read", "*:read"]
        case .editor: ["content:*", "files:*", "ai:*", "*:read"]
        case .user:
            [
                "content:read", "search:read", "files:read", "files:write", "ai:read", "ai:write", "notifications:read",
                "notifications:write", "analytics:write", "users:read", "organizations:read",
            ]
        case .viewer: ["*:read"]
        }
    }
}
