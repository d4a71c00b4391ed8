import Contracts
import Foundation
import HTTPTypes
import Messaging
import Postgres
import ServiceKit

/// The people of the caller's organization, as users and as members.
struct PeopleRoutes {
    let database: Database
    let inviting: Inviting
    let access: AccessEnding

    private static let writing: Permission = "users:write"

    var endpoints: [Endpoints] {
        [
            Endpoints("users") {
                Endpoint.get("", "List people", may: "users:read", list)
                Endpoint.post("", "Add a person", may: "users:write", create)
                Endpoint.get("me", "Read your own profile", may: .signedIn, me)
                Endpoint.patch("me", "Change your own profile", may: .signedIn, patchMe)
                Endpoint.get(":id", "Read a person", may: "users:read", read)
                Endpoint.put(":id", "Replace a person's profile", may: "users:write", replace)
                Endpoint.patch(":id", "Change a person's profile, role or status", may: "users:write", patch)
                Endpoint.delete(":id", "Remove a person from the organization", may: "users:write", remove)
                Endpoint.post(":id/reset-password", "Send a person the means to set a new password", may: "users:write", resetPassword)
            },
            Endpoints("organizations/:id/members") {
                Endpoint.get("", "List the members", may: "users:read", members)
                Endpoint.patch(":userID", "Change a member's role", may: "users:write", patchMember)
                Endpoint.delete(":userID", "Remove a member", may: "users:write", removeMember)
            },
        ]
    }

    // MARK: - Reading

    func list(_ request: CallerRequest, _ query: PeopleQuery) async throws -> Page<UserView> {
        try await page(request, query) { UserView($0) }
    }

    func read(_ request: CallerRequest) async throws -> UserView { try await person(try request.path("id"), request) }

    func me(_ request: CallerRequest) async throws -> UserView { try await person(try request.user(), request) }

    func members(_ request: CallerRequest, _ query: PeopleQuery) async throws -> Page<MemberView> {
        try request.requireOwnOrganization()
        return try await page(request, query) { MemberView($0) }
    }

