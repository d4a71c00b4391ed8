import Contracts
import Foundation
import NIOHTTP1
import ServiceKit
import Synchronization
import TestKit
import Testing

@Suite("Who may, with what")
struct CredentialTests {
    private func token(_ person: TestPerson, proven: TimeInterval = 0, impersonator: UserID? = nil, roles: [String]? = nil) async throws
        -> String
    {
        try await TestKeys.sign(
            AccessClaims(
                user: person.id, session: person.session, tenant: person.tenant, roles: roles ?? person.roles,
                permissions: person.permissions,
                plan: "starter", amr: ["pwd"], issuedAt: Date(), lifetime: 900, authTime: Date().addingTimeInterval(-proven),
                impersonator: impersonator))
    }

    @Test("what cannot be undone wants the person, lately proven, with the permission")
    func recently() async throws {
        let host = try await TestHost.start(Workshop.self)
        let (tenant, path) = (TestTenant(), "/api/v1/workshop/everything")
        #expect(try await host.client(token: try await token(tenant.owner)).delete(path).status == 204)
        let late = try await host.client(token: try await token(tenant.owner, proven: 700)).delete(path)
        #expect(late.status == 401 && late.problem == "insufficient-user-authentication")
        #expect(late.header("www-authenticate")?.contains(#"error="insufficient_user_authentication", max_age="600""#) == true)
        let weak = try await host.client(token: try await token(tenant.viewer)).delete(path)
        #expect(weak.status == 403 && weak.problem == "missing-permission")
        let impersonated = try await host.client(token: try await token(tenant.owner, impersonator: .make())).delete(path)
        #expect(impersonated.status == 403 && impersonated.problem == "person-only")
    }

    @Test("an owner's star is not the platform's: only the role opens what is the platform's")
    func superadmin() async throws {
        let host = try await TestHost.start(Workshop.self)
        let (tenant, path) = (TestTenant(), "/api/v1/workshop/platform")
        #expect(try await host.client(tenant.owner).get(path).problem == "superadmin-only")
        #expect(try await host.client(token: try await token(tenant.owner, roles: ["owner", "superadmin"])).get(path).status == 204)
        let acting = try await token(tenant.owner, impersonator: .make(), roles: ["superadmin"])
        #expect(try await host.client(token: acting).get(path).problem == "superadmin-only")
    }

    @Test("a client's own token has its permissions, and is no person")
    func client() async throws {
        let host = try await TestHost.start(Workshop.self)
        let client = ClientID.make()
        let token = try await TestKeys.sign(
            AccessClaims(
                client: client, tenant: .make(), permissions: ["orders:read"], plan: "starter", scope: "orders:read", issuedAt: Date(),
                lifetime: 60))
        let own = try await host.client(token: token).get("/api/v1/workshop/own")
        #expect(own.status == 200 && own.json["id"].string == "client:\(client)")
        #expect(try await host.client(token: token).delete("/api/v1/workshop/everything").problem == "missing-permission")
        #expect(try await host.client(token: token).get("/api/v1/workshop/numbers").problem == "person-only")
    }

    @Test("one credential, not two, and none that is no key")
    func credentials() async throws {
        let host = try await TestHost.start(Workshop.self)
        let person = TestTenant().owner
        let both = try await host.client(person).send(.GET, "/api/v1/workshop/own", bytes: nil, headers: ["x-api-key": "trx_something"])
        #expect(both.status == 401 && both.problem == "bad-token")
        let odd = try await host.client(token: nil).send(.GET, "/api/v1/workshop/own", bytes: nil, headers: ["x-api-key": "something"])
        #expect(odd.status == 401 && odd.problem == "bad-api-key")
    }

    @Test("what anybody may call takes no notice of a token that has expired")
    func publicIgnoresTokens() async throws {
        let host = try await TestHost.start(Workshop.self)
        let old = try await TestTenant().owner.token(now: Date().addingTimeInterval(-4_000))
        #expect(try await host.client(token: old).get("/api/v1/workshop/open").status == 200)
    }

