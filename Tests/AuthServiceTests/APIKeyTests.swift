import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

/// A key that somebody made, over HTTP.
struct MadeKey: Sendable {
    let id: String
    let key: String
    let response: TestResponse

    /// Makes one with these scopes; `[*:read]` unless said.
    static func make(_ client: TestClient, scopes: [String] = ["*:read"], name: String = "Build server", expiresAt: Date? = nil)
        async throws
        -> MadeKey
    {
        var body: [String: JSONValue] = ["name": .string(name), "scopes": .array(scopes.map { .string($0) })]
        if let expiresAt { body["expiresAt"] = .string(Timestamp.text(expiresAt)) }
        let response = try await client.post("/api/v1/auth/api-keys", .object(body))
        guard response.status == 201, let id = response["id"].string, let key = response["key"].string else {
            throw Unexpected(answer: "\(response.status) \(response.text)")
        }
        return MadeKey(id: id, key: key, response: response)
    }
}

extension SignedInPerson {
    /// What their token would say, with some of it different.
    func token(
        _ stack: AuthStack, permissions: [Permission] = ["*"], roles: [String] = ["owner"], authenticated: Date = Date(),
        impersonator: UserID? = nil
    ) async throws -> String {
        let session = try #require(TokenParts.claims(access)["sid"].string.flatMap { SessionID($0) })
        return try await stack.keys.sign(
            AccessClaims(
                user: user, session: session, tenant: tenant, roles: roles, permissions: permissions, plan: "starter", amr: ["pwd"],
                issuedAt: Date(), lifetime: 900, authTime: authenticated, impersonator: impersonator))
    }
}

@Suite struct APIKeyTests {
    private let path = "/api/v1/auth/api-keys"

    private func rows(_ stack: AuthStack, _ person: SignedInPerson) async throws -> [String] {
        try await stack.auth.database.query(
            Query("SELECT row_to_json(k)::text AS row FROM api_keys k", column: "row"), as: .service(.auth, for: person.tenant))
    }

    @Test("a key is shown once, kept as a hash, announced and audited")
    func made() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let client = stack.auth.client(token: person.access)
        let expires = Date().addingTimeInterval(86_400)
        let made = try await MadeKey.make(client, scopes: ["content:read", "*:read", "content:read"], expiresAt: expires)
        #expect(made.key.hasPrefix("trx_") && made.key.utf8.count == 68)
        #expect(made.response.header("location") == "\(path)/\(made.id)")
        #expect(made.response.header("cache-control") == "no-store")
        #expect(made.response["scopes"] == ["content:read", "*:read"])
        #expect(made.response["prefix"].string == String(made.key.prefix(12)))
        #expect(made.response["ownerId"].string == person.user.description)

