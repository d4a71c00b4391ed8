import AuthService
import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@Suite struct SignInTests {
    @Test("a person signs in with address and password, and the sign-in is announced")
    func signsIn() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let response = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/login", person.newcomer.signIn, headers: ["user-agent": "Difference Engine/2"])
        #expect(response.status == 200)
        #expect(response.headers.first(name: "cache-control") == "no-store")
        let again = try SignedInPerson(person.newcomer, response)
        #expect(again.user == person.user)
        #expect(again.tenant == person.tenant)
        let me = try await stack.auth.client(token: again.access).get("/api/v1/auth/me")
        #expect(me["session"]["userAgent"] == "Difference Engine/2")
        let announced = try await stack.auth.outbox(person.tenant).filter { $0.type == UserLoggedIn.type }
        #expect(announced.count == 2)
        #expect(announced.last?.payload["userAgent"] == "Difference Engine/2")
    }

    @Test("a wrong address and a wrong password cannot be told apart")
    func indistinguishable() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let client = stack.auth.client(token: nil), id = ["x-request-id": "the-same-request"]
        let wrongPassword = try await client.post(
            "/api/v1/auth/login", ["email": .string(person.newcomer.email), "password": "not the password"], headers: id)
        let wrongAddress = try await client.post(
            "/api/v1/auth/login", ["email": .string(Newcomer().email), "password": "not the password"], headers: id)
        #expect(wrongPassword.status == 401)
        #expect(wrongPassword.problem == "wrong-credentials")
        #expect(wrongPassword.headers.contains(name: "www-authenticate"))
        #expect(wrongPassword.status == wrongAddress.status)
        #expect(wrongPassword.body == wrongAddress.body)
        func names(_ response: TestResponse) -> Set<String> { Set(response.headers.map { $0.name.lowercased() }) }
        #expect(names(wrongPassword) == names(wrongAddress))
    }

    @Test("a failed sign-in is written down whether an account has the address or not")
    func writtenDown() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_LOCKOUT_FAILURES": "2"])
        let person = try await stack.register(at: host)
        func announced(_ email: String) async throws -> [(type: String, payload: JSONValue)] {
            // An agent of its own, to tell these events from those of other tests under the platform's tenant.
            let agent = UUID().uuidString
            for _ in 0..<2 {
                let failed = try await host.client(token: nil).post(
                    "/api/v1/auth/login", ["email": .string(email), "password": "not the password"], headers: ["user-agent": agent])
                #expect(failed.status == 401)
            }
            return try await host.outbox(.platform).filter { $0.payload["userAgent"].string == agent }
        }
        let unknown = try await announced(Newcomer().email), known = try await announced(person.newcomer.email)
        #expect(unknown.map(\.type) == [AuditEntryRecorded.type, AuditEntryRecorded.type])
        #expect(unknown.allSatisfy { $0.payload["resourceID"].isNull && $0.payload["outcome"] == "refused" })
        #expect(unknown.map { $0.payload["riskLevel"] } == ["medium", "high"])
        #expect(known.filter { $0.type == AuditEntryRecorded.type }.map { $0.payload["riskLevel"] } == ["medium", "high"])
        #expect(known.filter { $0.type == UserLoginFailed.type }.count == 2)
        try await host.stop()
    }

    @Test("an unknown address takes as long as a wrong password, because a hash is computed all the same")
    func timing() async throws {
        // Hashes of 20 MiB and four passes, so that one that is left out would show.
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_ARGON2_MEMORY_KIB": "20000", "TRIONEX_AUTH_ARGON2_PASSES": "4"])
        let person = try await stack.register(at: host)
        let client = host.client(token: nil)
        func time(_ email: String) async throws -> Duration {
            let start = ContinuousClock.now
            _ = try await client.post("/api/v1/auth/login", ["email": .string(email), "password": "not the password"])
            return .now - start
        }
        var known: [Duration] = [], unknown: [Duration] = []
        for _ in 0..<4 {
            known.append(try await time(person.newcomer.email))
            unknown.append(try await time(Newcomer().email))
        }
        let fastest = (known: known.min() ?? .zero, unknown: unknown.min() ?? .zero)
        #expect(fastest.unknown > fastest.known / 2, "known \(fastest.known), unknown \(fastest.unknown)")
        try await host.stop()
    }

    @Test("repeated failures lock an address for a while, known or unknown, and even the right password waits")
    func lockOut() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_LOCKOUT_FAILURES": "3", "TRIONEX_AUTH_LOCKOUT_FIRST_SECONDS": "5"])
        let person = try await stack.register(at: host)
        let client = host.client(token: nil)
        for email in [person.newcomer.email, Newcomer().email] {
            for _ in 0..<3 {
                let failed = try await client.post("/api/v1/auth/login", ["email": .string(email), "password": "not the password"])
                #expect(failed.status == 401)
            }
            let locked = try await client.post("/api/v1/auth/login", ["email": .string(email), "password": "not the password"])
            #expect(locked.status == 429)
            #expect(locked.problem == "too-many-attempts")
            #expect(locked.headers.first(name: "retry-after").flatMap { Int($0) } ?? 0 > 0)
        }
        let right = try await client.post("/api/v1/auth/login", person.newcomer.signIn)
        #expect(right.status == 429)
        try await host.eventually("the lock ends") {
            try await client.post("/api/v1/auth/login", person.newcomer.signIn).status == 200
        }
        // A success forgets the failures.
        let failed = try await client.post(
            "/api/v1/auth/login", ["email": .string(person.newcomer.email), "password": "not the password"])
        #expect(failed.status == 401)
        #expect(try await client.post("/api/v1/auth/login", person.newcomer.signIn).status == 200)
        let user = person.user.description
        let announced = try await host.outbox(.platform).filter { $0.payload["userID"].string == user }.map(\.type)
        #expect(announced.filter { $0 == UserLoginFailed.type }.count == 4)
        #expect(announced.filter { $0 == UserLocked.type }.count == 1)
        try await host.stop()
    }

    @Test("somebody who belongs to two organizations chooses by slug or id, and gets that one's role")
    func organizations() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), other = try await stack.register()
        let (user, email) = (person.user, person.newcomer.email)
        try await stack.users.database.execute(
            """
            INSERT INTO people (tenant_id, user_id, email, role, status, created_at, updated_at)
            VALUES (\(other.tenant), \(user), \(email), 'viewer', 'active', \(Date()), \(Date()))
            """, as: .service(.users, for: other.tenant))
        let client = stack.auth.client(token: nil)
        func signIn(_ organization: String?) async throws -> TestResponse {
            var body: [String: JSONValue] = ["email": .string(email), "password": .string(person.newcomer.password)]
            body["organization"] = organization.map(JSONValue.string)
            return try await client.post("/api/v1/auth/login", .object(body))
        }
        let first = try await signIn(nil)
        #expect(first["organization"]["id"].string == person.tenant.description)
        for name in [other.newcomer.slug, other.tenant.description] {
            let second = try await signIn(name)
            #expect(second.status == 200)
            #expect(second["organization"]["id"].string == other.tenant.description)
            #expect(second["user"]["roles"] == ["viewer"])
            #expect(TokenParts.claims(second["accessToken"].string ?? "")["permissions"] == ["*:read"])
        }
        let foreign = try await stack.register()
        for name in [foreign.newcomer.slug, foreign.tenant.description, "no-such-organization"] {
            let refused = try await signIn(name)
            #expect(refused.status == 403)
            #expect(refused.problem == "not-a-member")
        }
    }

    @Test("who is suspended gets 403 at sign-in, and their session ends at the next refresh")
    func suspended() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let user = person.user
        try await stack.users.database.execute(
            "UPDATE people SET status = 'suspended' WHERE user_id = \(user)", as: .service(.users, for: person.tenant))
        let login = try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn)
        #expect(login.status == 403)
        #expect(login.problem == "member-suspended")
        let refresh = try await stack.auth.client(token: nil).post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)])
        #expect(refresh.status == 401)
        let me = try await stack.auth.client(token: person.access).get("/api/v1/auth/me")
        #expect(me.status == 401)
        #expect(me.problem == "revoked-session")
    }

    @Test("a suspended organization lets nobody in")
    func suspendedOrganization() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        try await stack.users.database.execute(
            "UPDATE organizations SET status = 'suspended'", as: .service(.users, for: person.tenant))
        let login = try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn)
        #expect(login.status == 403)
        #expect(login.problem == "organization-suspended")
    }

    @Test("a hash made with other settings is replaced at the next sign-in, and the password stays good")
    func upgrade() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let host = try await stack.another(["TRIONEX_AUTH_ARGON2_MEMORY_KIB": "128"])
        let email = person.newcomer.email
        func stored() async throws -> String? {
            try await stack.auth.database.first(
                Query("SELECT password_hash FROM accounts WHERE email = \(email)", column: "password_hash"), as: .anonymous(in: .platform))
        }
        #expect(try await stored()?.hasPrefix("$argon2id$v=19$m=64,t=1,p=1$") == true)
        #expect(try await host.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn).status == 200)
        #expect(try await stored()?.hasPrefix("$argon2id$v=19$m=128,t=1,p=1$") == true)
        #expect(try await host.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn).status == 200)
        try await host.stop()
    }
}
