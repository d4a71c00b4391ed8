import Contracts
import Crypto
import CryptoExtras
import Foundation
import JWTKit
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite("OpenID Connect: second factors, passkeys, keys of clients") struct OpenIDFactorTests {
    private func signInPage(_ party: ClientApp, _ browser: Browser, _ desk: FactorDesk) async throws -> TestResponse {
        let page = try await browser.get(party.authorizePath())
        return try await browser.follow(
            try await browser.post(
                "/oauth2/sign-in",
                [
                    ("request", page.hidden("request") ?? ""), ("email", desk.person.newcomer.email),
                    ("password", desk.person.newcomer.password),
                ]))
    }

    @Test("who has an authenticator app is asked for its code, and the ID token says so")
    func app() async throws {
        let desk = try await FactorDesk.open()
        let key = try await desk.addApp().key
        let party = try await ClientApp.register(by: desk.person, at: desk.host)
        let browser = Browser(desk.host)
        let step = try await signInPage(party, browser, desk)
        #expect(step.status == 200)
        #expect(step.formAction == "/oauth2/second-factor")
        #expect(browser.cookies["trionex-session"] == nil, "not yet signed in")
        let state = try #require(step.hidden("request"))
        // The page is no way around: neither on to the client, nor to consent.
        #expect(try await browser.get("/oauth2/continue?request=\(state)").formAction == "/oauth2/sign-in")
        #expect(try await browser.post("/oauth2/consent", [("request", state), ("decision", "allow")]).status == 400)

        let wrong = try await browser.post("/oauth2/second-factor", [("request", state), ("method", "totp"), ("code", "000000")])
        #expect(wrong.status == 400)
        #expect(wrong.text.contains("role=\"alert\"") && wrong.formAction == "/oauth2/second-factor")
        let code = TOTP.code(key: key, step: TOTP.step(at: Date()) + 1)
        let consent = try await browser.follow(
            try await browser.post("/oauth2/second-factor", [("request", state), ("method", "totp"), ("code", code)]))
        #expect(consent.formAction == "/oauth2/consent")
        let answer = try await browser.post("/oauth2/consent", [("request", consent.hidden("request") ?? ""), ("decision", "allow")])
        let tokens = try await party.redeem(try #require(answer.returned["code"]))
        let facts = TokenParts.claims(try #require(tokens["id_token"].string))
        #expect(facts["amr"] == ["pwd", "otp"])
        #expect(facts["acr"] == "2")
    }

    @Test("a passkey signs in on the page, where the browser has one; without a script the page offers nothing that does not work")
    func passkey() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let party = try await ClientApp.register(by: desk.person, at: desk.host)
        let browser = Browser(desk.host)
        let page = try await browser.get(party.authorizePath())
        #expect(page.text.contains("id=\"key-form\"") && page.text.contains(" hidden>"))
        let options = try #require(page.attribute("data-options"))
        let credential = try authenticator.assert(try JSON.decode(JSONValue.self, from: Data(options.utf8)))
        let text = String(decoding: try JSON.encode(credential), as: UTF8.self)
        let consent = try await browser.follow(
            try await browser.post("/oauth2/passkey", [("request", page.hidden("request") ?? ""), ("credential", text)]))
        #expect(consent.formAction == "/oauth2/consent")
        let answer = try await browser.post("/oauth2/consent", [("request", consent.hidden("request") ?? ""), ("decision", "allow")])
        let tokens = try await party.redeem(try #require(answer.returned["code"]))
        #expect(TokenParts.claims(try #require(tokens["id_token"].string))["amr"] == ["hwk"])

        let again = try await Browser(desk.host).get(party.authorizePath())
        #expect(
            try await browser.post("/oauth2/passkey", [("request", again.hidden("request") ?? ""), ("credential", text)]).status == 400)
        let broken = try await browser.get(party.authorizePath(["prompt": "login"]))
        let refused = try await browser.post("/oauth2/passkey", [("request", broken.hidden("request") ?? ""), ("credential", "{}")])
        #expect(refused.status == 400)
        #expect(refused.text.contains("role=\"alert\""))
    }

    @Test("a security key is a second factor on the page")
    func securityKey() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let party = try await ClientApp.register(by: desk.person, at: desk.host)
        let browser = Browser(desk.host)
        let step = try await signInPage(party, browser, desk)
        let options = try #require(step.attribute("data-options"))
        let credential = try authenticator.assert(try JSON.decode(JSONValue.self, from: Data(options.utf8)))
        let consent = try await browser.follow(
            try await browser.post(
                "/oauth2/second-factor",
                [("request", step.hidden("request") ?? ""), ("credential", String(decoding: try JSON.encode(credential), as: UTF8.self))]))
        #expect(consent.formAction == "/oauth2/consent", "\(consent.text)")
    }

    @Test("where the organization demands a second factor, a browser that signed in without one is not enough")
    func demanded() async throws {
        let desk = try await FactorDesk.open()
        let party = try await ClientApp.register(by: desk.person, at: desk.host)
        let browser = Browser(desk.host)
        _ = try await party.code(desk.person.newcomer, in: browser)
        try await desk.demandSecondFactor()
        #expect(try await browser.get(party.authorizePath(["prompt": "none"])).returned["error"] == "login_required")
        #expect(try await browser.get(party.authorizePath()).formAction == "/oauth2/sign-in")
        let refused = try await signInPage(party, browser, desk)
        #expect(refused.status == 403)
        #expect(refused.text.contains("demands a second factor"))
        let code = try await desk.database.query(
            Query("SELECT count(*)::int AS n FROM oauth_authorizations WHERE session_id IS NOT NULL", column: "n") as Query<Int>,
            as: .service(.auth, for: desk.person.tenant))
        #expect(code == [0])
    }

    @Test("a client proves itself with its own key, once by each assertion, for us, a short while")
    func assertions() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let key = try Insecure.RSA.PrivateKey(backing: _RSA.Signing.PrivateKey(keySize: .bits2048))
        let parts = try key.publicKey.getKeyPrimitives()
        let jwk: JSONValue = [
            "kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": .string(Base64URL.encode(parts.modulus)),
            "e": .string(Base64URL.encode(parts.publicExponent)),
        ]
        let party = try await ClientApp.register(by: person, at: stack.auth, changing: ["jwks": ["keys": [jwk]]])
        let signer = JWTKeyCollection()
        await signer.add(rsa: key, digestAlgorithm: .sha256, kid: "one")
        func claims(_ changes: [String: Any] = [:]) throws -> SomeClaims {
            var members: [String: Any] = [
                "iss": party.clientID, "sub": party.clientID, "aud": ClientApp.issuer + "/oauth2/token", "jti": UUID().uuidString,
                "exp": Int(Date().timeIntervalSince1970) + 60,
            ]
            members.merge(changes) { $1 }
            return SomeClaims(members: try JSON.decode(JSONValue.self, from: JSONSerialization.data(withJSONObject: members)))
        }
        func ask(_ assertion: String) async throws -> TestResponse {
            try await Browser(stack.auth).post(
                "/oauth2/token",
                [
                    ("grant_type", "client_credentials"), ("client_assertion", assertion),
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ])
        }
        let good = try await signer.sign(try claims(), kid: "one")
        #expect(try await ask(good).status == 200)
        #expect(try await ask(good).status == 401, "a second time")
        #expect(try await ask(try await signer.sign(try claims(["aud": ClientApp.issuer]), kid: "one")).status == 200)
        let other = try await ClientApp.register(by: person, at: stack.auth)
        let wrong: [[String: Any]] = [
            ["aud": "https://other.example/token"], ["iss": "somebody"], ["sub": other.clientID, "iss": other.clientID],
            ["exp": Int(Date().timeIntervalSince1970) - 1], ["exp": Int(Date().timeIntervalSince1970) + 86_400], ["jti": ""],
            ["nbf": Int(Date().timeIntervalSince1970) + 60],
        ]
        for changes in wrong {
            let response = try await ask(try await signer.sign(try claims(changes), kid: "one"))
            #expect(response.status == 401, "\(changes)")
            #expect(response["error"] == "invalid_client")
        }
        let foreign = JWTKeyCollection()
        await foreign.add(
            rsa: try Insecure.RSA.PrivateKey(backing: _RSA.Signing.PrivateKey(keySize: .bits2048)), digestAlgorithm: .sha256, kid: "one")
        #expect(try await ask(try await foreign.sign(try claims(), kid: "one")).status == 401)
        let secret = JWTKeyCollection()
        await secret.add(hmac: HMACKey(from: Data(Base64URL.encode(parts.modulus).utf8)), digestAlgorithm: .sha256, kid: "one")
        #expect(try await ask(try await secret.sign(try claims(), kid: "one")).status == 401, "the public key is no secret")
        let body = Base64URL.encode(try JSON.encode(try claims().members))
        #expect(try await ask("\(Base64URL.encode(Data(#"{"alg":"none"}"#.utf8))).\(body).").status == 401)
    }

    @Test("the page for a forgotten password answers alike for every address, and sends a letter to those that are known")
    func forgotten() async throws {
        let desk = try await FactorDesk.open()
        let browser = Browser(desk.host)
        let page = try await browser.get("/oauth2/forgotten-password")
        #expect(page.status == 200)
        #expect(page.formAction == "/oauth2/forgotten-password")
        let known = try await browser.post("/oauth2/forgotten-password", [("email", desk.person.newcomer.email)])
        let unknown = try await browser.post("/oauth2/forgotten-password", [("email", "nobody-\(UUID().uuidString)@example.org")])
        #expect(known.status == 200 && unknown.status == 200)
        #expect(try await desk.letters("reset-password").count == 1)
        let wrong = try await browser.post("/oauth2/forgotten-password", [("email", "not an address")])
        #expect(wrong.status == 400)
        #expect(wrong.text.contains("role=\"alert\""))
    }

    @Test("what is over is removed, and what lives stays")
    func housekeeping() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let tokens = try await party.tokens(person.newcomer)
        let waiting = try await party.code(person.newcomer)
        let caller = Caller.service(.auth, for: person.tenant)
        let long = Date().addingTimeInterval(-OpenIDHousekeeping.retention - 60)
        try await stack.auth.database.execute("UPDATE oauth_authorizations SET expires_at = \(long) WHERE session_id IS NULL", as: caller)
        let foundations = stack.auth.host.foundations
        try await OpenIDHousekeeping(database: foundations.database, now: { Date() }, logger: foundations.logger).prune()
        let left = try await stack.auth.database.first(
            Query("SELECT count(*)::int AS n FROM oauth_authorizations", column: "n") as Query<Int>, as: caller)
        #expect(left == 1)
        #expect(try await party.redeem(waiting)["error"] == "invalid_grant")
        #expect(try await party.refresh(try #require(tokens.refresh)).status == 200)
    }
}

/// Any claims, to be signed.
private struct SomeClaims: JWTPayload {
    let members: JSONValue

    init(members: JSONValue) { self.members = members }
    init(from decoder: any Decoder) throws { members = try JSONValue(from: decoder) }
    func encode(to encoder: any Encoder) throws { try members.encode(to: encoder) }
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}

extension TestResponse {
    /// The value of an attribute of the page, as a browser reads it.
    fileprivate func attribute(_ name: String) -> String? {
        guard let start = text.range(of: "\(name)=\"") else { return nil }
        let rest = text[start.upperBound...]
        return rest.firstIndex(of: "\"").map {
            String(rest[..<$0]).replacingOccurrences(of: "&quot;", with: "\"").replacingOccurrences(of: "&#39;", with: "'")
                .replacingOccurrences(of: "&lt;", with: "<").replacingOccurrences(of: "&gt;", with: ">")
                .replacingOccurrences(of: "&amp;", with: "&")
        }
    }
}
