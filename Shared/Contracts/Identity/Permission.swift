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

    /// Whether holding this permission allows what `needed` names.
    package func allows(_ needed: Permission) -> Bool {
        (resource == "*" || resource == needed.resource) && (action == "*" || action == needed.action)
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