        let read = try await client.get("\(path)/\(made.id)")
        #expect(read.status == 200)
        #expect(read["name"] == "Build server" && read["lastUsedAt"] == .null)
        #expect(read["expiresAt"].string == Timestamp.text(expires))
        let list = try await client.get(path)
        #expect(list["data"].array.map { $0["id"].string } == [made.id])
        let stored = try await rows(stack, person).joined()
        let events = try await stack.auth.outbox(person.tenant)
        for text in [read.text, list.text, stored, events.map { "\($0.payload)" }.joined()] {
            #expect(!text.contains(made.key))
            #expect(!text.contains(made.key.dropFirst(20)))
        }
        #expect(stored.contains(made.id))
        #expect(events.contains { $0.type.hasSuffix("api-key.created.v1") && $0.payload["keyID"].string == made.id })
        #expect(events.contains { $0.payload["action"] == "auth.api-key.create" && $0.payload["riskLevel"] == "medium" })
    }

    @Test("a key is never wider than its maker: every permission too much is named, and none is made")
    func neverWider() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let narrow = try await person.token(stack, permissions: ["api:*", "content:read"])
        let client = stack.auth.client(token: narrow)
        let answer = try await client.post(
            path, ["name": "Too much", "scopes": ["content:read", "content:write", "api:read", "*:read", "*"]])
        #expect(answer.status == 403)
        #expect(answer.problem == "wider-than-maker")
        #expect(answer.badFields == ["/scopes/1", "/scopes/3", "/scopes/4"])
        #expect(try await rows(stack, person).isEmpty)
        _ = try await MadeKey.make(client, scopes: ["api:*", "content:read"])
    }

    @Test("what is no permission, no time to come, or no name is refused, each field named")
    func validation() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let client = stack.auth.client(token: person.access)
        func fields(_ body: JSONValue) async throws -> [String] {
            let answer = try await client.post(path, body)
            #expect(answer.status == 400)
            return answer.badFields
        }
        #expect(try await fields(["name": "", "scopes": ["content"]]) == ["/name", "/scopes/0"])
        #expect(try await fields(["name": "x", "scopes": ["Content:Read", "a:b:c", ":"]]) == ["/scopes/0", "/scopes/1", "/scopes/2"])
        #expect(try await fields(["name": "x", "scopes": []]) == ["/scopes"])
        #expect(try await fields(["name": "x", "scopes": ["a:b"], "expiresAt": "2020-01-01T00:00:00Z"]) == ["/expiresAt"])
        #expect(try await fields(["name": "x", "scopes": ["a:b"], "expiresAt": "2099-01-01T00:00:00Z"]) == ["/expiresAt"])
        let many = JSONValue.array((0...APIKey.maximumScopes).map { .string("content-\($0):read") })
        #expect(try await fields(["name": "x", "scopes": many]) == ["/scopes"])
        #expect(try await rows(stack, person).isEmpty)
    }

    @Test("making one takes api:write, the person in person, and a recent proof of who they are")
    func whoMay() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let body: JSONValue = ["name": "Key", "scopes": ["content:read"]]
        func make(_ token: String) async throws -> TestResponse { try await stack.auth.client(token: token).post(path, body) }
        #expect(try await make(try await person.token(stack, permissions: ["content:read"])).problem == "missing-permission")
        let old = try await make(try await person.token(stack, authenticated: Date().addingTimeInterval(-601)))
        #expect(old.status == 401 && old.problem == "insufficient-user-authentication")
        #expect(old.header("www-authenticate")?.contains("insufficient_user_authentication") == true)
        #expect(try await make(try await person.token(stack, impersonator: .make())).problem == "person-only")
        let key = try await MadeKey.make(stack.auth.client(token: person.access), scopes: ["*"])
        #expect(try await make(key.key).problem == "person-only")
        #expect(try await make(try await person.token(stack, permissions: BuiltInRole.developer.permissions)).status == 201)
    }

    @Test("a key is good wherever a token is, for its scopes and no more")
    func used() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let reader = try await MadeKey.make(stack.auth.client(token: person.access), scopes: ["api:read"])
        for headers in [["x-api-key": reader.key], ["authorization": "Bearer \(reader.key)"]] {
            let client = TestClient(base: stack.auth.url, token: nil)
            #expect(try await client.get(path, headers: headers).status == 200)
            let me = try await client.get("/api/v1/auth/me", headers: headers)
            #expect(me["user"]["id"].string == person.user.description && me["session"] == .null && me["permissions"] == ["api:read"])
            #expect(try await client.delete("\(path)/\(reader.id)", headers: headers).problem == "person-only")
            #expect(try await client.get("\(path)?scope=all", headers: headers).problem == "missing-permission")
        }
        let other = try await MadeKey.make(stack.auth.client(token: person.access), scopes: ["content:read"])
        #expect(try await stack.auth.client(token: other.key).get(path).problem == "missing-permission")
        let both = try await stack.auth.client(token: person.access).get(path, headers: ["x-api-key": reader.key])
        #expect(both.status == 401)
        let unknown = try await stack.auth.client(token: "trx_" + String(reader.key.dropFirst(4).reversed())).get(path)
        #expect(unknown.status == 401 && unknown.problem == "bad-api-key")
    }

    @Test("the token of a key says the key, its owner and what both allow today, and lives two minutes at most")
    func exchanged() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let made = try await MadeKey.make(stack.auth.client(token: person.access), scopes: ["content:*", "*:read"])
        let program = try await stack.program(.gateway, of: stack.auth)
        func exchange() async throws -> TestResponse {
            try await program.post("/internal/v1/api-keys/exchange", ["key": .string(made.key)])
        }
        let answer = try await exchange()
        #expect(answer.status == 200)
        let claims = TokenParts.claims(try #require(answer["token"].string))
        #expect(claims["sub"].string == person.user.description)
        #expect(claims["key"].string == made.id)
        #expect(claims["org"].string == person.tenant.description)
        #expect(claims["permissions"] == ["content:*", "*:read"])
        #expect(claims["roles"] == [] && claims["sid"] == .null && claims["auth_time"] == .null)
        let life = (claims["exp"].int ?? 0) - (claims["iat"].int ?? 0)
        #expect((60...120).contains(life))

        // The owner becomes a viewer: what the key may do shrinks with them, and grows again with them, up to its scopes.
        let users = Caller.service(.users, for: person.tenant), owner = person.user
        try await stack.users.database.execute("UPDATE people SET role = 'viewer' WHERE user_id = \(owner)", as: users)
        #expect(TokenParts.claims(try await exchange()["token"].string ?? "")["permissions"] == ["content:read", "*:read"])
        try await stack.users.database.execute("UPDATE people SET status = 'suspended' WHERE user_id = \(owner)", as: users)
        #expect(try await exchange().problem == "bad-api-key")
        try await stack.users.database.execute("UPDATE people SET status = 'active', role = 'owner' WHERE user_id = \(owner)", as: users)
        #expect(TokenParts.claims(try await exchange()["token"].string ?? "")["permissions"] == ["content:*", "*:read"])
        try await stack.users.database.execute("DELETE FROM people WHERE user_id = \(owner)", as: users)
        #expect(try await exchange().status == 401)
        #expect(try await stack.auth.client(token: person.access).post("/internal/v1/api-keys/exchange", ["key": "trx_x"]).status == 403)
    }

    @Test("a key ends at its time, and so does the token it was exchanged for")
    func expires() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let ends = Date().addingTimeInterval(APIKey.shortestLife + 20)
        let made = try await MadeKey.make(stack.auth.client(token: person.access), expiresAt: ends)
        let program = try await stack.program(.gateway, of: stack.auth)
        let answer = try await program.post("/internal/v1/api-keys/exchange", ["key": .string(made.key)])
        #expect(TokenParts.claims(try #require(answer["token"].string))["exp"].int ?? .max <= Int(ends.timeIntervalSince1970))
        let id = try #require(APIKeyID(made.id))
        try await stack.auth.database.execute(
            "UPDATE api_keys SET expires_at = \(Date().addingTimeInterval(-1)) WHERE id = \(id)", as: .service(.auth, for: person.tenant))
        #expect(try await program.post("/internal/v1/api-keys/exchange", ["key": .string(made.key)]).problem == "bad-api-key")
    }

    @Test("its last use is written down, once a minute at most")
    func lastUse() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let owner = stack.auth.client(token: person.access), made = try await MadeKey.make(owner)
        let program = try await stack.program(.gateway, of: stack.auth)
        func use() async throws -> String? {
            _ = try await program.post("/internal/v1/api-keys/exchange", ["key": .string(made.key)])
            return try await owner.get("\(path)/\(made.id)")["lastUsedAt"].string
        }
        let first = try #require(try await use())
        #expect(abs(try #require(Timestamp.date(first)).timeIntervalSinceNow) < 10)
        #expect(try await use() == first)
        let id = try #require(APIKeyID(made.id)), earlier = Date().addingTimeInterval(-61)
        try await stack.auth.database.execute(
            "UPDATE api_keys SET last_used_at = \(earlier) WHERE id = \(id)", as: .service(.auth, for: person.tenant))
        #expect(try await use() != Timestamp.text(earlier))
    }

    @Test("a key is renamed and revoked by its owner; once revoked it is dead at once, gone from the list, and not revoked again")
    func renamedAndRevoked() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let owner = stack.auth.client(token: person.access), made = try await MadeKey.make(owner, scopes: ["api:read"])
        let tag = try #require(try await owner.get("\(path)/\(made.id)").header("etag"))
        let renamed = try await owner.patch("\(path)/\(made.id)", ["name": "Nightly"], headers: ["if-match": tag])
        #expect(renamed.status == 200 && renamed["name"] == "Nightly")
        #expect(try await owner.patch("\(path)/\(made.id)", ["name": "Again"], headers: ["if-match": tag]).status == 412)
        #expect(try await owner.patch("\(path)/\(made.id)", ["name": .null]).badFields == ["/name"])
        #expect(try await owner.patch("\(path)/\(made.id)", ["scopes": ["*"]]).status == 400, "a key's scopes stay what they were")
        #expect(try await stack.auth.client(token: made.key).get(path).status == 200)

        #expect(
            try await stack.auth.client(token: try await person.token(stack, impersonator: .make())).delete("\(path)/\(made.id)").status
                == 403)
        #expect(try await owner.delete("\(path)/\(made.id)").status == 204)
        let dead = try await stack.auth.client(token: made.key).get(path)
        #expect(dead.status == 401 && dead.problem == "bad-api-key")
        #expect(try await owner.get("\(path)/\(made.id)").status == 404)
        #expect(try await owner.delete("\(path)/\(made.id)").status == 404)
        #expect(try await owner.get(path)["data"].array.isEmpty)
        let revoked = try await stack.auth.outbox(person.tenant).filter { $0.type.hasSuffix("api-key.revoked.v1") }
        #expect(revoked.count == 1 && revoked[0].payload["reason"] == "revoked")
    }

    @Test("others' keys are seen and revoked by whoever manages the organization's, and by nobody else")
    func managing() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let made = try await MadeKey.make(stack.auth.client(token: person.access))
        func colleague(_ permissions: [Permission]) async throws -> TestClient {
            stack.auth.client(
                token: try await stack.keys.sign(
                    AccessClaims(
                        user: .make(), session: .make(), tenant: person.tenant, roles: [], permissions: permissions, plan: "starter",
                        amr: ["pwd"], issuedAt: Date(), lifetime: 900)))
        }
        let developer = try await colleague(BuiltInRole.developer.permissions), admin = try await colleague(["*"])
        #expect(try await developer.get("\(path)/\(made.id)").status == 404)
        #expect(try await developer.delete("\(path)/\(made.id)").status == 404)
        #expect(try await developer.get(path)["data"].array.isEmpty)
        #expect(try await developer.get("\(path)?scope=all").status == 403)
        #expect(try await admin.get(path)["data"].array.isEmpty)
        #expect(try await admin.get("\(path)?scope=all")["data"].array.map { $0["id"].string } == [made.id])
        #expect(try await admin.delete("\(path)/\(made.id)").status == 204)
        let stranger = try await stack.register()
        let again = try await MadeKey.make(stack.auth.client(token: person.access))
        #expect(try await stack.auth.client(token: stranger.access).get("\(path)/\(again.id)").status == 404)
        #expect(try await stack.auth.client(token: stranger.access).delete("\(path)/\(again.id)").status == 404)
    }

    @Test("nobody has more than fifty, however many they ask for at once; pages list them all, newest first")
    func atMost() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let client = stack.auth.client(token: person.access)
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<(APIKey.maximumPerPerson + 8) {
                group.addTask { () async throws -> Int in
                    try await client.post(path, ["name": .string("Key \(number)"), "scopes": ["content:read"]]).status
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.count { $0 == 201 } == APIKey.maximumPerPerson)
        #expect(statuses.count { $0 == 409 } == 8)
        var seen: [String] = [], cursor: String?
        repeat {
            let page = try await client.get("\(path)?limit=20" + (cursor.map { "&cursor=\($0)" } ?? ""))
            seen += page["data"].array.compactMap { $0["id"].string }
            cursor = page["nextCursor"].string
        } while cursor != nil
        #expect(Set(seen).count == APIKey.maximumPerPerson && seen.count == APIKey.maximumPerPerson)
        #expect(try await client.delete("\(path)/\(seen[0])").status == 204)
        #expect(try await client.post(path, ["name": "One more", "scopes": ["content:read"]]).status == 201)
    }

    @Test("no key reaches the log, at any level")
    func silentLog() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_LOG_LEVEL": "trace"])
        let person = try await stack.register(at: host)
        let made = try await MadeKey.make(host.client(token: person.access), scopes: ["api:read"])
        _ = try await host.client(token: made.key).get(path)
        _ = try await host.client(token: nil).get(path, headers: ["x-api-key": made.key])
        _ = try await host.client(token: nil).get("\(path)/\(made.key)", headers: ["x-api-key": "trx_wrong"])
        _ = try await stack.program(.gateway, of: host).post("/internal/v1/api-keys/exchange", ["key": .string(made.key)])
        let lines = host.log.lines.joined(separator: "\n")
        #expect(lines.contains("api-keys"), "the log is there at all")
        #expect(!lines.contains(made.key) && !lines.contains(made.key.dropFirst(16)))
        try await host.stop()
    }
}
