import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// The roles of an organization: those that ship, and its own.
struct RoleRoutes {
    let database: Database
    let access: AccessEnding

    private static let writing: Permission = "roles:write"

    var endpoints: [Endpoints] {
        [
            Endpoints("organizations/:id/roles") {
                Endpoint.get("", "List the roles", may: "organizations:read", list)
                Endpoint.post("", "Make a role", may: "roles:write", create)
                Endpoint.get(":role", "Read a role, by id or name", may: "organizations:read", read)
                Endpoint.put(":role", "Replace a role", may: "roles:write", replace)
                Endpoint.patch(":role", "Change a role", may: "roles:write", patch)
                Endpoint.delete(":role", "Delete a role that nobody has", may: "roles:write", remove)
            },
            Endpoints("organizations/:id/permissions") {
                Endpoint.get("", "List the permissions that a role can grant", may: "organizations:read", permissions)
            },
        ]
    }

    struct RoleBody: Decodable, Sendable {
        let name: RoleName
        let description: RoleDescription?
        let permissions: [GrantablePermission]
    }

    struct RolePatch: Decodable, Sendable {
        let name: Change<RoleName>
        let description: Change<RoleDescription>
        let permissions: Change<[GrantablePermission]>
    }

    // MARK: - Reading

    func list(_ request: CallerRequest) async throws -> Page<RoleView> {
        try request.requireOwnOrganization()
        let own = try await database.query(RoleStore.all(), as: request.caller)
        return Page(RoleName.builtIn.map { RoleView($0) } + own.map { RoleView($0) }, next: nil)
    }

    func read(_ request: CallerRequest) async throws -> RoleView {
        try request.requireOwnOrganization()
        let name = try request.path("role", as: String.self)
        if let builtIn = RoleName(rawValue: name)?.builtIn { return RoleView(builtIn) }
        guard let role = try await database.first(RoleStore.find(name), as: request.caller) else { throw ResourceFailure.notFound }
        return RoleView(role)
    }

    func permissions(_ request: CallerRequest) async throws -> Page<PermissionView> {
        try request.requireOwnOrganization()
        return Page(PermissionCatalog.entries.map { PermissionView($0) }, next: nil)
    }

    // MARK: - Changing

    func create(_ request: CallerRequest, _ body: RoleBody) async throws -> Created<RoleView> {
        let organization = try request.requireOwnOrganization()
        let permissions = try Self.checked(body.permissions)
        return try await database.transaction(as: request.caller) { tx in
            let actor = try PersonStore(tx: tx).actor(request.caller, needing: Self.writing)
            // Two makers wait for each other: the number of roles is limited.
            _ = try OrganizationStore(tx: tx).lock()
            let roles = RoleStore(tx: tx)
            guard try roles.count() < CustomRole.limit else { throw RoleFailure.tooMany }
            let role = try CustomRole(
                new: .make(at: tx.now), name: body.name, description: body.description ?? RoleDescription(checked: ""),
                permissions: permissions, by: actor, at: tx.now)
            try roles.insert(role)
            try Audit(tx, request.http).record("users.role.create", "role", role.id.description, risk: "medium", changed: Self.values(role))
            return Created(RoleView(role), at: "/api/v1/organizations/\(organization)/roles/\(role.id)")
        }
    }

    func replace(_ request: CallerRequest, _ body: RoleBody) async throws -> RoleView {
        let permissions = try Self.checked(body.permissions)
        return try await change(request) { _ in (body.name, body.description ?? RoleDescription(checked: ""), permissions) }
    }

    func patch(_ request: CallerRequest, _ body: RolePatch) async throws -> RoleView {
        guard let name = body.name.applied(to: RoleName(checked: "")) else { throw ValidationFailure("/name", "null", "must not be null") }
        let permissions: [Permission]?
        switch body.permissions {
        case .keep: permissions = nil
        case .clear: throw ValidationFailure("/permissions", "null", "must not be null")
        case .set(let wanted): permissions = try Self.checked(wanted)
        }
        return try await change(request) { role in
            (
                name.rawValue.isEmpty ? role.name : name, body.description.applied(to: role.description) ?? RoleDescription(checked: ""),
                permissions ?? role.permissions
            )
        }
    }

    /// Who has the role has its new rights at once; tokens that say more are dead.
    private func change(
        _ request: CallerRequest, _ wanted: @escaping @Sendable (CustomRole) -> (RoleName, RoleDescription, [Permission])
    ) async throws -> RoleView {
        let tenant = try request.requireOwnOrganization()
        let text = try Self.own(request)
        let (role, outcome, holders) = try await database.transaction(as: request.caller) { tx in
            let actor = try PersonStore(tx: tx).actor(request.caller, needing: Self.writing)
            let roles = RoleStore(tx: tx)
            var role = try roles.lock(text)
            try request.requireMatch(EntityTag(version: role.version))
            let before = role
            let (name, description, permissions) = wanted(role)
            let members = try name == role.name ? 0 : roles.members(role.name)
            let changed = try role.change(
                name: name, description: description, permissions: permissions, members: members, by: actor, at: tx.now)
            guard let outcome = changed else { return (role, CustomRole.Outcome(hasShrunk: false, hasNewRights: false), [UserID]?.none) }
            try roles.save(role)
            try Audit(tx, request.http).record(
                "users.role.update", "role", role.id.description, risk: outcome.hasNewRights ? "medium" : "low", was: Self.values(before),
                changed: Self.values(role))
            return (role, outcome, outcome.hasShrunk ? try roles.holders(role.name, atMost: AccessEnding.namedAtOnce) : nil)
        }
        if outcome.hasShrunk { await access.rightsChanged(of: holders, in: tenant) }
        return RoleView(role)
    }

    func remove(_ request: CallerRequest) async throws -> NoContent {
        try request.requireOwnOrganization()
        let text = try Self.own(request)
        return try await database.transaction(as: request.caller) { tx in
            let actor = try PersonStore(tx: tx).actor(request.caller, needing: Self.writing)
            let settings = try OrganizationStore(tx: tx).lock().settings
            let roles = RoleStore(tx: tx)
            // Locked, so that nobody is given the role while it goes.
            let role = try roles.lock(text)
            try request.requireMatch(EntityTag(version: role.version))
            guard actor.rights.covers(PermissionSet(role.permissions)) else { throw RoleFailure.widerThanYours }
            let members = try roles.members(role.name)
            guard members == 0 else { throw RoleFailure.inUse(members) }
            guard settings.defaultRole != role.name else { throw RoleFailure.isDefault }
            try roles.remove(role.id)
            try Audit(tx, request.http).record("users.role.delete", "role", role.id.description, risk: "medium", was: Self.values(role))
            return NoContent()
        }
    }

    /// Those that ship stay as they are.
    private static func own(_ request: CallerRequest) throws -> String {
        let text = try request.path("role", as: String.self)
        if RoleName(rawValue: text)?.builtIn != nil { throw RoleFailure.builtIn }
        return text
    }

    private static func checked(_ permissions: [GrantablePermission]) throws(ValidationFailure) -> [Permission] {
        guard (1...CustomRole.permissionLimit).contains(permissions.count) else {
            throw ValidationFailure("/permissions", "out-of-range", "must be 1 to \(CustomRole.permissionLimit) permissions")
        }
        return permissions.map(\.permission)
    }

    private static func values(_ role: CustomRole) -> [String: JSONValue] {
        [
            "name": .string(role.name.rawValue), "description": .string(role.description.rawValue),
            "permissions": .array(role.permissions.map { .string($0.description) }),
        ]
    }
}
