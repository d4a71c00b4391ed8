import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct RightsTests {
    private func end(_ stack: AuthStack, _ person: SignedInPerson, _ reason: SessionEnding.Reason, ofPerson: Bool = true) async throws
        -> TestResponse
    {
        var body: [String: JSONValue] = ["tenant": .string(person.tenant.description), "reason": .string(reason.rawValue)]
        if ofPerson { body["user"] = .string(person.user.description) }
        return try await stack.program(.users, of: stack.auth).post("/internal/v1/sessions/end", .object(body))
    }

    private func refresh(_ stack: AuthStack, _ person: SignedInPerson) async throws -> TestResponse {
        try await stack.auth.client(token: nil).post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)])
    }

    private func me(_ stack: AuthStack, _ token: String) async throws -> Int {
        try await stack.auth.client(token: token).get("/api/v1/auth/me").status
    }

    private func announced(_ stack: AuthStack, _ person: SignedInPerson, _ name: String) async throws -> [JSONValue] {
        try await stack.auth.outbox(person.tenant).filter { $0.type.hasSuffix(name) }.map(\.payload)
    }

    @Test("a removed member has no session, no key and no token left; the same told again, or by the event, does nothing more")
    func removed() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let key = try await MadeKey.make(stack.auth.client(token: person.access), scopes: ["api:read"])
        let again = try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn)
        #expect(again.status == 200)
        for _ in 0..<2 { #expect(try await end(stack, person, .memberRemoved).status == 204) }
        #expect(try await me(stack, person.access) == 401)
        #expect(try await me(stack, again["accessToken"].string ?? "") == 401)
        #expect(try await refresh(stack, person).status == 401)
        #expect(try await stack.auth.client(token: key.key).get("/api/v1/auth/api-keys").problem == "bad-api-key")
        #expect(try await announced(stack, person, "session.revoked.v1").map { $0["reason"] } == ["member-removed", "member-removed"])
        #expect(try await announced(stack, person, "api-key.revoked.v1").map { $0["reason"] } == ["owner-removed"])
        try await stack.auth.publish(MemberRemoved(userID: person.user), for: person.tenant)
        let handled = Query<Int>("SELECT count(*) AS count FROM inbox", column: "count")
        try await stack.auth.eventually("the event is handled") {
            try await stack.auth.database.first(handled, as: .service(.auth, for: person.tenant)) == 1
        }
        #expect(try await announced(stack, person, "session.revoked.v1").count == 2)
        let ends = try await announced(stack, person, "entry.recorded.v1").filter { $0["action"] == "auth.rights.end" }
        #expect(ends.count == 1)
        #expect(ends.first?["changed"]["sessions"] == 2 && ends.first?["changed"]["apiKeys"] == 1)
    }

    @Test("users' events alone do the same, should auth have been away when it was called")
    func byEvents() async throws {
        let stack = try await AuthStack.shared.value
        let removed = try await stack.register(), deleted = try await stack.register(), suspended = try await stack.register()
        let closed = try await stack.register(), gone = try await stack.register(), untouched = try await stack.register()
        try await stack.auth.publish(MemberRemoved(userID: removed.user), for: removed.tenant)
        try await stack.auth.publish(UserDeleted(userID: deleted.user), for: deleted.tenant)
        func updated(_ person: SignedInPerson, _ status: String) -> UserUpdated {
            UserUpdated(userID: person.user, email: person.newcomer.email, firstName: nil, lastName: nil, role: "owner", status: status)
        }
        try await stack.auth.publish(updated(suspended, "suspended"), for: suspended.tenant)
        try await stack.auth.publish(updated(untouched, "active"), for: untouched.tenant)
        try await stack.auth.publish(OrganizationSuspended(organizationID: closed.tenant, reason: nil), for: closed.tenant)
        try await stack.auth.publish(
            OrganizationDeleted(organizationID: gone.tenant, erasedAfter: Date().addingTimeInterval(86_400)), for: gone.tenant)
        for person in [removed, deleted, suspended, closed, gone] {
            try await stack.auth.eventually("their token is dead") { try await me(stack, person.access) == 401 }
            #expect(try await refresh(stack, person).status == 401)
        }
        #expect(try await me(stack, untouched.access) == 200)
    }

    @Test("with other rights the old tokens are dead, and the next refresh gives one that says the new, at once")
    func changed() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        #expect(try await end(stack, person, .rightsChanged).status == 204)
        #expect(try await me(stack, person.access) == 401)
        let renewed = try await refresh(stack, person)
        #expect(renewed.status == 200)
        #expect(try await me(stack, renewed["accessToken"].string ?? "") == 200)
    }

    @Test("an event that comes late ends nothing of somebody who was let in again meanwhile")
    func late() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let rights = RightsEnding(
            ledger: RevocationLedger(
                database: stack.auth.database, revocations: stack.auth.host.foundations.revocations, longestToken: 3_600,
                signal: RevocationSignal(), logger: .silent))
        let ending = SessionEnding(tenant: person.tenant, user: person.user, reason: .memberRemoved)
        let records = try await stack.auth.database.transaction(as: .service(.auth, for: person.tenant)) { tx in
            try rights.apply(ending, at: Date().addingTimeInterval(-60), in: tx, nil)
        }
        await rights.ledger.announce(records, as: .service(.auth, for: person.tenant), at: Date())
        #expect(records.count == 1)
        #expect(try await me(stack, person.access) == 200)
        #expect(try await refresh(stack, person).status == 200)
    }

    @Test("in a suspended organization nobody goes on, and its keys sleep until it is open again")
    func suspendedOrganization() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let key = try await MadeKey.make(stack.auth.client(token: person.access), scopes: ["api:read"])
        let users = Caller.service(.users, for: person.tenant)
        try await stack.users.database.execute("UPDATE organizations SET status = 'suspended'", as: users)
        #expect(try await end(stack, person, .organizationSuspended, ofPerson: false).status == 204)
        #expect(try await me(stack, person.access) == 401)
        #expect(try await stack.auth.client(token: key.key).get("/api/v1/auth/api-keys").problem == "bad-api-key")
        let login = try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn)
        #expect(login.status == 403 && login.problem == "organization-suspended")
        try await stack.users.database.execute("UPDATE organizations SET status = 'active'", as: users)
        let back = try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn)
        #expect(try await me(stack, back["accessToken"].string ?? "") == 200)
        // The key was refused a moment ago, and is known to be bad for as long.
        try await stack.auth.eventually("the key is good again") {
            try await stack.auth.client(token: key.key).get("/api/v1/auth/api-keys").status == 200
        }
    }

    @Test("whose rights end must be said, by one of the platform's programs")
    func refused() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let answer = try await end(stack, person, .memberRemoved, ofPerson: false)
        #expect(answer.status == 400 && answer.badFields == ["/user"])
        let body: JSONValue = ["tenant": .string(person.tenant.description), "reason": "organization-suspended"]
        #expect(try await stack.auth.client(token: person.access).post("/internal/v1/sessions/end", body).status == 403)
        #expect(try await stack.auth.client(token: nil).post("/internal/v1/sessions/end", body).status == 401)
        #expect(try await me(stack, person.access) == 200)
    }

    @Test("an ending that could not be told is told by the worker, once")
    func worker() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let house = stack.auth.host.foundations, caller = Caller.service(.auth, for: person.tenant)
        let ledger = RevocationLedger(
            database: house.database, revocations: house.revocations, longestToken: 3_600, signal: RevocationSignal(), logger: .silent)
        let now = Date()
        try await house.database.transaction(as: caller) { tx in
            _ = try ledger.record(.member(person.user, person.tenant), at: now, in: tx)
            _ = try ledger.record(.member(person.user, person.tenant), at: now.addingTimeInterval(-1), in: tx)
        }
        try await stack.auth.eventually("the token is dead") { try await me(stack, person.access) == 401 }
        let rows = Query<Int>("SELECT count(*) AS count FROM revocations WHERE published_at IS NOT NULL", column: "count")
        try await stack.auth.eventually("it is marked") { try await house.database.first(rows, as: caller) == 1 }
        let past = now.addingTimeInterval(-RevocationAnnouncements.retention - 60)
        try await house.database.execute("UPDATE revocations SET published_at = published_at", as: caller)
        try await RevocationAnnouncements(ledger: ledger, now: { now }).prune()
        #expect(try await house.database.first(rows, as: caller) == 1, "its tokens may still live")
        try await RevocationAnnouncements(ledger: ledger, now: { now.addingTimeInterval(2 * now.timeIntervalSince(past)) }).prune()
        #expect(try await house.database.first(rows, as: caller) == 0)
    }
}