    @Test("keys are exchanged once for many calls, good answers kept while they live, bad ones a few seconds")
    func exchange() async throws {
        let asked = Mutex(0), time = Mutex(Date(timeIntervalSince1970: 1_000_000))
        let keys = APIKeys(now: { time.withLock { $0 } }) { key in
            asked.withLock { $0 += 1 }
            try await Task.sleep(for: .milliseconds(20))
            guard key == "trx_good" else { throw AccessFailure.badAPIKey }
            return ServiceToken(token: "a token", expiresAt: time.withLock { $0 }.addingTimeInterval(60))
        }
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<20 { group.addTask { try await keys.token(for: "trx_good") } }
            for try await token in group { #expect(token == "a token") }
        }
        #expect(asked.withLock { $0 } == 1)
        time.withLock { $0 += 56 }
        #expect(try await keys.token(for: "trx_good") == "a token")
        #expect(asked.withLock { $0 } == 2, "a token about to expire is renewed")
        for _ in 0..<3 { await #expect(throws: AccessFailure.badAPIKey) { try await keys.token(for: "trx_bad") } }
        #expect(asked.withLock { $0 } == 3)
        time.withLock { $0 += 6 }
        await #expect(throws: AccessFailure.badAPIKey) { try await keys.token(for: "trx_bad") }
        #expect(asked.withLock { $0 } == 4)
        await #expect(throws: AccessFailure.badAPIKey) { try await keys.token(for: "trx_rt_refresh") }
        #expect(asked.withLock { $0 } == 4, "a refresh token is no key")
    }

    @Test("what is sealed opens in its own place, with its own key, unchanged")
    func sealing() throws {
        func key(_ byte: UInt8) -> String { Data(repeating: byte, count: 32).base64EncodedString() }
        let first = try #require(Sealing(keys: key(1))), second = try #require(Sealing(keys: "\(key(2)), \(key(1))"))
        let sealed = try first.seal(Data("secret".utf8), context: "totp 1")
        #expect(try second.open(sealed, context: "totp 1") == Data("secret".utf8), "an old key still opens")
        #expect(throws: Sealing.CannotOpen.self) { try first.open(sealed, context: "totp 2") }
        #expect(throws: Sealing.CannotOpen.self) { try first.open(try second.seal(Data(), context: "x"), context: "x") }
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(throws: Sealing.CannotOpen.self) { try first.open(changed, context: "totp 1") }
        }
        #expect(try first.seal(Data("secret".utf8), context: "totp 1") != sealed, "no two alike")
        #expect(first.digest("123456", context: "a") != first.digest("123456", context: "b"))
        #expect(Sealing(keys: "") == nil && Sealing(keys: "c2hvcnQ=") == nil && Sealing(keys: "\(key(1)),") == nil)
    }

    @Test("forms are decoded as strictly as bodies, unless a standard has it otherwise")
    func forms() async throws {
        let host = try await TestHost.start(Workshop.self)
        func post(_ path: String, _ body: String, type: String = "application/x-www-form-urlencoded") async throws -> TestResponse {
            try await host.client(token: nil).send(
                .POST, "/api/v1/workshop/\(path)", bytes: Data(body.utf8), headers: ["content-type": type])
        }
        #expect(try await post("form", "name=Ada+L%C3%B6we&age=36").json["name"].string == "Ada Löwe 36")
        #expect(try await post("form", "name=a&shoe=9").status == 400)
        #expect(try await post("form", "age=nine").json["errors"].array.count == 2)
        #expect(try await post("form", "name=a", type: "application/json").status == 415)
        #expect(try await post("form", "name=%zz").status == 400)
        #expect(try await post("open-form", "name=a&shoe=9&shoe=8").json["name"].string == "a")
        #expect(try await post("open-form", "name=a&name=b").status == 400)
    }

    @Test("a page loads nothing, is framed by nobody, and shows text as text")
    func page() async throws {
        let host = try await TestHost.start(Workshop.self)
        let page = try await host.client(token: nil).get("/api/v1/workshop/page")
        #expect(page.text == "<p>&lt;script&gt;&#39;&quot;&amp;</p>")
        #expect(page.header("content-security-policy")?.contains("frame-ancestors 'none'") == true)
        #expect(page.header("content-type") == "text/html; charset=utf-8" && page.header("cache-control") == "no-store")
    }
}
