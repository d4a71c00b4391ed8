import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

/// Connections, the way people of a domain are sent, and the identities of a person.
@Suite(.serialized) struct SSOConnectionTests {
    private static let path = "/api/v1/auth/sso/connections"

    private func draft(_ issuer: SSOIssuer, _ more: [String: JSONValue] = [:]) -> JSONValue {
        var draft: [String: JSONValue] = [
            "name": "Another", "preset": "oidc", "issuer": .string(issuer.url), "clientId": "trionex",
            "clientSecret": .string(SSOIssuer.secret),
        ]
        draft.merge(more) { $1 }
        return .object(draft)
    }

    @Test("a connection is made, read, changed and removed, and its secret is never shown and not stored as it is")
    func life() async throws {
        let company = try await SSOCompany.found()
        let path = "\(Self.path)/\(company.connection)"
        let read = try await company.client.get(path)
        #expect(read.status == 200)
        #expect(read["redirectUri"].string == company.callback)
        #expect(read["startUrl"].string == company.start)
        let sealed: Data? = try await company.host.database.first(
            Query("SELECT client_secret FROM sso_connections", column: "client_secret"), as: .anonymous(in: company.owner.tenant))
        #expect(try #require(sealed).range(of: Data(SSOIssuer.secret.utf8)) == nil)
        let etag = try #require(read.header("etag"))
        let renamed = try await company.client.patch(path, ["name": "Renamed"], headers: ["if-match": etag])
        #expect(renamed["name"] == "Renamed" && renamed["version"] == 2)
        #expect(try await company.client.patch(path, ["name": "Late"], headers: ["if-match": etag]).status == 412)
        let listed = try await company.client.get(Self.path)
        #expect(listed["data"].array.count == 1)
        for answer in [read, renamed, listed] {
            #expect(!answer.text.contains(SSOIssuer.secret) && !answer.text.lowercased().contains("secret"))
        }
        let audited = try await company.audited("auth.sso.connection.update")
        #expect(audited.last?["changed"]["name"] == "Renamed" && audited.last?["previous"]["name"] == "Corporate sign-in")
        #expect(try await company.client.delete(path).status == 204)
        #expect(try await company.client.get(path).status == 404)
        #expect(try await SSOBrowser(company.host).go(company.start).status == 404)
        #expect(try await company.audited("auth.sso.connection.delete").count == 1)
        let events = try await company.host.outbox(company.owner.tenant).map { "\($0.payload)" }.joined()
        #expect(!events.contains(SSOIssuer.secret))
    }

    @Test("a kept secret goes to no other issuer and no other client than it was given for")
    func secretStays() async throws {
        let company = try await SSOCompany.found()
        let elsewhere = try await SSOIssuer.start(), path = "\(Self.path)/\(company.connection)"
        #expect(try await company.client.patch(path, ["issuer": .string(elsewhere.url)]).problem == "sso-secret-needed")
        #expect(try await company.client.patch(path, ["clientId": "another"]).problem == "sso-secret-needed")
        let moved = try await company.client.patch(
            path, ["issuer": .string(elsewhere.url), "clientSecret": .string(SSOIssuer.secret)])
        #expect(moved.status == 200 && moved["lastUsedAt"].isNull)
        // As if the row had been changed behind our back: what was sealed for one issuer opens for no other.
        let other = company.issuer.url
        try await company.host.database.execute("UPDATE sso_connections SET issuer = \(other)", as: .anonymous(in: company.owner.tenant))
        company.person("owner@\(company.domain)")
        let end = try await SSOBrowser(company.host).go(try await SSOBrowser(company.host).answer(from: company.start))
        #expect(end.header("location")?.contains("code=") != true)
    }

    @Test("another organization's connections are not there")
    func foreign() async throws {
        let company = try await SSOCompany.found()
        let stranger = try await SSOCompany.register("owner@\(UUID().uuidString.lowercased()).example", at: company.host)
        let client = company.host.client(token: stranger.access), path = "\(Self.path)/\(company.connection)"
        #expect(try await client.get(path).status == 404)
        #expect(try await client.patch(path, ["name": "Mine"]).status == 404)
        #expect(try await client.delete(path).status == 404)
        #expect(try await client.get(Self.path)["data"].array.isEmpty)
        #expect(try await client.post("/api/v1/auth/sso/\(company.connection)/link", [:]).status == 404)
    }