    private func person(_ id: UserID, _ request: CallerRequest) async throws -> UserView {
        guard let person = try await database.first(PersonStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return UserView(person)
    }

    private func page<Item: Codable & Sendable>(
        _ request: CallerRequest, _ query: PeopleQuery, _ view: (Person) -> Item
    ) async throws -> Page<Item> {
        let limit = query.limit ?? .standard, sort = query.sort ?? .newestFirst
        let after = try query.cursor.map { cursor in try sort.position(of: cursor) }
        let people = try await database.query(
            PersonStore.page(query.filter, sort.order, after: after, limit: limit.value + 1), as: request.caller)
        let shown = people.prefix(limit.value)
        return Page(shown.map(view), next: people.count > limit.value ? shown.last.map { sort.cursor(after: $0) } : nil)
    }

    // MARK: - Adding

    /// The person is `invited`, by a letter, until they join.
    func create(_ request: CallerRequest, _ draft: UserDraft) async throws -> Created<UserView> {
        let wanted = Inviting.Wanted(
            account: await inviting.account(of: draft.email), email: draft.email, profile: draft.profile, role: draft.role ?? .user,
            message: draft.message)
        let inviting = inviting
        return try await database.transaction(as: request.caller) { tx in
            do {
                let (person, _) = try inviting.invite(wanted, request, needing: Self.writing, in: tx)
                return Created(UserView(person), at: "/api/v1/users/\(person.id)")
            } catch InvitationFailure.alreadyMember, InvitationFailure.alreadyInvited {
                throw MemberFailure.emailTaken
            }
        }
    }

    // MARK: - Changing

    func replace(_ request: CallerRequest, _ body: UserReplacement) async throws -> UserView {
        UserView(
            try await change(try request.path("id"), request) { person in
                (body.profile(replacing: person.profile), body.role ?? person.role, body.status?.status ?? person.status)
            })
    }

    func patch(_ request: CallerRequest, _ body: UserPatch) async throws -> UserView {
        UserView(
            try await change(try request.path("id"), request) { person in
                (body.profile(of: person), try body.role(of: person), try body.status(of: person))
            })
    }

    func patchMe(_ request: CallerRequest, _ body: ProfilePatch) async throws -> UserView {
        UserView(
            try await change(try request.user(), request, needing: nil) { person in
                (body.applied(to: person.profile), person.role, person.status)
            })
    }

    func patchMember(_ request: CallerRequest, _ body: MemberPatch) async throws -> MemberView {
        try request.requireOwnOrganization()
        return MemberView(
            try await change(try request.path("userID"), request) { person in (person.profile, body.role, person.status) })
    }

    private func change(
        _ id: UserID, _ request: CallerRequest, needing permission: Permission? = writing,
        _ wanted: @escaping @Sendable (Person) throws -> (Profile, RoleName, PersonStatus)
    ) async throws -> Person {
        let (person, change) = try await database.transaction(as: request.caller) { tx in
            let (actor, owners, found) = try begin(id, request, needing: permission, in: tx)
            try request.requireMatch(EntityTag(version: found.version))
            let (profile, name, status) = try wanted(found)
            let role =
                try name == found.role ? GrantedRole(name: name, permissions: found.permissions) : RoleStore(tx: tx).granted(name)
            var person = found
            let change = try person.change(profile: profile, role: role, status: status, by: actor, otherOwners: owners, at: tx.now)
            guard !change.events.isEmpty else { return (person, change) }
            if change.needsSeat {
                let organizations = OrganizationStore(tx: tx)
                try organizations.requireRoom(in: try organizations.lock())
            }
            try PersonStore(tx: tx).save(person)
            if person.status == .invited, person.role != found.role { try InvitationStore(tx: tx).offer(person.role, to: id) }
            try Outbox(tx).append(change.events)
            let (was, changed) = Self.differences(found, person)
            try Audit(tx, request.http).record(
                "users.user.update", "user", id.description, risk: found.role == person.role ? "low" : "medium", was: was, changed: changed)
            return (person, change)
        }
        if change.wasSuspended {
            await access.end(.memberSuspended, id, in: request.caller.tenant)
        } else if change.hasLostRights {
            await access.end(.rightsChanged, id, in: request.caller.tenant)
        }
        return person
    }

    /// What a change of somebody begins with: who may do it, and the person under lock.
    private func begin(
        _ id: UserID, _ request: CallerRequest, needing permission: Permission?, in tx: Transaction
    ) throws -> (Actor, owners: Int, Person) {
        let caller = request.caller
        let actor = try PersonStore(tx: tx).actor(caller, needing: permission)
        let (owners, person) = try lock(id, in: tx)
        guard id == caller.user else { return (actor, owners, person) }
        // Somebody may have suspended or demoted the caller while this waited for the caller's own row.
        return (try Actor(caller, now: person, needing: permission), owners, person)
    }

    /// The person, and how many other owners there are. Owners are counted under a lock of the organization, so that two of them
    /// cannot leave at the same moment; others need no such lock.
    private func lock(_ id: UserID, in tx: Transaction) throws -> (owners: Int, Person) {
        let people = PersonStore(tx: tx)
        guard let known = try people.find(id) else { throw ResourceFailure.notFound }
        // Who comes back needs a seat, which is counted under the same lock; who is invited may be accepting just now.
        guard known.role == .owner || known.status != .active else { return (0, try people.lock(id)) }
        _ = try OrganizationStore(tx: tx).lock()
        return (try people.otherOwners(than: id), try people.lock(id))
    }

    /// Rights as they were and are; of the profile only that it changed, since an audit entry outlives the person.
    private static func differences(_ old: Person, _ new: Person) -> (was: [String: JSONValue], changed: [String: JSONValue]) {
        var was: [String: JSONValue] = [:], changed: [String: JSONValue] = [:]
        if old.role != new.role { (was["role"], changed["role"]) = (.string(old.role.rawValue), .string(new.role.rawValue)) }
        if old.status != new.status { (was["status"], changed["status"]) = (.string(old.status.rawValue), .string(new.status.rawValue)) }
        if old.profile != new.profile { changed["profile"] = .bool(true) }
        return (was, changed)
    }

    // MARK: - Passwords

    /// 202: a letter is on its way to the person's own address. Nobody else learns, or chooses, a password.
    func resetPassword(_ request: CallerRequest) async throws -> Accepted<PasswordResetView> {
        let id = try request.path("id", as: UserID.self)
        try await database.transaction(as: request.caller) { tx in
            let people = PersonStore(tx: tx)
            let actor = try people.actor(request.caller, needing: Self.writing)
            guard let person = try people.find(id) else { throw ResourceFailure.notFound }
            guard person.status != .invited else { throw MemberFailure.notJoined }
            if person.role == .owner { try actor.requireOwner() }
            try actor.requireCover(of: person.permissions)
            try Audit(tx, request.http).record("users.user.reset-password", "user", id.description, risk: "medium")
        }
        try await inviting.neighbours.call(.post, .auth, "/internal/v1/accounts/\(id)/password-reset")
        return Accepted(PasswordResetView(userId: id))
    }

    // MARK: - Removing

    func remove(_ request: CallerRequest) async throws -> NoContent { try await remove(try request.path("id"), request) }

    func removeMember(_ request: CallerRequest) async throws -> NoContent {
        try request.requireOwnOrganization()
        return try await remove(try request.path("userID"), request)
    }

    private func remove(_ id: UserID, _ request: CallerRequest) async throws -> NoContent {
        try await database.transaction(as: request.caller) { tx in
            let (actor, owners, person) = try begin(id, request, needing: Self.writing, in: tx)
            try request.requireMatch(EntityTag(version: person.version))
            let events = try person.remove(by: actor, otherOwners: owners)
            if person.status == .invited, let invitation = try InvitationStore(tx: tx).lockOpen(person.email) {
                return try Joining(tx: tx, request: request.http).turnDown(invitation, .revoked)
            }
            try PersonStore(tx: tx).remove(id)
            try Outbox(tx).append(events)
            try Audit(tx, request.http).record("users.user.remove", "user", id.description, risk: "medium")
        }
        await access.end(.memberRemoved, id, in: request.caller.tenant)
        return NoContent()
    }

}

extension CallerRequest {
    /// Another organization is not there.
    @discardableResult
    func requireOwnOrganization() throws -> TenantID {
        guard try path("id", as: TenantID.self) == caller.tenant else { throw ResourceFailure.notFound }
        return caller.tenant
    }

    /// The person, in person: neither a key, nor a client, nor somebody who acts for them.
    func person() throws(AccessFailure) -> UserID {
        guard case .person(let user) = caller.principal, caller.impersonator == nil else { throw .personOnly }
        return user
    }
}
