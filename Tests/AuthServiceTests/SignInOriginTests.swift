import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

extension AuthStack {
    /// What ends the API keys of a person, as auth has it.
    var keyEnding: APIKeyEnding {
        let house = auth.host.foundations
        return APIKeyEnding(
            database: house.database,
            ledger: RevocationLedger(
                database: house.database, revocations: house.revocations, longestToken: 3_600, signal: RevocationSignal(),
                logger: .silent))
    }

    /// Makes a person a member of another's organization too.
    func join(_ person: SignedInPerson, _ host: SignedInPerson) async throws {
        let email = person.newcomer.email, user = person.user, tenant = host.tenant
        try await users.database.execute(
            """
            INSERT INTO people (tenant_id, user_id, email, role, status, created_at, updated_at)
            VALUES (\(tenant), \(user), \(email), 'viewer', 'active', \(Date()), \(Date()))
            """, as: .service(.users, for: tenant))
    }
}

/// What comes of a sign-in is no younger than it: neither a change of password nor the longest life of a session is outlived by a detour.
@Suite struct SignInOriginTests {
    private static let next = "quite another good password"

    private func session(_ token: String?) throws -> SessionID {
        try #require(TokenParts.claims(token ?? "")["sid"].string.flatMap { SessionID($0) })
    }

    private func reset(_ person: SignedInPerson, at host: TestHost) async throws {
        let nobody = host.client(token: nil), email = person.newcomer.email
        _ = try await nobody.post("/api/v1/auth/password/forgot", ["email": .string(email)])
        let letter = try await LetterBox(host: host).letter(to: email, "reset-password")
        let answer = try await nobody.post(
            "/api/v1/auth/password/reset", ["token": .string(letter.token), "password": .string(Self.next)])
        #expect(answer.status == 204)
    }