    @Test("writing needs the permission, a person, and a recent proof of who they are")
    func rights() async throws {
        let company = try await SSOCompany.found()
        _ = company.newcomer()
        let viewer = try await company.signIn()
        let client = company.host.client(token: viewer.access)
        #expect(try await client.get(Self.path).status == 200)
        #expect(try await client.post(Self.path, draft(company.issuer)).problem == "missing-permission")
        let session = try #require(TokenParts.claims(company.owner.access)["sid"].string.flatMap { SessionID($0) })
        let old = try await company.stack.keys.sign(
            AccessClaims(
                user: company.owner.user, session: session, tenant: company.owner.tenant, roles: ["owner"], permissions: ["*"],
                plan: "starter", amr: ["pwd"], issuedAt: Date(), lifetime: 900, authTime: Date().addingTimeInterval(-700)))
        #expect(
            try await company.host.client(token: old).post(Self.path, draft(company.issuer)).problem == "insufficient-user-authentication")
    }

    @Test("settings that cannot be meant are refused, each field by name")
    func badSettings() async throws {
        let company = try await SSOCompany.found()
        let client = company.client
        func fields(_ more: [String: JSONValue]) async throws -> [String] {
            try await client.post(Self.path, draft(company.issuer, more)).badFields
        }
        #expect(try await fields(["joins": true]) == ["/domains"])
        #expect(try await fields(["joins": true, "enforced": true, "enabled": false]) == ["/domains", "/domains", "/enforced"])
        #expect(try await fields(["defaultRole": "owner"]) == ["/defaultRole"])
        #expect(try await fields(["defaultRole": "superadmin"]) == ["/defaultRole"])
        #expect(try await fields(["preset": "google"]) == ["/issuer"])
        #expect(try await fields(["preset": "facebook"]) == ["/preset"])
        #expect(try await fields(["domains": ["not a domain"]]) == ["/domains/0"])
        #expect(try await fields(["returnOrigins": ["http://evil.example"]]) == ["/returnOrigins/0"])
        let tested = try await client.post(Self.path, draft(company.issuer, ["enforced": true, "domains": [.string(company.domain)]]))
        #expect(tested.problem == "sso-connection-untested")
    }

    @Test(
        "an issuer whose discovery is another's, a redirect, too large, too slow or not there is refused at once, alike",
        arguments: [
            Misbehaviour("another issuer's", { $0.metadata["issuer"] = "https://accounts.google.com" }),
            Misbehaviour("a slash more", { $0.metadata["issuer"] = "http://127.0.0.1/" }),
            Misbehaviour("a redirect", { $0.redirectsDiscovery = true }), Misbehaviour("too large", { $0.hugeDiscovery = true }),
            Misbehaviour("too slow", { $0.pause = .seconds(20) }),
            Misbehaviour("keys by another scheme", { $0.metadata["jwks_uri"] = "file:///etc/passwd" }),
            Misbehaviour("no token endpoint", { $0.metadata["token_endpoint"] = .null }),
        ] as [Misbehaviour])
    func discovery(misbehaviour: Misbehaviour) async throws {
        let company = try await SSOCompany.found()
        let issuer = try await SSOIssuer.start()
        issuer.behave(misbehaviour.change)
        let begun = ContinuousClock.now
        let refused = try await company.client.post(Self.path, draft(issuer))
        #expect(refused.status == 400 && refused.badFields == ["/issuer"], "\(misbehaviour.testDescription): \(refused.text)")
        #expect(refused["errors"].array.first?["code"] == "unusable-issuer")
        #expect(.now - begun < .seconds(15))
        #expect(issuer.asked("/elsewhere") == 0)
    }

    @Test("without the setting for development, nothing inside the network is asked, and the refusal does not tell what is there")
    func inside() async throws {
        let stack = try await AuthStack.shared.value
        let issuer = try await SSOIssuer.start()
        let person = try await stack.register()
        let client = stack.auth.client(token: person.access)
        let https = issuer.url.replacingOccurrences(of: "http://", with: "https://")
        var texts: Set<String> = []
        for address in [issuer.url, https, "https://localhost:1", "https://169.254.169.254", "https://10.0.0.1", "https://[::1]:1"] {
            let refused = try await client.post(
                Self.path, draft(issuer, ["issuer": .string(address)]), headers: ["x-request-id": "the-same-request"])
            #expect(refused.status == 400, "\(address)")
            texts.insert(refused.text)
        }
        #expect(texts.count == 1)
        #expect(issuer.asked("/.well-known/openid-configuration") == 0)
    }

    @Test("an organization has at most so many connections")
    func many() async throws {
        let company = try await SSOCompany.found()
        for _ in 1..<SSOConnection.maximumPerOrganization {
            #expect(try await company.client.post(Self.path, draft(company.issuer)).status == 201)
        }
        #expect(try await company.client.post(Self.path, draft(company.issuer)).problem == "too-many-sso-connections")
        let first = try await company.client.get(Self.path + "?limit=15")
        let next = try #require(first["nextCursor"].string)
        let second = try await company.client.get(Self.path + "?limit=15&cursor=\(next)")
        #expect(first["data"].array.count == 15 && second["data"].array.count == 5 && second["nextCursor"].isNull)
    }

    // MARK: - Routing by domain

    @Test("people are sent by their domain alone, to the connection of the organization that owns it")
    func discover() async throws {
        let company = try await SSOCompany.found()
        let client = company.host.client(token: nil)
        func ask(_ email: String) async throws -> TestResponse {
            try await client.post("/api/v1/auth/sso/discover", ["email": .string(email)], headers: ["x-request-id": "the-same-request"])
        }
        let known = try await ask("owner@\(company.domain)"), unknown = try await ask("nobody@\(company.domain)")
        #expect(known.status == 200 && known.body == unknown.body)
        #expect(known["methods"] == ["sso", "password"])
        #expect(known["connection"]["startUrl"].string == company.start)
        #expect(try await ask("owner@nobodys-\(UUID().uuidString.lowercased()).example")["methods"] == ["password"])
        // Somebody else writes the domain into a connection of theirs.
        let thief = try await SSOCompany.found(owns: false, settings: ["domains": [.string(company.domain)], "name": "Thief"])
        #expect(try await ask("owner@\(company.domain)").body == known.body)
        let theirs = try await ask("x@\(thief.domain)")
        #expect(theirs["methods"] == ["password"], "what nobody has verified is nobody's")
    }

    @Test("an organization may close the door to passwords for its domain, for known and unknown people alike; others are not touched")
    func enforced() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let owner = try await company.signIn()
        let colleague = try await SSOCompany.register("colleague@\(company.domain)", at: company.host)
        let desk = FactorDesk(stack: company.stack, host: company.host, person: colleague)
        var passkey = SoftwareAuthenticator()
        passkey.relyingParty = "app.example.test"
        passkey.origin = SSOBrowser.publicURL
        #expect(try await desk.addKey(&passkey).status == 200)
        func passkeySignIn() async throws -> TestResponse {
            let options = try await desk.nobody.post("/api/v1/auth/passkey/options", [:])["publicKey"]
            return try await desk.nobody.post("/api/v1/auth/passkey/login", ["credential": try passkey.assert(options)])
        }
        #expect(try await passkeySignIn().status == 200)
        let path = "\(Self.path)/\(company.connection)"
        let closed = try await company.host.client(token: owner.access).patch(path, ["enforced": true])
        #expect(closed.status == 200, "\(closed.text)")
        let client = company.host.client(token: nil)
        func signIn(_ email: String, _ password: String) async throws -> TestResponse {
            try await client.post(
                "/api/v1/auth/login", ["email": .string(email), "password": .string(password)],
                headers: ["x-request-id": "the-same-request"])
        }
        let right = try await signIn("owner@\(company.domain)", company.owner.newcomer.password)
        let wrong = try await signIn("owner@\(company.domain)", "a wrong password"),
            nobody = try await signIn("x@\(company.domain)", "any at all")
        #expect(right.status == 403 && right.problem == "sso-required")
        #expect(right.body == wrong.body && wrong.body == nobody.body)
        func register(_ email: String) async throws -> TestResponse {
            try await client.post(
                "/api/v1/auth/register", ["email": .string(email), "password": .string(Newcomer().password)],
                headers: ["x-request-id": "the-same-request"])
        }
        let unknown = "new@\(company.domain)"
        let known = try await register("owner@\(company.domain)"), newcomer = try await register(unknown)
        #expect(known.status == 403 && known.problem == "sso-required")
        #expect(known.body == newcomer.body)
        let left: Int? = try await company.host.database.first(
            Query("SELECT count(*) AS count FROM accounts WHERE email = \(unknown)", column: "count"),
            as: .anonymous(in: .platform))
        #expect(left == 0)
        let byPasskey = try await passkeySignIn()
        #expect(byPasskey.status == 403 && byPasskey.problem == "sso-required", "\(byPasskey.text)")
        #expect(
            try await client.post("/api/v1/auth/sso/discover", ["email": .string("x@\(company.domain)")])["methods"] == ["sso"])
        #expect(try await company.signIn().user == owner.user)
        // A thief's connection closes nobody's door.
        let thief = try await SSOCompany.found(settings: ["domains": [.string("x.example")]])
        let victim = try await SSOCompany.found()
        try await thief.host.database.execute(
            "UPDATE sso_connections SET domains = ARRAY[\(victim.domain)::text], enforced = true", as: .anonymous(in: thief.owner.tenant))
        #expect(try await signIn("owner@\(victim.domain)", victim.owner.newcomer.password).status == 200)
    }

    @Test("a connection that is switched off lets nobody begin, come back or exchange a code")
    func switchedOff() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let browser = SSOBrowser(company.host)
        let answer = try await browser.answer(from: company.start)
        let end = try await SSOBrowser(company.host).signIn(company.start)
        #expect(try await company.client.patch("\(Self.path)/\(company.connection)", ["enabled": false]).status == 200)
        #expect(try await browser.go(answer).status == 404)
        #expect(try await SSOBrowser(company.host).go(company.start).status == 404)
        #expect(try await company.exchange(end.code).problem == "sso-bad-code")
    }

    // MARK: - Identities

    @Test("a person sees and unlinks their identities, but not the last way in, nor anybody else's")
    func identities() async throws {
        let company = try await SSOCompany.found()
        _ = company.newcomer()
        let person = try await company.signIn()
        let client = company.host.client(token: person.access)
        let listed = try await client.get("/api/v1/auth/identities")
        let only = try #require(listed["data"].array.first)
        #expect(only["issuer"].string == company.issuer.url)
        let id = only["id"].string ?? ""
        #expect(try await company.client.delete("/api/v1/auth/identities/\(id)").status == 404)
        #expect(try await client.delete("/api/v1/auth/identities/\(id)").problem == "last-way-in")
        company.person("owner@\(company.domain)")
        let owner = try await company.signIn()
        let mine = company.host.client(token: owner.access)
        let own = try await mine.get("/api/v1/auth/identities")["data"].array.first?["id"].string ?? ""
        #expect(try await mine.delete("/api/v1/auth/identities/\(own)").status == 204)
        #expect(try await mine.get("/api/v1/auth/identities")["data"].array.isEmpty)
    }

    @Test("a signed-in member links any identity of the organization's issuer, and signs in with it from then on")
    func linking() async throws {
        let company = try await SSOCompany.found(settings: ["domains": [], "joins": false])
        let elsewhere = "contractor@elsewhere-\(UUID().uuidString.lowercased()).example"
        let contractor = try await SSOCompany.register(elsewhere, at: company.host)
        try await company.admit(contractor.user, elsewhere)
        company.person(elsewhere, sub: "contractor")
        #expect(try await company.refusal() == "sso-untrusted-email")
        let member = try await company.host.client(token: contractor.access).post(
            "/api/v1/auth/organizations/\(company.owner.tenant)/switch")
        #expect(member.status == 200, "\(member.text)")
        let client = company.host.client(token: member["accessToken"].string)
        let begun = try await client.post("/api/v1/auth/sso/\(company.connection)/link", ["returnTo": "/settings"])
        #expect(begun.status == 200, "\(begun.text)")
        let browser = SSOBrowser(company.host)
        browser.keep(begun.headers["set-cookie"])
        let answer = try await browser.go(begun["location"].string ?? "").header("location") ?? ""
        // In another browser it would link somebody else's identity to this account.
        #expect(try await SSOBrowser(company.host).go(answer).status == 400)
        let end = try await browser.go(answer).header("location") ?? ""
        #expect(end == "\(SSOBrowser.publicURL)/settings?linked=true")
        #expect(try await company.signIn().user == contractor.user)
        // The same identity cannot be linked to a second account.
        let second = try await company.client.post("/api/v1/auth/sso/\(company.connection)/link", [:])
        let other = SSOBrowser(company.host)
        other.keep(second.headers["set-cookie"])
        let back = try await other.go(second["location"].string ?? "").header("location") ?? ""
        #expect(SSOEnd(try await other.go(back).header("location") ?? "").error == "sso-linked-elsewhere")
    }
}
