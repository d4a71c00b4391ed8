import AuthService
import Contracts
import Crypto
import Foundation
import ServiceKit
import TestKit
import Testing

@Suite("OpenID Connect: the way it should go") struct OpenIDFlowTests {
    @Test("discovery names the issuer, and only addresses below it that answer")
    func discovery() async throws {
        let stack = try await AuthStack.shared.value
        let response = try await stack.auth.client(token: nil).get("/.well-known/openid-configuration")
        #expect(response.status == 200)
        #expect(response["issuer"].string == ClientApp.issuer)
        #expect(response["code_challenge_methods_supported"] == ["S256"])
        #expect(response["response_types_supported"] == ["code"])
        #expect(response["id_token_signing_alg_values_supported"] == ["RS256"])
        #expect(response["authorization_response_iss_parameter_supported"] == true)
        for name in [
            "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "introspection_endpoint", "revocation_endpoint",
            "end_session_endpoint",
        ] {
            let address = try #require(response[name].string)
            #expect(address.hasPrefix(ClientApp.issuer + "/"))
            let path = String(address.dropFirst(ClientApp.issuer.count))
            #expect(try await Browser(stack.auth).get(path).status != 404, "\(name)")
        }
    }

    @Test("a person signs in, allows the client, and the client gets a code, tokens and an ID token that say so")
    func wholeFlow() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let answer = try await party.signIn(person.newcomer, in: Browser(stack.auth))
        #expect(answer.status == 303)
        #expect(answer.returnAddress == ClientApp.redirect)
        #expect(answer.returned["state"] == "the state")
        #expect(answer.returned["iss"] == ClientApp.issuer)

        let response = try await party.redeem(try #require(answer.returned["code"]))
        #expect(response.status == 200)
        #expect(response.header("cache-control") == "no-store")
        #expect(response["token_type"] == "Bearer")
        #expect(response["scope"] == "openid profile email content:read")
        #expect(response["refresh_token"] == .null, "offline_access was not asked for")

        let access = try #require(response["access_token"].string)
        let claims = TokenParts.claims(access)
        #expect(claims["sub"].string == person.user.description)
        #expect(claims["org"].string == person.tenant.description)
        #expect(claims["aud"] == "trionex-platform")
        #expect(claims["client_id"].string == party.id)
        #expect(claims["permissions"] == ["content:read"], "an owner's rights, as far as they were allowed")
        #expect(claims["roles"] == [])

        let identity = try #require(response["id_token"].string)
        #expect(TokenParts.header(identity)["alg"] == "RS256")
        let facts = TokenParts.claims(identity)
        #expect(facts["iss"].string == ClientApp.issuer)
        #expect(facts["aud"].string == party.clientID)
        #expect(facts["sub"].string == person.user.description)
        #expect(facts["nonce"] == "the nonce")
        #expect(facts["amr"] == ["pwd"])
        #expect(facts["sid"] == claims["sid"])
        #expect(facts["email"].string == person.newcomer.email)
        #expect(facts["given_name"] == "Ada")
        let half = Data(SHA256.hash(data: Data(access.utf8)).prefix(16))
        #expect(facts["at_hash"].string == Base64URL.encode(half))
        let now = Int(Date().timeIntervalSince1970)
        #expect(abs((facts["auth_time"].int ?? 0) - now) < 60)

        let info = try await stack.auth.client(token: access).get("/oauth2/userinfo")
        #expect(info.status == 200)
        #expect(info["sub"].string == person.user.description)
        #expect(info["email"].string == person.newcomer.email)
        #expect(info["name"] == "Ada Lovelace")
        #expect(try await stack.auth.client(token: access).post("/oauth2/userinfo").status == 200)
    }

    @Test("what was not asked for is not told")
    func scopes() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let tokens = try await party.tokens(person.newcomer, scope: "openid")
        let info = try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo")
        #expect(info["sub"].string == person.user.description)
        #expect(!info.text.contains(person.newcomer.email) && !info.text.contains("Ada"))
        let facts = TokenParts.claims(try #require(tokens.identity))
        #expect(facts["email"] == .null && facts["name"] == .null)

        let plain = try await party.tokens(person.newcomer, scope: "content:read")
        #expect(plain.identity == nil, "without openid it is OAuth alone")
        let refused = try await stack.auth.client(token: plain.access).get("/oauth2/userinfo")
        #expect(refused.status == 403)
        #expect(refused["error"] == "insufficient_scope")
        #expect(refused.header("www-authenticate")?.contains("insufficient_scope") == true)
    }

    @Test("who is signed in and has allowed the client is not asked again; a client that wants to is told so at once")
    func singleSignOn() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let silent = try await browser.get(party.authorizePath(["prompt": "none"]))
        #expect(silent.status == 303)
        #expect(silent.returned["error"] == "login_required")
        #expect(silent.returned["state"] == "the state")
        #expect(silent.returned["iss"] == ClientApp.issuer)