    @Test("a session made by changing the organization is as old as the one it comes of, and ends with it")
    func switched() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), host = try await stack.register()
        try await stack.join(person, host)
        let mother = try session(person.access), caller = Caller.service(.auth, for: person.tenant)
        let begun = Date(timeIntervalSince1970: (Date().timeIntervalSince1970 - 5_000).rounded())
        let ends = begun.addingTimeInterval(9_000)
        try await stack.auth.database.execute(
            "UPDATE sessions SET begun_at = \(begun), ends_at = \(ends) WHERE id = \(mother)", as: caller)
        let answer = try await stack.auth.client(token: person.access).post("/api/v1/auth/organizations/\(host.tenant)/switch")
        #expect(answer.status == 200, "\(answer.text)")
        let child = try await stack.auth.database.first(
            SessionStore.find(try session(answer["accessToken"].string)), as: .service(.auth, for: host.tenant))
        #expect(child?.begunAt == begun)
        #expect(child?.endsAt == ends)
        #expect(child.map { $0.expiresAt <= ends } == true)
        // What a change of password ends is found by that, whenever the row was written.
        let found = try await stack.auth.database.transaction(as: .service(.auth, for: host.tenant)) { tx in
            try SessionStore(tx: tx).lockLive(of: person.user, before: begun.addingTimeInterval(1), except: nil).map(\.id)
        }
        #expect(found == [child?.id])
    }

    @Test("nobody makes a refresh token of an access token: not in its own organization, and not when its session has ended")
    func noFork() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), host = try await stack.register()
        try await stack.join(person, host)
        let client = stack.auth.client(token: person.access)
        let own = try await client.post("/api/v1/auth/organizations/\(person.tenant)/switch")
        #expect(own.status == 409 && own.problem == "already-there")
        // As on a program that has not heard of it yet.
        let id = try session(person.access)
        try await stack.auth.database.execute(
            "UPDATE sessions SET revoked_at = now(), revocation_published_at = now() WHERE id = \(id)",
            as: .service(.auth, for: person.tenant))
        #expect(try await client.post("/api/v1/auth/organizations/\(host.tenant)/switch").problem == "revoked-session")
        let key = try await client.post("/api/v1/auth/api-keys", ["name": "Mine", "scopes": ["content:read"]])
        #expect(key.status == 401 && key.problem == "revoked-session", "\(key.text)")
    }

    @Test("the session that changed the password goes on, and so does what is made from it")
    func kept() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), host = try await stack.register()
        try await stack.join(person, host)
        let client = stack.auth.client(token: person.access)
        let changed = try await client.post(
            "/api/v1/auth/password/change",
            ["currentPassword": .string(person.newcomer.password), "newPassword": .string(Self.next)])
        #expect(changed.status == 204)
        #expect(try await client.post("/api/v1/auth/organizations/\(host.tenant)/switch").status == 200)
    }

    @Test("a sign-in that waits for a second factor is worth nothing once the password is changed, nor is a factor being set up")
    func waiting() async throws {
        let desk = try await FactorDesk.open()
        try await desk.verifyAddress()
        try await desk.demandSecondFactor()
        let thief = try await desk.mfaToken()
        let setup = try await desk.nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": thief, "method": "totp"])
        let key = try #require(setup["secret"].string.flatMap { Base32Text.decode($0) })
        try await reset(desk.person, at: desk.host)
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date())))
        let answer = try await desk.verify(["mfaToken": thief, "method": "totp", "code": code])
        #expect(answer.status == 401 && answer.problem == "invalid-mfa-token")
        let user = desk.person.user
        let left = Query<Int>("SELECT count(*) AS count FROM second_factors WHERE account_id = \(user)", column: "count")
        #expect(try await desk.database.first(left, as: AccountStore.caller) == 0)
    }

    @Test("also one that was written down only after the change: what counts is when it began")
    func late() async throws {
        let desk = try await FactorDesk.open(), user = desk.person.user
        try await desk.verifyAddress()
        _ = try await desk.addApp()
        let token = try await desk.mfaToken()
        try await desk.database.execute(
            "UPDATE accounts SET sign_ins_void_until = now() + interval '1 second' WHERE id = \(user)", as: AccountStore.caller)
        let answer = try await desk.verify(["mfaToken": token, "method": "totp", "code": "000000"])
        #expect(answer.problem == "invalid-mfa-token")
        // And one whose session was opened in between, with nobody left to look for it.
        let login = try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "totp"])
        #expect(login.problem == "invalid-mfa-token")
    }

    @Test("a session that was opened with the old password while it was changed ends at once")
    func between() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), user = person.user
        // The change is committed; the sign-in has read the old hash, and opens its session now.
        try await stack.auth.database.execute(
            "UPDATE accounts SET sign_ins_void_until = now() + interval '30 seconds' WHERE id = \(user)", as: AccountStore.caller)
        let login = try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn)
        #expect(login.status == 401 && login.problem == "revoked-session", "\(login.text)")
        let live = Query<Int>(
            "SELECT count(*) AS count FROM sessions WHERE account_id = \(user) AND revoked_at IS NULL", column: "count")
        #expect(try await stack.auth.database.first(live, as: .service(.auth, for: person.tenant)) == 1, "the one from before")
    }

    @Test("a reset, unlike a change, revokes the person's API keys in every organization; a crash leaves them to the worker")
    func keys() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), host = try await stack.register()
        let key = try await MadeKey.make(stack.auth.client(token: person.access), scopes: ["content:read"])
        let other = APIKeySecret.make(in: host.tenant), user = person.user
        try await stack.auth.database.transaction(as: Caller(.person(user), tenant: host.tenant)) { tx in
            let (made, _) = try APIKey.make(
                for: user, PermissionSet(["*"]), name: Label(checked: "Elsewhere"), prefix: other.prefix, scopes: ["content:read"],
                expiresAt: nil, at: tx.now)
            try APIKeyStore(tx: tx).insert(made, other)
        }
        func live() async throws -> Int {
            var count = 0
            for tenant in [person.tenant, host.tenant] {
                let query = Query<Int>(
                    "SELECT count(*) AS count FROM api_keys WHERE owner_id = \(user) AND revoked_at IS NULL", column: "count")
                count += try await stack.auth.database.first(query, as: .service(.auth, for: tenant)) ?? 0
            }
            return count
        }
        let changed = try await stack.auth.client(token: person.access).post(
            "/api/v1/auth/password/change",
            ["currentPassword": .string(person.newcomer.password), "newPassword": "a password in between"])
        #expect(changed.status == 204)
        #expect(try await live() == 2)
        try await reset(person, at: stack.auth)
        #expect(try await live() == 0)
        #expect(try await stack.auth.client(token: key.key).get("/api/v1/auth/api-keys").status == 401)
        let told = try await stack.auth.outbox(host.tenant).filter { $0.type == APIKeyRevoked.type }.map { $0.payload["reason"].string }
        #expect(told == ["password-reset"])
        let marked = Query<Date?>("SELECT keys_end_at FROM accounts WHERE id = \(user)", column: "keys_end_at")
        #expect(try await stack.auth.database.first(marked, as: AccountStore.caller) == .some(nil), "nothing is left for the worker")
        // As after a crash.
        let fresh = try SignedInPerson(
            person.newcomer,
            try await stack.auth.client(token: nil).post(
                "/api/v1/auth/login", ["email": .string(person.newcomer.email), "password": .string(Self.next)]))
        _ = try await MadeKey.make(stack.auth.client(token: fresh.access), scopes: ["content:read"])
        try await stack.auth.database.execute(
            "UPDATE accounts SET keys_end_at = now() - interval '1 minute' WHERE id = \(user)", as: AccountStore.caller)
        try await stack.auth.eventually("the worker revokes it") { try await live() == 0 }
    }
}
