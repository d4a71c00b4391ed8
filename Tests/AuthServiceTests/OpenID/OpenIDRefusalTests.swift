import AuthService
import Contracts
import Foundation
import ServiceKit
import TestKit
import Testing

@Suite("OpenID Connect: what is refused on the way to a code") struct OpenIDRefusalTests {
    struct Wrong: Sendable, CustomTestStringConvertible {
        let what: String
        let changes: [String: String?]
        let error: String
        var testDescription: String { what }
    }

    static let toldToTheClient = [
        Wrong(what: "no PKCE", changes: ["code_challenge": nil, "code_challenge_method": nil], error: "invalid_request"),
        Wrong(what: "PKCE without a method, which means plain", changes: ["code_challenge_method": nil], error: "invalid_request"),
        Wrong(
            what: "PKCE plain", changes: ["code_challenge_method": "plain", "code_challenge": ClientApp.verifier],
            error: "invalid_request"),
        Wrong(what: "a challenge that is no SHA-256", changes: ["code_challenge": "abc"], error: "invalid_request"),
        Wrong(what: "the implicit flow", changes: ["response_type": "token"], error: "unsupported_response_type"),
        Wrong(what: "a hybrid flow", changes: ["response_type": "code id_token"], error: "unsupported_response_type"),
        Wrong(what: "no response type", changes: ["response_type": nil], error: "invalid_request"),
        Wrong(what: "a response mode of another flow", changes: ["response_mode": "fragment"], error: "invalid_request"),
        Wrong(what: "a scope that the client was not given", changes: ["scope": "openid users:write"], error: "invalid_scope"),
        Wrong(what: "a scope wider than the client's", changes: ["scope": "openid content:*"], error: "invalid_scope"),
        Wrong(what: "the scope of everything", changes: ["scope": "openid *"], error: "invalid_scope"),
        Wrong(what: "a scope that nobody knows", changes: ["scope": "openid telepathy"], error: "invalid_scope"),
        Wrong(what: "no scope", changes: ["scope": nil], error: "invalid_scope"),
        Wrong(what: "an unknown prompt", changes: ["prompt": "perhaps"], error: "invalid_request"),
        Wrong(what: "prompt none with another", changes: ["prompt": "none login"], error: "invalid_request"),
        Wrong(what: "a max_age that is no number", changes: ["max_age": "soon"], error: "invalid_request"),
        Wrong(what: "a request object", changes: ["request": "eyJhbGciOiJub25lIn0.e30."], error: "request_not_supported"),
        Wrong(what: "a request by reference", changes: ["request_uri": "https://evil.example/r"], error: "request_uri_not_supported"),
        Wrong(what: "a nonce that is too long", changes: ["nonce": String(repeating: "n", count: 501)], error: "invalid_request"),
        Wrong(what: "a state that is too long", changes: ["state": String(repeating: "s", count: 2_001)], error: "invalid_request"),
        Wrong(what: "a hint that we did not sign", changes: ["id_token_hint": "eyJhbGciOiJub25lIn0.e30."], error: "invalid_request"),
    ]

