import AuthService
import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@Suite("OpenID Connect: clients and grants") struct OpenIDClientTests {
    @Test("a client is registered, read, listed, changed and removed; its secret is shown once and kept as a hash")
    func life() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let admin = stack.auth.client(token: person.access)
        let made = try await admin.post("/api/v1/auth/clients", ClientApp.registration)
        #expect(made.status == 201)
        #expect(made.header("cache-control") == "no-store")
        let id = try #require(made["id"].string), secret = try #require(made["clientSecret"].string)
        #expect(made.header("location") == "/api/v1/auth/clients/\(id)")
        #expect(made["clientId"].string?.utf8.count == 43)
        #expect(made["kind"] == "confidential")

        let read = try await admin.get("/api/v1/auth/clients/\(id)")
        #expect(read.status == 200)
        #expect(read["clientSecret"] == .null)
        let list = try await admin.get("/api/v1/auth/clients?limit=1")
        #expect(list["data"].array.map { $0["id"].string } == [id])

        let rows = try await stack.auth.database.query(
            Query("SELECT secret_digest FROM oauth_clients", column: "secret_digest") as Query<Data>,
            as: .service(.auth, for: person.tenant))
        #expect(rows.count == 1 && rows[0].count == 32)
        #expect(!secret.contains(rows[0].base64EncodedString()))

        let change: JSONValue = ["name": "Renamed", "redirectUris": ["https://new.example/"], "scopes": ["openid"]]
        let stale = try await admin.put("/api/v1/auth/clients/\(id)", change, headers: ["if-match": "\"v9\""])
        #expect(stale.status == 412)
        let changed = try await admin.put("/api/v1/auth/clients/\(id)", change, headers: ["if-match": try #require(read.header("etag"))])
        #expect(changed.status == 200)
        #expect(changed["name"] == "Renamed")
        #expect(changed["scopes"] == ["openid"])

        #expect(try await admin.delete("/api/v1/auth/clients/\(id)").status == 204)
        #expect(try await admin.get("/api/v1/auth/clients/\(id)").status == 404)
        let audit = try await stack.auth.outbox(person.tenant).filter { $0.type == AuditEntryRecorded.type }
            .compactMap { $0.payload["action"].string }.filter { $0.hasPrefix("auth.client.") }
        #expect(audit == ["auth.client.create", "auth.client.update", "auth.client.delete"])
        let text = try await stack.auth.outbox(person.tenant).map { "\($0.payload)" }.joined()
        #expect(!text.contains(secret))
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        let field: String
        let value: JSONValue
        let pointer: String
        var testDescription: String { "\(field): \(value)" }
    }

    static let bad = [
        Bad(field: "redirectUris", value: ["http://rp.example/callback"], pointer: "/redirectUris/0"),
        Bad(field: "redirectUris", value: ["https://*.rp.example/callback"], pointer: "/redirectUris/0"),
        Bad(field: "redirectUris", value: ["https://rp.example/callback#x"], pointer: "/redirectUris/0"),
        Bad(field: "redirectUris", value: ["https://user@rp.example/"], pointer: "/redirectUris/0"),
        Bad(field: "redirectUris", value: ["javascript:alert(1)"], pointer: "/redirectUris/0"),
        Bad(field: "redirectUris", value: ["data:text/html,x"], pointer: "/redirectUris/0"),
        Bad(field: "redirectUris", value: ["/relative"], pointer: "/redirectUris/0"),
        Bad(field: "redirectUris", value: [], pointer: "/redirectUris"),
        Bad(field: "scopes", value: ["*"], pointer: "/scopes/0"),
        Bad(field: "scopes", value: ["openid", "bad scope"], pointer: "/scopes/1"),
        Bad(field: "grantTypes", value: ["implicit"], pointer: "/grantTypes/0"),
        Bad(field: "grantTypes", value: ["refresh_token"], pointer: "/grantTypes"),
        Bad(field: "kind", value: "public", pointer: "/grantTypes"),
        Bad(field: "jwks", value: ["keys": [["kty": "oct", "k": "AAAA", "kid": "x"]]], pointer: "/jwks"),
        Bad(field: "name", value: "", pointer: "/name"),
    ]

    @Test("a registration that could be misused is refused, and the field named", arguments: bad)
    func refusals(_ bad: Bad) async throws {
        let stack = try await AuthStack.shared.value
        let person = try await Self.owner.value
        guard case .object(var fields) = ClientApp.registration else { return }
        fields[bad.field] = bad.value
        let response = try await stack.auth.client(token: person.access).post("/api/v1/auth/clients", .object(fields))
        #expect(response.status == 400)
        #expect(response.badFields == [bad.pointer])
    }

    private static let owner = Task { try await AuthStack.shared.value.register() }

    @Test("nobody gives a client more than they have, and who may not register clients registers none")
    func ownRights() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        func token(_ permissions: [Permission], authTime: Date = Date()) async throws -> String {
            let session = try #require(TokenParts.claims(person.access)["sid"].string.flatMap { SessionID($0) })
            return try await stack.keys.sign(
                AccessClaims(
                    user: person.user, session: session, tenant: person.tenant, roles: [], permissions: permissions, plan: "starter",
                    amr: ["pwd"], issuedAt: Date(), lifetime: 600, authTime: authTime))
        }
        let clients = stack.auth.client(token: try await token(["clients:*", "content:read"]))
        let refused = try await clients.post("/api/v1/auth/clients", ClientApp.registration)
        #expect(refused.status == 400)
        #expect(refused.badFields == ["/scopes/5"], "content:write is not theirs")
        let powerless = stack.auth.client(token: try await token(["content:*", "clients:read"]))
        #expect(try await powerless.post("/api/v1/auth/clients", ClientApp.registration).status == 403)
        let late = stack.auth.client(token: try await token(["*"], authTime: Date().addingTimeInterval(-3_600)))
        #expect(try await late.post("/api/v1/auth/clients", ClientApp.registration).problem == "insufficient-user-authentication")
    }

    @Test("another organization's client does not exist")
    func foreignClient() async throws {
        let stack = try await AuthStack.shared.value
        let party = try await ClientApp.register(by: try await stack.register(), at: stack.auth)
        let stranger = stack.auth.client(token: try await stack.register().access)
        #expect(try await stranger.get("/api/v1/auth/clients/\(party.id)").status == 404)
        #expect(try await stranger.delete("/api/v1/auth/clients/\(party.id)").status == 404)
        #expect(try await stranger.post("/api/v1/auth/clients/\(party.id)/rotate-secret").status == 404)
        #expect(
            try await stranger.put(
                "/api/v1/auth/clients/\(party.id)", ["name": "x", "redirectUris": ["https://x.example/"], "scopes": ["openid"]]
            ).status == 404)
        #expect(try await stranger.get("/api/v1/auth/clients")["data"] == [])
    }

    @Test("a new secret replaces the old one at once")
    func newSecret() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let admin = stack.auth.client(token: person.access)
        let rotated = try await admin.post("/api/v1/auth/clients/\(party.id)/rotate-secret")
        #expect(rotated.status == 200)
        let secret = try #require(rotated["clientSecret"].string)
        #expect(try await party.post("/oauth2/token", [("grant_type", "client_credentials")]).status == 401)
        let renewed = ClientApp(host: stack.auth, id: party.id, clientID: party.clientID, secret: secret)
        #expect(try await renewed.post("/oauth2/token", [("grant_type", "client_credentials")]).status == 200)
        let page = try await ClientApp.registerPublic(by: person, at: stack.auth)
        #expect(try await admin.post("/api/v1/auth/clients/\(page.id)/rotate-secret").status == 409)
    }

    @Test("a client that is removed takes all its tokens with it, here and in the other programs")
    func removal() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(
            by: person, at: stack.auth, changing: ["scopes": ["openid", "offline_access", "users:read"]])
        let tokens = try await party.tokens(person.newcomer, scope: "openid offline_access users:read")
        let own = try await party.post("/oauth2/token", [("grant_type", "client_credentials")])["access_token"].string
        #expect(try await stack.users.client(token: tokens.access).get("/api/v1/users").status == 200)
        #expect(try await stack.users.client(token: own).get("/api/v1/users").status == 200)
        #expect(try await stack.auth.client(token: person.access).delete("/api/v1/auth/clients/\(party.id)").status == 204)
        for token in [tokens.access, own] {
            try await stack.users.eventually("users refuses it") {
                try await stack.users.client(token: token).get("/api/v1/users").status == 401
            }
        }
        #expect(try await party.refresh(try #require(tokens.refresh))["error"] == "invalid_client")
    }

    @Test("a person sees what they allowed, and withdraws it: the client's tokens for them are dead, and it must ask again")
    func grants() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let tokens = try await party.tokens(person.newcomer, in: browser)
        let waiting = try await party.code(person.newcomer, in: browser)
        let client = stack.auth.client(token: person.access)
        let grants = try await client.get("/api/v1/auth/grants")
        #expect(grants.status == 200)
        #expect(grants["data"].array.count == 1)
        #expect(grants["data"][0]["client"]["name"] == "Example App")
        #expect(Set(grants["data"][0]["scopes"].array.compactMap(\.string)).isSuperset(of: ["openid", "content:read", "email"]))
        let id = try #require(grants["data"][0]["id"].string)

        let stranger = stack.auth.client(token: try await stack.register().access)
        #expect(try await stranger.delete("/api/v1/auth/grants/\(id)").status == 404)
        #expect(try await client.delete("/api/v1/auth/grants/\(id)").status == 204)
        #expect(try await client.delete("/api/v1/auth/grants/\(id)").status == 404)
        #expect(try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo").status == 401)
        #expect(try await party.refresh(try #require(tokens.refresh))["error"] == "invalid_grant")
        #expect(try await party.redeem(waiting)["error"] == "invalid_grant")
        #expect(try await browser.get(party.authorizePath()).formAction == "/oauth2/consent")
    }

    @Test("what one organization's clients and people left is invisible to another, row by row")
    func isolation() async throws {
        let stack = try await AuthStack.shared.value
        let one = try await stack.register(), two = try await stack.register()
        let party = try await ClientApp.register(by: one, at: stack.auth)
        _ = try await party.tokens(one.newcomer)
        func count(_ tenant: TenantID) async throws -> [Int] {
            let caller = Caller.service(.auth, for: tenant)
            let tables: [SQL] = [
                "SELECT count(*)::int AS n FROM oauth_clients", "SELECT count(*)::int AS n FROM oauth_grants",
                "SELECT count(*)::int AS n FROM oauth_authorizations", "SELECT count(*)::int AS n FROM oauth_refresh_tokens",
                "SELECT count(*)::int AS n FROM browser_sessions",
            ]
            var counts: [Int] = []
            for table in tables { counts.append(try await stack.auth.database.first(Query(table, column: "n"), as: caller) ?? -1) }
            return counts
        }
        #expect(try await count(one.tenant) == [1, 1, 1, 1, 1])
        #expect(try await count(two.tenant) == [0, 0, 0, 0, 0])
    }
}
