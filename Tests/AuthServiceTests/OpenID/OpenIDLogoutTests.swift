import AuthService
import Contracts
import Foundation
import ServiceKit
import TestKit
import Testing

@Suite("OpenID Connect: signing out") struct OpenIDLogoutTests {
    @Test("signing out through one client ends the browser's session and every client's, and leads back")
    func everywhere() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let one = try await ClientApp.register(by: person, at: stack.auth), two = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let first = try await one.tokens(person.newcomer, in: browser), second = try await two.tokens(person.newcomer, in: browser)
        let elsewhere = try await one.tokens(person.newcomer)
        let out = try await browser.get(
            "/oauth2/logout?"
                + Browser.encode([
                    ("id_token_hint", first.identity ?? ""), ("post_logout_redirect_uri", ClientApp.afterLogout), ("state", "s&t"),
                ]))
        #expect(out.status == 303)
        #expect(out.returnAddress == ClientApp.afterLogout)
        #expect(out.returned["state"] == "s&t")
        #expect(browser.cookies["trionex-session"] == nil)
        for tokens in [first, second] {
            #expect(try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo").status == 401)
        }
        #expect(try await one.refresh(try #require(first.refresh))["error"] == "invalid_grant")
        #expect(try await stack.auth.client(token: elsewhere.access).get("/oauth2/userinfo").status == 200, "another browser stays")
        #expect(try await browser.get(one.authorizePath(["prompt": "none"])).returned["error"] == "login_required")
    }

    @Test("nobody is sent to an address that was not registered, also when they are signed out")
    func openRedirect() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        for address in ["https://evil.example/", ClientApp.afterLogout + "/x", ClientApp.redirect, "javascript:alert(1)"] {
            let browser = Browser(stack.auth)
            let tokens = try await party.tokens(person.newcomer, in: browser)
            let out = try await browser.get(
                "/oauth2/logout?"
                    + Browser.encode([("id_token_hint", tokens.identity ?? ""), ("post_logout_redirect_uri", address)]))
            #expect(out.status == 200)
            #expect(out.header("location") == nil)
            #expect(out.text.contains("You are signed out"))
        }
        let unnamed = try await Browser(stack.auth).get(
            "/oauth2/logout?" + Browser.encode([("post_logout_redirect_uri", ClientApp.afterLogout)]))
        #expect(unnamed.header("location") == nil, "without a client nothing vouches for the address")
    }

    @Test("without a hint the person is asked, and only their own browser can answer")
    func asked() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let tokens = try await party.tokens(person.newcomer, in: browser)
        let page = try await browser.get(
            "/oauth2/logout?"
                + Browser.encode([("client_id", party.clientID), ("post_logout_redirect_uri", ClientApp.afterLogout)]))
        #expect(page.status == 200)
        #expect(page.formAction == "/oauth2/logout/confirm")
        #expect(try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo").status == 200, "not yet")
        let sealed = try #require(page.hidden("request"))
        #expect(try await Browser(stack.auth).post("/oauth2/logout/confirm", [("request", sealed)]).status == 400)
        let out = try await browser.post("/oauth2/logout/confirm", [("request", sealed)])
        #expect(out.returnAddress == ClientApp.afterLogout)
        #expect(try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo").status == 401)
    }

    @Test("a hint that has lain about signs nobody out from afar, and another browser of the person only when they say so")
    func oldHint() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_ACCESS_TOKEN_SECONDS": "1"])
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(host), short = ClientApp(host: host, id: party.id, clientID: party.clientID, secret: party.secret)
        let tokens = try await short.tokens(person.newcomer, in: browser)
        try await Task.sleep(for: .milliseconds(2_100))
        let path = "/oauth2/logout?" + Browser.encode([("id_token_hint", tokens.identity ?? "")])
        #expect(try await Browser(stack.auth).get(path).status == 200)
        #expect(try await party.signIn(person.newcomer, in: browser, ["prompt": "none"]).returned["error"] == nil, "signed in as before")
        let second = Browser(stack.auth)
        let others = try await party.tokens(person.newcomer, in: second)
        let page = try await second.get(path)
        #expect(page.formAction == "/oauth2/logout/confirm")
        #expect(try await stack.auth.client(token: others.access).get("/oauth2/userinfo").status == 200, "not yet")
        _ = try await second.post("/oauth2/logout/confirm", [("request", try #require(page.hidden("request")))])
        #expect(try await stack.auth.client(token: others.access).get("/oauth2/userinfo").status == 401)
        #expect(try await party.refresh(try #require(tokens.refresh))["error"] == "invalid_grant", "and what the hint was about")
        try await host.stop()
    }

    @Test("a hint that we did not sign, or of another client, is refused")
    func badHint() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let tokens = try await party.tokens(person.newcomer, in: browser)
        let other = try await ClientApp.register(by: person, at: stack.auth)
        for query in [
            [("id_token_hint", "eyJhbGciOiJub25lIn0.e30.")], [("id_token_hint", tokens.access)],
            [("id_token_hint", tokens.identity ?? ""), ("client_id", other.clientID)],
        ] {
            #expect(try await browser.get("/oauth2/logout?" + Browser.encode(query)).status == 400)
        }
        #expect(try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo").status == 200)
    }

    @Test("a session that is ended in the list is over for the browser and the client too")
    func endedElsewhere() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let browser = Browser(stack.auth)
        let tokens = try await party.tokens(person.newcomer, in: browser)
        let session = try #require(TokenParts.claims(tokens.access)["sid"].string)
        let client = stack.auth.client(token: person.access)
        #expect(try await client.delete("/api/v1/auth/sessions/\(session)").status == 204)
        #expect(try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo").status == 401)
        #expect(try await party.refresh(try #require(tokens.refresh))["error"] == "invalid_grant")
    }
}
