import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// The people of the caller's organization, as users and as members.
struct PeopleRoutes {
    let database: Database

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
        try requireOwnOrganization(request)
        return try await page(request, query) { MemberView($0) }
    }

    private func person(_ id: UserID, _ request: CallerRequest) async throws -> UserView {
        guard let person = try await database.first(PersonStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return UserView(person)
    }

    private func page<Item: Codable & Sendable>(
        _ request: CallerRequest, _ query: PeopleQuery, _ view: (Person) -> Item
    ) async throws -> Page<Item> {
        let limit = query.limit ?? .standard
        let after = try query.cursor.map { cursor in
            guard let keys = cursor.timeAndID else {
                throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
            }
            return keys
        }
        let people = try await database.query(PersonStore.page(query.filter, after: after, limit: limit.value + 1), as: request.caller)
        let shown = people.prefix(limit.value)
        let next = people.count > limit.value ? shown.last.map { Cursor(time: $0.createdAt, id: $0.id.uuid) } : nil
        return Page(shown.map(view), next: next)
    }

    // MARK: - Adding

    /// The person is `invited` until they have an account and join.
    func create(_ request: CallerRequest, _ draft: UserDraft) async throws -> Created<UserView> {
        let role = draft.role ?? .user
        return try await database.transaction(as: request.caller) { tx in
            let people = PersonStore(tx: tx)
            let actor = try people.actor(request.caller, needing: Self.writing)
            if role == .owner { try actor.requireOwner() }
            let person = Person(
                new: .make(at: tx.now), email: draft.email, profile: draft.profile, role: role, status: .invited, gdprConsent: false,
                at: tx.now)
            try people.insert(person)
            try Outbox(tx).append(person.created)
            try Audit(tx, request.http).record(
                "users.user.create", "user", person.id.description, changed: ["role": .string(role.rawValue)])
            return Created(UserView(person), at: "/api/v1/users/\(person.id)")
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
                (body.profile.applied(to: person.profile), try body.role(of: person), try body.status(of: person))
            })
    }

    func patchMe(_ request: CallerRequest, _ body: ProfilePatch) async throws -> UserView {
        UserView(
            try await change(try request.user(), request, needing: nil) { person in
                (body.applied(to: person.profile), person.role, person.status)
            })
    }

    func patchMember(_ request: CallerRequest, _ body: MemberPatch) async throws -> MemberView {
        try requireOwnOrganization(request)
        return MemberView(
            try await change(try request.path("userID"), request) { person in (person.profile, body.role, person.status) })
    }

    private func change(
        _ id: UserID, _ request: CallerRequest, needing permission: Permission? = writing,
        _ wanted: @escaping @Sendable (Person) throws -> (Profile, Role, PersonStatus)
    ) async throws -> Person {
        try await database.transaction(as: request.caller) { tx in
            let (actor, owners, found) = try begin(id, request, needing: permission, in: tx)
            try request.requireMatch(EntityTag(version: found.version))
            let (profile, role, status) = try wanted(found)
            var person = found
            let events = try person.change(
                profile: profile, role: role, status: status, by: actor, otherOwners: owners, at: tx.now)
            guard !events.isEmpty else { return person }
            try PersonStore(tx: tx).save(person)
            try Outbox(tx).append(events)
            try Audit(tx, request.http).record(
                "users.user.update", "user", id.description, risk: found.role == person.role ? "low" : "medium",
                changed: Self.differences(found, person))
            return person
        }
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
        guard known.role == .owner else { return (0, try people.lock(id)) }
        _ = try OrganizationStore(tx: tx).lock()
        return (try people.otherOwners(than: id), try people.lock(id))
    }

    /// Rights as they were and are; of the profile only that it changed, since an audit entry outlives the person.
    private static func differences(_ old: Person, _ new: Person) -> [String: JSONValue] {
        var changed: [String: JSONValue] = [:]
        if old.role != new.role { changed["role"] = .array([.string(old.role.rawValue), .string(new.role.rawValue)]) }
        if old.status != new.status { changed["status"] = .array([.string(old.status.rawValue), .string(new.status.rawValue)]) }
        if old.profile != new.profile { changed["profile"] = .bool(true) }
        return changed
    }

    // MARK: - Removing

    func remove(_ request: CallerRequest) async throws -> NoContent { try await remove(try request.path("id"), request) }

    func removeMember(_ request: CallerRequest) async throws -> NoContent {
        try requireOwnOrganization(request)
        return try await remove(try request.path("userID"), request)
    }

    private func remove(_ id: UserID, _ request: CallerRequest) async throws -> NoContent {
        try await database.transaction(as: request.caller) { tx in
            let (actor, owners, person) = try begin(id, request, needing: Self.writing, in: tx)
            try request.requireMatch(EntityTag(version: person.version))
            let events = try person.remove(by: actor, otherOwners: owners)
            try PersonStore(tx: tx).remove(id)
            try Outbox(tx).append(events)
            try Audit(tx, request.http).record("users.user.remove", "user", id.description, risk: "medium")
            return NoContent()
        }
    }

    /// Another organization is not there.
    private func requireOwnOrganization(_ request: CallerRequest) throws {
        guard try request.path("id", as: TenantID.self) == request.caller.tenant else { throw ResourceFailure.notFound }
    }
}