    @Test("what is wrong with a request is told to the client, by its own address", arguments: toldToTheClient)
    func atClient(_ wrong: Wrong) async throws {
        let stack = try await AuthStack.shared.value
        let party = try await Self.party.value
        let response = try await Browser(stack.auth).get(party.authorizePath(wrong.changes))
        #expect(response.status == 303)
        #expect(response.returnAddress == ClientApp.redirect)
        #expect(response.returned["error"] == wrong.error)
        #expect(response.returned["iss"] == ClientApp.issuer)
        if wrong.changes["state"] == nil { #expect(response.returned["state"] == "the state") }
        #expect(response.returned["code"] == nil)
    }

    private static let party = Task {
        let stack = try await AuthStack.shared.value
        return try await ClientApp.register(by: try await stack.register(), at: stack.auth)
    }

    static let addresses = [
        "https://evil.example/callback", "https://rp.example/callback/", "https://rp.example/callback?next=evil",
        "https://rp.example/callback#x", "https://rp.example.evil.example/callback", "https://rp.example@evil.example/callback",
        "http://rp.example/callback", "HTTPS://rp.example/callback", "https://rp.example:444/callback", "https://rp.example/Callback",
        "https://rp.example/callback/../callback", "//rp.example/callback", "/callback", "javascript:alert(1)", "",
        "https://rp.example/callback%2f..", "https://rp.example/callback\u{0A}https://evil.example",
    ]

    @Test("an address that the client did not register is shown a page, and nobody is sent there", arguments: addresses)
    func openRedirect(_ address: String) async throws {
        let stack = try await AuthStack.shared.value
        let party = try await Self.party.value
        for changes in [
            ["redirect_uri": address], ["redirect_uri": address, "code_challenge": nil], ["redirect_uri": address, "prompt": "none"],
        ] {
            let response = try await Browser(stack.auth).get(party.authorizePath(changes))
            #expect(response.status == 400)
            #expect(response.header("location") == nil)
            #expect(response.header("content-type") == "text/html; charset=utf-8")
            #expect(!response.text.contains("evil.example"), "nothing of it is shown")
        }
        let form = try await Browser(stack.auth).post(
            "/oauth2/authorize",
            [("client_id", party.clientID)] + ClientApp.request.filter { $0.0 != "redirect_uri" } + [("redirect_uri", address)])
        #expect(form.status == 400)
        #expect(form.header("location") == nil)
    }

    @Test("an unknown client, none, and one that is named twice are shown a page")
    func unknownClient() async throws {
        let stack = try await AuthStack.shared.value
        let party = try await Self.party.value
        for client in ["", "x", String(repeating: "A", count: 43), party.id, party.clientID + "A"] {
            let response = try await Browser(stack.auth).get(party.authorizePath(["client_id": client]))
            #expect(response.status == 400, "\(client)")
            #expect(response.text.contains("role=\"alert\""))
        }
        let twice = try await Browser(stack.auth).get(party.authorizePath() + "&redirect_uri=https%3A%2F%2Fevil.example%2F")
        #expect(twice.status == 400)
        #expect(twice.header("location") == nil)
        let state = try await Browser(stack.auth).get(party.authorizePath() + "&state=other")
        #expect(state.status == 400)
    }

    @Test("parameters that nobody knows are ignored")
    func extraParameters() async throws {
        let stack = try await AuthStack.shared.value
        let party = try await Self.party.value
        let page = try await Browser(stack.auth).get(party.authorizePath(["ui_locales": "fr", "utm_source": "newsletter"]))
        #expect(page.status == 200)
        #expect(page.formAction == "/oauth2/sign-in")
    }

    @Test("nothing that a client sends is markup on our page")
    func markup() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth, changing: ["name": "<script>alert(1)</script>"])
        let page = try await Browser(stack.auth).get(party.authorizePath(["login_hint": "\"><script>alert(2)</script>"]))
        #expect(page.status == 200)
        #expect(!page.text.contains("<script>alert"))
        #expect(page.text.contains("&lt;script&gt;alert(1)"))
        #expect(page.text.contains("&quot;&gt;&lt;script&gt;alert(2)"))
    }

    @Test("pages may load nothing, run nothing, be framed by nobody, and are kept by no cache")
    func headers() async throws {
        let stack = try await AuthStack.shared.value
        let party = try await Self.party.value
        let page = try await Browser(stack.auth).get(party.authorizePath())
        let policy = try #require(page.header("content-security-policy"))
        #expect(policy.contains("default-src 'none'"))
        #expect(policy.contains("frame-ancestors 'none'"))
        #expect(policy.contains("base-uri 'none'"))
        #expect(policy.contains("form-action 'self' https://rp.example;"))
        #expect(!policy.contains("unsafe") && policy.contains("script-src 'sha256-"), "one script of ours, by its digest")
        #expect(page.header("cache-control") == "no-store")
        #expect(page.header("referrer-policy") == "no-referrer")
        let cookie = try #require(page.header("set-cookie"))
        #expect(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"))
    }

    @Test("pages say their language and title, label every field, and say errors first")
    func accessibility() async throws {
        let stack = try await AuthStack.shared.value
        let party = try await Self.party.value
        let browser = Browser(stack.auth)
        let page = try await browser.get(party.authorizePath(["login_hint": "ada@example.org"]))
        #expect(page.text.contains("<html lang=\"en\">"))
        #expect(page.text.contains("<title>Sign in"))
        #expect(page.text.contains("width=device-width, initial-scale=1\"") && !page.text.contains("user-scalable"))
        for field in ["email", "password"] {
            #expect(page.text.contains("<label for=\"\(field)\">") && page.text.contains("id=\"\(field)\""))
        }
        #expect(page.text.contains("autocomplete=\"username\"") && page.text.contains("autocomplete=\"current-password\""))
        #expect(page.text.contains("value=\"ada@example.org\""))
        #expect(page.text.contains("/oauth2/forgotten-password"))
        let wrong = try await browser.post(
            "/oauth2/sign-in", [("request", page.hidden("request") ?? ""), ("email", "ada@example.org"), ("password", "no")])
        #expect(wrong.status == 400)
        #expect(wrong.text.contains("<title>Error: "))
        #expect(wrong.text.contains("role=\"alert\""))
        #expect(wrong.text.contains("value=\"ada@example.org\""), "what was right need not be typed again")
        #expect(!wrong.text.contains("value=\"no\""))
    }

    @Test("a form that another browser was shown, or nobody, is worth nothing")
    func crossSiteForms() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let attacker = Browser(stack.auth), victim = Browser(stack.auth)
        let page = try await attacker.get(party.authorizePath())
        let state = try #require(page.hidden("request"))
        let fields = [("request", state), ("email", person.newcomer.email), ("password", person.newcomer.password)]
        // Without our cookie, as a form on another site is sent; and with another browser's.
        #expect(try await Browser(stack.auth).post("/oauth2/sign-in", fields).status == 400)
        _ = try await victim.get(party.authorizePath())
        let forced = try await victim.post("/oauth2/sign-in", fields)
        #expect(forced.status == 400)
        #expect(victim.cookies["trionex-session"] == nil, "nobody is signed in as somebody else")

        _ = try await party.code(person.newcomer, in: victim)
        let consent = try await victim.get(party.authorizePath(["prompt": "consent"]))
        let sealed = try #require(consent.hidden("request"))
        #expect(try await attacker.post("/oauth2/consent", [("request", sealed), ("decision", "allow")]).status == 400)
        #expect(
            try await victim.post("/oauth2/consent", [("request", String(sealed.dropLast(4)) + "AAAA"), ("decision", "allow")]).status
                == 400)
        // The state of a sign-in page is no consent.
        #expect(try await victim.post("/oauth2/consent", [("request", state), ("decision", "allow")]).status == 400)
    }

    @Test("a consent page that was shown to one person is worth nothing when another has signed in since")
    func consentOfAnother() async throws {
        let stack = try await AuthStack.shared.value
        let one = try await stack.register(), two = try await stack.register()
        let first = try await ClientApp.register(by: one, at: stack.auth), second = try await ClientApp.register(by: two, at: stack.auth)
        let browser = Browser(stack.auth)
        _ = try await first.code(one.newcomer, in: browser)
        let consent = try await browser.get(first.authorizePath(["prompt": "consent"]))
        _ = try await second.code(two.newcomer, in: browser, ["prompt": "login"])
        let answer = try await browser.post("/oauth2/consent", [("request", consent.hidden("request") ?? ""), ("decision", "allow")])
        #expect(answer.returned["code"] == nil)
    }

    @Test("a wrong password on the page is locked out as it is everywhere")
    func lockOut() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let page = try await browser.get(party.authorizePath())
        var last = page
        for _ in 0..<12 where last.status != 429 {
            last = try await browser.post(
                "/oauth2/sign-in",
                [("request", page.hidden("request") ?? ""), ("email", person.newcomer.email), ("password", "a wrong password")])
        }
        #expect(last.status == 429)
        let right = try await browser.post(
            "/oauth2/sign-in",
            [("request", page.hidden("request") ?? ""), ("email", person.newcomer.email), ("password", person.newcomer.password)])
        #expect(right.status == 429)
    }
}
