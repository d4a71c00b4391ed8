import AuthService
import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@Suite("OpenID Connect: tokens of clients") struct OpenIDTokenTests {
    private func refuses(_ response: TestResponse, _ error: String, _ status: Int = 400, location: SourceLocation = #_sourceLocation) {
        #expect(response.status == status, sourceLocation: location)
        #expect(response["error"].string == error, sourceLocation: location)
        #expect(response.header("cache-control") == "no-store", sourceLocation: location)
        #expect(response.header("content-type") == "application/json", sourceLocation: location)
        #expect(response["access_token"] == .null, sourceLocation: location)
    }

    @Test("a code is redeemed with its verifier, its address and its client, and with nothing else")
    func codeBinding() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let sibling = try await ClientApp.register(by: person, at: stack.auth)
        let stranger = try await ClientApp.register(by: try await stack.register(), at: stack.auth)
        let code = try await party.code(person.newcomer)
        refuses(try await party.redeem(code, ["code_verifier": nil]), "invalid_request")
        refuses(try await party.redeem(code, ["redirect_uri": nil]), "invalid_request")
        refuses(try await sibling.redeem(code), "invalid_grant")
        refuses(try await stranger.redeem(code), "invalid_grant")
        refuses(try await party.redeem(code.dropLast() + (code.last == "A" ? "Q" : "A")), "invalid_grant")
        refuses(try await party.redeem("trx_ac_x"), "invalid_grant")
        #expect(try await party.redeem(code).status == 200, "none of that has spent it")
    }

    @Test("its own client, with a wrong verifier or address, has spent the code: whoever lacks them has it from somewhere else")
    func wrongVerifier() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        for wrong in [["code_verifier": ClientApp.challenge()], ["redirect_uri": ClientApp.redirect + "/"]] {
            let code = try await party.code(person.newcomer)
            refuses(try await party.redeem(code, wrong), "invalid_grant")
            refuses(try await party.redeem(code), "invalid_grant")
        }
    }

    @Test("once the organization demands a second factor, a client gets nothing more for somebody who showed none")
    func demandedMeanwhile() async throws {
        let desk = try await FactorDesk.open(), person = desk.person
        let party = try await ClientApp.register(by: person, at: desk.host)
        let tokens = try await party.tokens(person.newcomer), code = try await party.code(person.newcomer)
        try await desk.demandSecondFactor()
        refuses(try await party.refresh(try #require(tokens.refresh)), "invalid_grant")
        refuses(try await party.redeem(code), "invalid_grant")
        try await desk.demandSecondFactor(false)
        #expect(try await party.refresh(try #require(tokens.refresh)).status == 200, "the token was not spent by that")
    }

    @Test("a code that is shown twice ends everything that the first use began")
    func codeReplay() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let code = try await party.code(person.newcomer, ["scope": "openid offline_access content:read"])
        let first = try await party.redeem(code)
        let access = try #require(first["access_token"].string), refresh = try #require(first["refresh_token"].string)
        #expect(try await stack.auth.client(token: access).get("/oauth2/userinfo").status == 200)
        refuses(try await party.redeem(code), "invalid_grant")
        #expect(try await stack.auth.client(token: access).get("/oauth2/userinfo").status == 401)
        refuses(try await party.refresh(refresh), "invalid_grant")
        let revoked = try await stack.auth.outbox(person.tenant).filter { $0.type == SessionRevoked.type }
        #expect(revoked.contains { $0.payload["reason"] == "code-replayed" })
    }

    @Test("of many who redeem one code at once, at most one gets tokens, and they do not live")
    func codeRace() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let code = try await party.code(person.newcomer)
        let responses = try await withThrowingTaskGroup(of: TestResponse.self) { group in
            for _ in 0..<6 { group.addTask { try await party.redeem(code) } }
            return try await group.reduce(into: [TestResponse]()) { $0.append($1) }
        }
        let good = responses.filter { $0.status == 200 }
        #expect(good.count <= 1)
        for response in good {
            #expect(try await stack.auth.client(token: response["access_token"].string).get("/oauth2/userinfo").status == 401)
        }
    }

    @Test("a code is worth nothing after a minute, or after the browser has signed out")
    func codeEnd() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let code = try await party.code(person.newcomer)
        try await stack.auth.database.execute(
            "UPDATE oauth_authorizations SET code_expires_at = \(Date().addingTimeInterval(-1))", as: .service(.auth, for: person.tenant))
        refuses(try await party.redeem(code), "invalid_grant")

        let browser = Browser(stack.auth)
        let tokens = try await party.tokens(person.newcomer, in: browser)
        let waiting = try await party.code(person.newcomer, in: browser)
        let out = try await browser.get("/oauth2/logout?id_token_hint=\(tokens.identity ?? "")")
        #expect(out.status == 200)
        refuses(try await party.redeem(waiting), "invalid_grant")
    }

    @Test("refresh tokens rotate; a spent one that comes back ends the session")
    func rotation() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let tokens = try await party.tokens(person.newcomer)
        let stolen = try #require(tokens.refresh)
        let next = try await party.refresh(stolen)
        #expect(next.status == 200)
        let access = try #require(next["access_token"].string), second = try #require(next["refresh_token"].string)
        #expect(second != stolen)
        let facts = TokenParts.claims(try #require(next["id_token"].string)), before = TokenParts.claims(try #require(tokens.identity))
        for same in ["iss", "sub", "aud", "auth_time", "sid"] { #expect(facts[same] == before[same], "\(same)") }
        #expect(facts["nonce"] == .null)

        refuses(try await party.refresh(stolen), "invalid_grant")
        refuses(try await party.refresh(second), "invalid_grant")
        #expect(try await stack.auth.client(token: access).get("/oauth2/userinfo").status == 401)
    }

    @Test("another client's refresh token is worth nothing, and is not spent by trying")
    func foreignRefresh() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let sibling = try await ClientApp.register(by: person, at: stack.auth)
        let stranger = try await ClientApp.register(by: try await stack.register(), at: stack.auth)
        let token = try #require(try await party.tokens(person.newcomer).refresh)
        refuses(try await sibling.refresh(token), "invalid_grant")
        refuses(try await stranger.refresh(token), "invalid_grant")
        #expect(try await party.refresh(token).status == 200)
    }

    @Test("a refresh gives less when less is asked, never more, and the platform's own door takes no client's token")
    func narrowing() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let token = try #require(try await party.tokens(person.newcomer).refresh)
        refuses(try await party.refresh(token, scope: "openid content:write"), "invalid_scope")
        let less = try await party.refresh(token, scope: "openid")
        #expect(less["scope"] == "openid")
        #expect(TokenParts.claims(try #require(less["access_token"].string))["permissions"] == [])
        let next = try #require(less["refresh_token"].string)
        let own = try await stack.auth.client(token: nil).post("/api/v1/auth/refresh", ["refreshToken": .string(next)])
        #expect(own.status == 401)
        refuses(try await party.refresh(person.refresh), "invalid_grant")
        #expect(try await party.refresh(next)["scope"] == "openid profile email offline_access content:read")
    }

    @Test("a person's token through a client opens what was allowed, and nothing that is the person's alone")
    func delegation() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let tokens = try await party.tokens(person.newcomer)
        let client = stack.auth.client(token: tokens.access)
        for path in ["/api/v1/auth/me", "/api/v1/auth/grants", "/api/v1/auth/clients"] {
            #expect(try await client.get(path).status == 403, "\(path)")
        }
        #expect(try await client.post("/api/v1/auth/clients", ClientApp.registration).status == 403)
        #expect(try await client.post("/api/v1/auth/logout").status == 403)
        #expect(try await stack.users.client(token: tokens.access).get("/api/v1/users").status == 403)
    }

    @Test("rights are those of now: who is no member any more gets no new tokens")
    func membershipEnds() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let tokens = try await party.tokens(person.newcomer)
        let code = try await party.code(person.newcomer)
        let user = person.user
        try await stack.users.database.execute(
            "UPDATE people SET role = 'user' WHERE user_id = \(user)", as: .service(.users, for: person.tenant))
        let less = try await party.refresh(try #require(tokens.refresh))
        #expect(TokenParts.claims(try #require(less["access_token"].string))["permissions"] == ["content:read"])
        try await stack.users.database.execute(
            "UPDATE people SET status = 'suspended' WHERE user_id = \(user)", as: .service(.users, for: person.tenant))
        refuses(try await party.refresh(try #require(less["refresh_token"].string)), "invalid_grant")
        refuses(try await party.redeem(code), "invalid_grant")
    }

    @Test("a client acts for its organization with the permissions that it was given, without a person")
    func clientCredentials() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let response = try await party.post("/oauth2/token", [("grant_type", "client_credentials")])
        #expect(response.status == 200)
        #expect(response["scope"] == "content:read content:write")
        #expect(response["refresh_token"] == .null && response["id_token"] == .null)
        let access = try #require(response["access_token"].string)
        let claims = TokenParts.claims(access)
        #expect(claims["sub"].string == party.id)
        #expect(claims["org"].string == person.tenant.description)
        #expect(claims["permissions"] == ["content:read", "content:write"])
        #expect(claims["sid"] == .null)
        #expect(try await stack.auth.client(token: access).get("/api/v1/auth/me").status == 403)
        #expect(try await stack.auth.client(token: access).get("/oauth2/userinfo").status == 403)

        let one = try await party.post("/oauth2/token", [("grant_type", "client_credentials"), ("scope", "content:read")])
        #expect(one["scope"] == "content:read")
        for scope in ["openid", "users:read", "content:*", "*"] {
            refuses(try await party.post("/oauth2/token", [("grant_type", "client_credentials"), ("scope", scope)]), "invalid_scope")
        }
        let page = try await ClientApp.registerPublic(by: person, at: stack.auth)
        refuses(try await page.post("/oauth2/token", [("grant_type", "client_credentials")]), "unauthorized_client")
    }

    @Test("a client acts as long as its organization is active, in its present plan, whoever registered it may have left")
    func organizationsEnd() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let form = [("grant_type", "client_credentials")]
        func organization(is status: String) async throws {
            try await stack.users.database.execute(
                "UPDATE organizations SET status = \(status), plan = 'business'", as: .service(.users, for: person.tenant))
        }
        // Who is known to auth, but has no permission there, is answered 403; who is nobody any more, 401.
        func me(_ token: String) async throws -> Int { try await stack.auth.client(token: token).get("/api/v1/auth/me").status }

        try await organization(is: "active")
        try await stack.users.database.execute("UPDATE people SET status = 'suspended'", as: .service(.users, for: person.tenant))
        let first = try #require(try await party.post("/oauth2/token", form)["access_token"].string)
        #expect(TokenParts.claims(first)["plan"] == "business")
        #expect(try await me(first) == 403)

        for status in ["suspended", "deleted"] {
            try await organization(is: status)
            refuses(try await party.post("/oauth2/token", form), "unauthorized_client")
        }
        let ended = try await stack.program(.users, of: stack.auth).post(
            "/internal/v1/sessions/end", ["tenant": .string(person.tenant.description), "reason": "organization-suspended"])
        #expect(ended.status == 204, "\(ended.text)")
        #expect(try await me(first) == 401)

        try await organization(is: "active")
        let later = try #require(try await party.post("/oauth2/token", form)["access_token"].string)
        #expect(try await me(later) == 403)
    }

    @Test("a client proves itself once, in one way, or is refused as RFC 6749 says")
    func clientAuthentication() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let page = try await ClientApp.registerPublic(by: person, at: stack.auth)
        let secret = try #require(party.secret)
        let grant = ("grant_type", "client_credentials")
        func basic(_ id: String, _ secret: String) -> [String: String] {
            ["authorization": "Basic " + Data("\(id):\(secret)".utf8).base64EncodedString()]
        }
        #expect(
            try await party.post("/oauth2/token", [grant, ("client_id", party.clientID), ("client_secret", secret)], headers: [:]).status
                == 200)
        for headers in [
            basic(party.clientID, "wrong"), basic("x", secret), basic(page.clientID, secret), ["authorization": "Basic !!!"], [:],
        ] {
            let response = try await party.post("/oauth2/token", [grant], headers: headers)
            refuses(response, "invalid_client", 401)
            #expect(response.header("www-authenticate")?.hasPrefix("Basic ") == true)
        }
        refuses(try await party.post("/oauth2/token", [grant, ("client_id", party.clientID)], headers: [:]), "invalid_client", 401)
        refuses(
            try await party.post("/oauth2/token", [grant, ("client_id", page.clientID), ("client_secret", secret)], headers: [:]),
            "invalid_client", 401)
        refuses(try await party.post("/oauth2/token", [grant, ("client_secret", secret)]), "invalid_request")
        refuses(try await party.post("/oauth2/token", [grant, ("client_id", page.clientID)]), "invalid_request")
        refuses(try await party.post("/oauth2/token", []), "invalid_request")
        refuses(try await party.post("/oauth2/token", [("grant_type", "password"), ("username", "a")]), "unsupported_grant_type")
        refuses(try await party.post("/oauth2/token", [grant, grant]), "invalid_request")
        let json = try await stack.auth.client(token: nil).post("/oauth2/token", ["grant_type": "client_credentials"])
        refuses(json, "invalid_request")
    }

    @Test("a repeated request is answered again for the client that made it, and for nobody who has only its key")
    func idempotency() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let form = [("grant_type", "client_credentials")], key = UUID().uuidString
        let basic = "Basic " + Data("\(party.clientID):\(try #require(party.secret))".utf8).base64EncodedString()
        let first = try await party.post("/oauth2/token", form, headers: ["authorization": basic, "idempotency-key": key])
        let again = try await party.post("/oauth2/token", form, headers: ["authorization": basic, "idempotency-key": key])
        #expect(first.status == 200)
        #expect(again["access_token"] == first["access_token"])
        let thief = try await party.post("/oauth2/token", form, headers: ["idempotency-key": key])
        #expect(thief.status >= 400)
        #expect(thief["access_token"] == .null)
    }

    @Test("introspection tells a client of its own organization's tokens, and of no others")
    func introspection() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), other = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let stranger = try await ClientApp.register(by: other, at: stack.auth)
        let tokens = try await party.tokens(person.newcomer)
        let known = try await party.post("/oauth2/introspect", [("token", tokens.access)])
        #expect(known.status == 200)
        #expect(known["active"] == true)
        #expect(known["client_id"].string == party.clientID)
        #expect(known["sub"].string == person.user.description)
        #expect(known["scope"].string?.contains("content:read") == true)
        let refresh = try await party.post(
            "/oauth2/introspect", [("token", try #require(tokens.refresh)), ("token_type_hint", "refresh_token")])
        #expect(refresh["active"] == true)
        for token in [tokens.access, try #require(tokens.refresh), person.access, "rubbish", try #require(tokens.identity)] {
            let response = try await stranger.post("/oauth2/introspect", [("token", token)])
            #expect(response.status == 200)
            #expect(response.json == ["active": false], "nothing more is said")
        }
        #expect(try await party.post("/oauth2/introspect", [("token", try #require(tokens.identity))])["active"] == false)
        let page = try await ClientApp.registerPublic(by: person, at: stack.auth)
        refuses(try await page.post("/oauth2/introspect", [("token", tokens.access)]), "invalid_client", 401)
        refuses(try await party.post("/oauth2/introspect", [("token", tokens.access)], headers: [:]), "invalid_client", 401)
        refuses(try await party.post("/oauth2/introspect", []), "invalid_request")
    }

    @Test("a token that is given back is dead at once, with the others of its session; only its own client can")
    func revocation() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let sibling = try await ClientApp.register(by: person, at: stack.auth)
        let stranger = try await ClientApp.register(by: try await stack.register(), at: stack.auth)
        let tokens = try await party.tokens(person.newcomer)
        let refresh = try #require(tokens.refresh)
        refuses(try await sibling.post("/oauth2/revoke", [("token", refresh)]), "invalid_grant")
        #expect(try await stranger.post("/oauth2/revoke", [("token", refresh)]).status == 200, "no token of that organization")
        #expect(try await party.post("/oauth2/revoke", [("token", "rubbish")]).status == 200)
        #expect(try await party.post("/oauth2/introspect", [("token", tokens.access)])["active"] == true)

        #expect(try await party.post("/oauth2/revoke", [("token", refresh)]).status == 200)
        #expect(try await party.post("/oauth2/introspect", [("token", tokens.access)])["active"] == false)
        #expect(try await stack.auth.client(token: tokens.access).get("/oauth2/userinfo").status == 401)
        refuses(try await party.refresh(refresh), "invalid_grant")
        #expect(try await party.post("/oauth2/revoke", [("token", refresh)]).status == 200)
    }

    @Test("a bad token at userinfo is refused as RFC 6750 says")
    func userinfoRefusals() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let none = try await stack.auth.client(token: nil).get("/oauth2/userinfo")
        #expect(none.status == 401)
        #expect(none.header("www-authenticate")?.hasPrefix("Bearer") == true)
        let bad = try await stack.auth.client(token: "rubbish").get("/oauth2/userinfo")
        #expect(bad.status == 401)
        #expect(bad.header("www-authenticate")?.contains("invalid_token") == true)
        #expect(try await stack.auth.client(token: person.access).get("/oauth2/userinfo").status == 403, "no client's token")
    }

    @Test("an ID token opens nothing")
    func identityIsNoAccess() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let party = try await ClientApp.register(by: person, at: stack.auth)
        let identity = try #require(try await party.tokens(person.newcomer).identity)
        #expect(try await stack.auth.client(token: identity).get("/oauth2/userinfo").status == 401)
        #expect(try await stack.auth.client(token: identity).get("/api/v1/auth/me").status == 401)
        #expect(try await stack.users.client(token: identity).get("/api/v1/users").status == 401)
    }
}