        _ = try await party.code(person.newcomer, in: browser)
        let second = try await browser.get(party.authorizePath())
        #expect(second.returned["code"] != nil, "neither sign-in nor consent")
        #expect(try await browser.get(party.authorizePath(["prompt": "none"])).returned["code"] != nil)

        let more = try await browser.get(party.authorizePath(["prompt": "none", "scope": "openid content:write"]))
        #expect(more.returned["error"] == "consent_required", "what was not allowed yet is asked for")
        let asked = try await browser.get(party.authorizePath(["scope": "openid content:write"]))
        #expect(asked.formAction == "/oauth2/consent")
        #expect(try await browser.get(party.authorizePath(["prompt": "consent"])).formAction == "/oauth2/consent")
        #expect(try await browser.get(party.authorizePath(["prompt": "login"])).formAction == "/oauth2/sign-in")
        #expect(try await browser.get(party.authorizePath(["max_age": "0"])).formAction == "/oauth2/sign-in")
        #expect(try await browser.get(party.authorizePath(["max_age": "600"])).returned["code"] != nil)

        let other = try await ClientApp.register(by: person, at: stack.auth)
        #expect(try await browser.get(other.authorizePath()).formAction == "/oauth2/consent", "signed in, but another client")
    }

    @Test("prompt=login is answered by a new sign-in, and the ID token says when it was")
    func signInAgain() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        _ = try await party.code(person.newcomer, in: browser)
        let first = browser.cookies["trionex-session"]
        let code = try await party.code(person.newcomer, in: browser, ["prompt": "login"])
        #expect(browser.cookies["trionex-session"] != first)
        #expect(try await party.redeem(code).status == 200)
    }

    @Test("a person who says no sends the client an error, and is asked again the next time")
    func denial() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let page = try await browser.get(party.authorizePath())
        let consent = try await browser.follow(
            try await browser.post(
                "/oauth2/sign-in",
                [("request", page.hidden("request") ?? ""), ("email", person.newcomer.email), ("password", person.newcomer.password)]))
        #expect(consent.formAction == "/oauth2/consent")
        #expect(consent.text.contains("Example App"))
        let no = try await browser.post("/oauth2/consent", [("request", consent.hidden("request") ?? ""), ("decision", "deny")])
        #expect(no.returned["error"] == "access_denied")
        #expect(try await browser.get(party.authorizePath()).formAction == "/oauth2/consent")
    }

    @Test("a client that asks with a form is answered like one that asks with a query")
    func formRequest() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let response = try await browser.post("/oauth2/authorize", [("client_id", party.clientID)] + ClientApp.request)
        #expect(response.status == 303)
        #expect(try await browser.follow(response).formAction == "/oauth2/sign-in")
    }

    @Test("response_mode=form_post hands the answer over in a form that goes to the client")
    func formPost() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let answer = try await party.signIn(person.newcomer, in: Browser(stack.auth), ["response_mode": "form_post"])
        #expect(answer.status == 200)
        #expect(answer.formAction == ClientApp.redirect)
        #expect(answer.hidden("iss") == ClientApp.issuer)
        #expect(answer.header("content-security-policy")?.contains("form-action 'self' https://rp.example;") == true)
        #expect(try await party.redeem(try #require(answer.hidden("code"))).status == 200)
    }

    @Test("a public client needs no secret, and gets no further without the verifier")
    func publicClient() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.registerPublic(by: person, at: stack.auth)
        #expect(party.secret == nil)
        let code = try await party.code(person.newcomer)
        #expect(try await party.redeem(code, ["code_verifier": String(repeating: "x", count: 50)])["error"] == "invalid_grant")
        #expect(try await party.redeem(try await party.code(person.newcomer)).status == 200)
    }

    @Test("people of an organization sign in to its clients; others do not get in")
    func membership() async throws {
        let stack = try await AuthStack.shared.value
        let owner = try await stack.register(), stranger = try await stack.register()
        let party = try await ClientApp.register(by: owner, at: stack.auth)
        let browser = Browser(stack.auth)
        let page = try await browser.get(party.authorizePath())
        let refused = try await browser.post(
            "/oauth2/sign-in",
            [("request", page.hidden("request") ?? ""), ("email", stranger.newcomer.email), ("password", stranger.newcomer.password)])
        #expect(refused.status == 403)
        #expect(refused.text.contains("role=\"alert\""))
        #expect(browser.cookies["trionex-session"] == nil)

        // Signed in elsewhere, they are known, and no better off.
        let own = try await ClientApp.register(by: stranger, at: stack.auth)
        _ = try await own.code(stranger.newcomer, in: browser)
        #expect(try await browser.get(party.authorizePath(["prompt": "none"])).returned["error"] == "access_denied")
        #expect(try await browser.get(party.authorizePath()).formAction == "/oauth2/sign-in")
    }
}
