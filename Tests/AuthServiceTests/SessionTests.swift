import AuthService
import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@Suite struct SessionTests {
    private func refresh(_ token: String, _ host: TestHost) async throws -> TestResponse {
        try await host.client(token: nil).post("/api/v1/auth/refresh", ["refreshToken": .string(token)])
    }

    @Test("a refresh gives new tokens of the same session")
    func refreshes() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let response = try await refresh(person.refresh, stack.auth)
        #expect(response.status == 200)
        let next = try SignedInPerson(person.newcomer, response)
        #expect(next.refresh != person.refresh)
        #expect(next.access != person.access)
        #expect(TokenParts.claims(next.access)["sid"] == TokenParts.claims(person.access)["sid"])
        #expect(try await stack.auth.client(token: next.access).get("/api/v1/auth/me").status == 200)
        #expect(try await refresh(next.refresh, stack.auth).status == 200)
    }

    @Test("a spent refresh token is worthless, and showing it ends the whole session")
    func reuse() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let other = try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn)
        let next = try SignedInPerson(person.newcomer, try await refresh(person.refresh, stack.auth))

        let stolen = try await refresh(person.refresh, stack.auth)
        #expect(stolen.status == 401)
        #expect(stolen.problem == "invalid-refresh-token")
        #expect(try await refresh(next.refresh, stack.auth).status == 401)
        for access in [person.access, next.access] {
            let me = try await stack.auth.client(token: access).get("/api/v1/auth/me")
            #expect(me.status == 401)
            #expect(me.problem == "revoked-session")
        }
        let revoked = try await stack.auth.outbox(person.tenant).filter { $0.type == SessionRevoked.type }
        #expect(revoked.map { $0.payload["reason"] } == ["refresh-token-reused"])
        // The person's other device stays signed in.
        let otherAccess = try #require(other["accessToken"].string)
        #expect(try await stack.auth.client(token: otherAccess).get("/api/v1/auth/me").status == 200)
    }

    @Test("of many refreshes at once with one token at most one succeeds, and then the session is over")
    func race() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let responses = try await withThrowingTaskGroup(of: TestResponse.self) { group in
            for _ in 0..<8 { group.addTask { try await refresh(person.refresh, stack.auth) } }
            return try await group.reduce(into: [TestResponse]()) { $0.append($1) }
        }
        let good = responses.filter { $0.status == 200 }
        #expect(good.count <= 1)
        #expect(responses.allSatisfy { $0.status == 200 || $0.status == 401 })
        if let token = good.first?["refreshToken"].string { #expect(try await refresh(token, stack.auth).status == 401) }
        #expect(try await stack.auth.outbox(person.tenant).filter { $0.type == SessionRevoked.type }.count == 1)
    }

    @Test(
        "what is no refresh token of ours is refused",
        arguments: ["x", "trx_rt_", "trx_rt_AAAA", "trx_rt_" + String(repeating: "A", count: 86), "eyJhbGciOiJub25lIn0.e30."])
    func rubbish(_ token: String) async throws {
        let stack = try await AuthStack.shared.value
        let response = try await refresh(token, stack.auth)
        #expect(response.status == 401)
        #expect(response.problem == "invalid-refresh-token")
    }

    @Test("a refresh token with one sign changed does nothing, not even end the session")
    func changedToken() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let last = person.refresh.last == "A" ? "Q" : "A"
        #expect(try await refresh(person.refresh.dropLast() + last, stack.auth).status == 401)
        #expect(try await stack.auth.client(token: person.access).get("/api/v1/auth/me").status == 200)
        #expect(try await refresh(person.refresh, stack.auth).status == 200)
    }

    @Test("an access token is no refresh token, and a refresh token opens nothing")
    func notInterchangeable() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        #expect(try await refresh(person.access, stack.auth).status == 401)
        #expect(try await stack.auth.client(token: person.refresh).get("/api/v1/auth/me").status == 401)
    }

    @Test("with users away a refresh answers 503 and does not spend the token")
    func refreshWithoutUsers() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let response = try await refresh(person.refresh, try await AuthStack.withoutUsers.value)
        #expect(response.status == 503)
        #expect(response.headers.contains(name: "retry-after"))
        #expect(try await refresh(person.refresh, stack.auth).status == 200)
    }

    @Test("a change of role is in the next token")
    func roleChange() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let user = person.user
        try await stack.users.database.execute(
            "UPDATE people SET role = 'viewer' WHERE user_id = \(user)", as: .service(.users, for: person.tenant))
        let next = try SignedInPerson(person.newcomer, try await refresh(person.refresh, stack.auth))
        #expect(TokenParts.claims(next.access)["roles"] == ["viewer"])
        #expect(TokenParts.claims(next.access)["permissions"] == ["*:read"])
    }

    @Test("both tokens expire")
    func expiry() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_ACCESS_TOKEN_SECONDS": "1", "TRIONEX_AUTH_REFRESH_TOKEN_SECONDS": "2"])
        let person = try await stack.register(at: host)
        #expect(person.answer["expiresIn"] == 1)
        try await host.eventually("the access token expires") {
            try await host.client(token: person.access).get("/api/v1/auth/me").problem == "expired-token"
        }
        try await Task.sleep(for: .seconds(2))
        #expect(try await refresh(person.refresh, host).status == 401)
        try await host.stop()
    }

    @Test("signing out ends the session here at once and in the other programs soon; other sessions stay")
    func logout() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let other = try SignedInPerson(
            person.newcomer, try await stack.auth.client(token: nil).post("/api/v1/auth/login", person.newcomer.signIn))
        let users = stack.users.client(token: person.access)
        #expect(try await users.get("/api/v1/users/me").status == 200)

        let response = try await stack.auth.client(token: person.access).post("/api/v1/auth/logout")
        #expect(response.status == 204)
        let me = try await stack.auth.client(token: person.access).get("/api/v1/auth/me")
        #expect(me.status == 401)
        #expect(me.problem == "revoked-session")
        #expect(try await refresh(person.refresh, stack.auth).status == 401)
        try await stack.users.eventually("users refuses it too") {
            try await users.get("/api/v1/users/me").problem == "revoked-session"
        }
        #expect(try await stack.auth.client(token: other.access).get("/api/v1/auth/me").status == 200)
        let revoked = try await stack.auth.outbox(person.tenant).filter { $0.type == SessionRevoked.type }
        #expect(revoked.map { $0.payload["reason"] } == ["logout"])
    }

    @Test("signing out twice is refused as any use of a dead session")
    func logoutTwice() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let client = stack.auth.client(token: person.access)
        #expect(try await client.post("/api/v1/auth/logout").status == 204)
        #expect(try await client.post("/api/v1/auth/logout").status == 401)
    }

    @Test("with Redis away signing out succeeds, and the others hear of it when somebody can tell them")
    func logoutWithoutRedis() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let alone = try await stack.another(["TRIONEX_REDIS_URL": "redis://127.0.0.1:1"])
        let client = alone.client(token: person.access)
        #expect(try await client.get("/api/v1/auth/me").status == 200)
        #expect(try await client.post("/api/v1/auth/logout").status == 204)
        #expect(try await client.get("/api/v1/auth/me").problem == "revoked-session")
        // The shared auth has a Redis: its worker finds what was left to announce.
        try await stack.users.eventually("users refuses the token") {
            try await stack.users.client(token: person.access).get("/api/v1/users/me").problem == "revoked-session"
        }
        try await alone.stop()
    }

    @Test("one organization's sessions and refresh tokens cannot be read as another")
    func isolation() async throws {
        let stack = try await AuthStack.shared.value
        let one = try await stack.register(), two = try await stack.register()
        for table in [
            Query<Int>("SELECT count(*) AS count FROM sessions", column: "count"),
            Query<Int>("SELECT count(*) AS count FROM refresh_tokens", column: "count"),
        ] {
            #expect(try await stack.auth.database.first(table, as: .anonymous(in: one.tenant)) == 1)
            #expect(try await stack.auth.database.first(table, as: .anonymous(in: two.tenant)) == 1)
            #expect(try await stack.auth.database.first(table, as: .anonymous(in: .make())) == 0)
        }
        let accounts = Query<Int>("SELECT count(*) AS count FROM accounts", column: "count")
        #expect(try await stack.auth.database.first(accounts, as: .anonymous(in: one.tenant)) == 0)
    }
}
