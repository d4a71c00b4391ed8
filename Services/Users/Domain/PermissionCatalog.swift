import Contracts
import Foundation

/// Every permission that an endpoint of the platform asks for. A test holds it against the documents of all services.
enum PermissionCatalog {
    struct Entry: Sendable {
        let permission: Permission
        let summary: String
    }

    static let entries: [Entry] = [
        Entry(permission: "ai:read", summary: "Read conversations with the assistant"),
        Entry(permission: "ai:write", summary: "Ask the assistant and rate its answers"),
        Entry(permission: "analytics:read", summary: "Read figures and reports"),
        Entry(permission: "analytics:write", summary: "Report events"),
        Entry(permission: "analytics:export", summary: "Take out raw events"),
        Entry(permission: "api:read", summary: "Call interfaces that read, as developers do"),
        Entry(permission: "api:write", summary: "Call interfaces that write, as developers do"),
        Entry(permission: "api-keys:manage", summary: "See and revoke API keys of others"),
        Entry(permission: "audit:read", summary: "Read the audit log"),
        Entry(permission: "clients:read", summary: "See OAuth clients"),
        Entry(permission: "clients:write", summary: "Register and change OAuth clients"),
        Entry(permission: "sso:read", summary: "See connections for signing in with others"),
        Entry(permission: "sso:write", summary: "Set up connections for signing in with others"),
        Entry(permission: "content:publish", summary: "Publish and withdraw articles"),
        Entry(permission: "content:read", summary: "Read articles"),
        Entry(permission: "content:write", summary: "Write articles"),
        Entry(permission: "docs:read", summary: "Read the developers' documentation"),
        Entry(permission: "files:read", summary: "Read files"),
        Entry(permission: "files:write", summary: "Store and delete files"),
        Entry(permission: "notifications:read", summary: "Read one's own notifications"),
        Entry(permission: "notifications:send", summary: "Send notifications to others"),
        Entry(permission: "notifications:write", summary: "Mark notifications as read"),
        Entry(permission: "organizations:read", summary: "Read the organization, its roles and usage"),
        Entry(permission: "organizations:write", summary: "Change the organization, its domain, settings and branding"),
        Entry(permission: "roles:write", summary: "Make and change roles of the organization's own"),
        Entry(permission: "search:admin", summary: "Rebuild the search index"),
        Entry(permission: "search:read", summary: "Search"),
        Entry(permission: "users:read", summary: "Read people and members"),
        Entry(permission: "users:write", summary: "Invite, change, suspend and remove people"),
    ]

    private static let permissions = Set(entries.map(\.permission))
    private static let resources = Set(entries.map(\.permission.resource))
    private static let actions = Set(entries.map(\.permission.action))

    /// `*`, a known resource with `*`, `*` with a known action, or one of the list.
    static func knows(_ permission: Permission) -> Bool {
        switch (permission.resource, permission.action) {
        case ("*", "*"): true
        case (let resource, "*"): resources.contains(resource)
        case ("*", let action): actions.contains(action)
        default: permissions.contains(permission)
        }
    }
}
