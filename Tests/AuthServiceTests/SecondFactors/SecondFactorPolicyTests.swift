import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@testable import AuthService

@Suite struct SecondFactorPolicyTests {
    @Test("an organization that demands a second factor lets somebody without one in only to set one up")
    func enrolment() async throws {
        let desk = try await FactorDesk.open()
        try await desk.demandSecondFactor()
        let login = try await desk.logIn()
        #expect(login["mfaRequired"] == true && login["mustEnrol"] == true)
        #expect(login["methods"] == ["totp", "sms", "email", "webauthn"])
        #expect(login["accessToken"].isNull)
        let token = login["mfaToken"]
        // It proves nothing, and sends nothing.
        #expect(
            try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "email"]).problem == "enrolment-only")
        let early = try await desk.verify(["mfaToken": token, "method": "totp", "code": "123456"])
        #expect(early.problem == "set-up-not-begun")

        let setup = try await desk.nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": token, "method": "totp"])
        #expect(setup.status == 200)
        let key = try #require(setup["secret"].string.flatMap { Base32Text.decode($0) })
        #expect(try await desk.verify(["mfaToken": token, "method": "totp", "code": "000000"]).problem == "wrong-code")
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date())))
        let answer = try await desk.verify(["mfaToken": token, "method": "totp", "code": code])
        #expect(answer.status == 200)
        #expect(answer["recoveryCodes"].array.count == 10)
        #expect(answer["factor"]["method"] == "totp")
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "otp"])
        let next = try await desk.nobody.post("/api/v1/auth/refresh", ["refreshToken": answer["refreshToken"]])
        #expect(next.status == 200)
        // From now on it is shown, not set up.
        let again = try await desk.logIn()
        #expect(again["mustEnrol"] == false && again["methods"] == ["totp", "recovery"])
    }

    @Test("a key can be the first factor, with the token of the sign-in")
    func enrolKey() async throws {
        let desk = try await FactorDesk.open()
        try await desk.demandSecondFactor()
        let token = try await desk.mfaToken()
        var authenticator = SoftwareAuthenticator()
        let setup = try await desk.nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": token, "method": "webauthn"])
        let credential = try authenticator.register(setup["publicKey"])
        let answer = try await desk.verify(["mfaToken": token, "credential": credential])
        #expect(answer.status == 200)
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "hwk"])
    }

    @Test("a token for setting up the first factor sets up no second one: a password alone is not enough for that")
    func onlyTheFirst() async throws {
        let desk = try await FactorDesk.open()
        try await desk.demandSecondFactor()
        let thief = try await desk.mfaToken()
        let setup = try await desk.nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": thief, "method": "totp"])
        let key = try #require(setup["secret"].string.flatMap { Base32Text.decode($0) })
        // Meanwhile the owner sets up theirs.
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date())))
        let answer = try await desk.verify(["mfaToken": thief, "method": "totp", "code": code])
        #expect(answer.status == 401 && answer.problem == "invalid-mfa-token")
        #expect(try await desk.signedIn.get("/api/v1/auth/mfa")["data"].array.map { $0["method"] } == ["webauthn"])
    }

    @Test("a token for setting up the first factor is worth nothing after ten wrong codes")
    func enrolmentTries() async throws {
        let desk = try await FactorDesk.open()
        try await desk.demandSecondFactor()
        let token = try await desk.mfaToken()
        let setup = try await desk.nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": token, "method": "totp"])
        let key = try #require(setup["secret"].string.flatMap { Base32Text.decode($0) })
        for _ in 0..<PendingSignIn.attempts { _ = try await desk.verify(["mfaToken": token, "method": "totp", "code": "ABCDEF"]) }
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date())))
        #expect(try await desk.verify(["mfaToken": token, "method": "totp", "code": code]).problem == "invalid-mfa-token")
        #expect(try await desk.signedIn.get("/api/v1/auth/mfa")["data"].array.isEmpty)
    }

    @Test("a token for showing a factor sets up none")
    func notForSettingUp() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        let answer = try await desk.nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": try await desk.mfaToken(), "method": "totp"])
        #expect(answer.status == 401 && answer.problem == "invalid-mfa-token")
    }

    @Test("an older session without a second factor is not refreshed once one is demanded, until it has shown one")
    func olderSession() async throws {
        let desk = try await FactorDesk.open()
        try await desk.demandSecondFactor()
        func refresh() async throws -> TestResponse {
            try await desk.nobody.post("/api/v1/auth/refresh", ["refreshToken": .string(desk.person.refresh)])
        }
        let refused = try await refresh()
        #expect(refused.status == 403 && refused.problem == "second-factor-required")
        // The token is not spent by that: the session goes on when its owner has set one up in it.
        _ = try await desk.addApp()
        let renewed = try await refresh()
        #expect(renewed.status == 200)
        #expect(TokenParts.claims(renewed["accessToken"].string ?? "")["amr"] == ["pwd", "otp"])
    }

    @Test("the last factor stays while the organization demands one")
    func lastOne() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        try await desk.demandSecondFactor()
        let ids = try await desk.signedIn.get("/api/v1/auth/mfa")["data"].array.compactMap { $0["id"].string }
        #expect(ids.count == 2)
        #expect(try await desk.signedIn.delete("/api/v1/auth/mfa/\(ids[0])").status == 204)
        let last = try await desk.signedIn.delete("/api/v1/auth/mfa/\(ids[1])")
        #expect(last.status == 409 && last.problem == "last-second-factor")
        try await desk.demandSecondFactor(false)
        #expect(try await desk.signedIn.delete("/api/v1/auth/mfa/\(ids[1])").status == 204)
    }

    @Test("who is invited by such an organization registers, and sets up a factor before there is a session")
    func invited() async throws {
        let desk = try await FactorDesk.open(), stack = desk.stack, newcomer = Newcomer()
        try await desk.demandSecondFactor()
        let users = try await AuthStack.invitingUsers.value
        let invitation = try await users.client(token: desk.person.access).post(
            "/api/v1/organizations/\(desk.person.tenant)/invitations", ["email": .string(newcomer.email), "role": "editor"])
        #expect(invitation.status == 201, "\(invitation.text)")
        let letter = try await LetterBox(host: users).letter(to: newcomer.email, "invitation")
        let registered = try await desk.nobody.post(
            "/api/v1/auth/register",
            ["email": .string(newcomer.email), "password": .string(newcomer.password), "invitationToken": .string(letter.token)])
        #expect(registered.status == 201 && registered["mfaRequired"] == true && registered["mustEnrol"] == true, "\(registered.text)")
        #expect(registered["accessToken"].isNull && registered["refreshToken"].isNull)
        let token = registered["mfaToken"]
        let setup = try await desk.nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": token, "method": "totp"])
        let key = try #require(setup["secret"].string.flatMap { Base32Text.decode($0) })
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date())))
        let answer = try await desk.verify(["mfaToken": token, "method": "totp", "code": code])
        #expect(answer.status == 200)
        #expect(answer["organization"]["id"].string == desk.person.tenant.description)
        let announced = try await stack.auth.outbox(desk.person.tenant).filter { $0.type == UserRegistered.type }
        #expect(announced.filter { $0.payload["email"].string == newcomer.email }.count == 1)
    }

    @Test("with users away a sign-in answers 503 and spends neither token nor code")
    func withoutUsers() async throws {
        let desk = try await FactorDesk.open()
        let (key, _) = try await desk.addApp()
        let token = try await desk.mfaToken()
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date()) + 1))
        let body: JSONValue = ["mfaToken": token, "method": "totp", "code": code]
        let away = try await AuthStack.withoutUsers.value.client(token: nil).post("/api/v1/auth/mfa/verify", body)
        #expect(away.status == 503)
        #expect(try await desk.nobody.post("/api/v1/auth/mfa/verify", body).status == 200)
    }

    @Test("an account that has no factor is asked for a code from its mailbox when a sign-in looks strange, if the mailbox is its own")
    func strangeSignIn() async throws {
        let stack = try await AuthStack.shared.value
        // From the first sign of risk on.
        let host = try await stack.another(["TRIONEX_AUTH_RISK_PERCENT": "10"])
        let desk = try await FactorDesk.open(at: host)
        let user = desk.person.user
        func logIn() async throws -> TestResponse {
            try await desk.nobody.post(
                "/api/v1/auth/login", desk.person.newcomer.signIn,
                headers: ["user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 \(UUID())"])
        }
        try await desk.database.execute("UPDATE accounts SET email_verified_at = NULL WHERE id = \(user)", as: AccountStore.caller)
        #expect(try await logIn()["accessToken"].string != nil)
        try await desk.database.execute("UPDATE accounts SET email_verified_at = now() WHERE id = \(user)", as: AccountStore.caller)
        try await desk.database.execute(
            "DELETE FROM sign_in_places WHERE account_id = \(user) AND device LIKE '%Firefox%'", as: AccountStore.caller)
        let login = try await logIn()
        #expect(login["mfaRequired"] == true && login["mustEnrol"] == false && login["methods"] == ["email"], "\(login.text)")
        let token = login["mfaToken"]
        #expect(
            try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "sms"]).problem == "method-not-set-up")
        #expect(try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "email"]).status == 200)
        let answer = try await desk.verify(["mfaToken": token, "method": "email", "code": .string(try await desk.lastCode())])
        #expect(answer.status == 200)
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "mailbox"], "not a factor that was set up")
        try await host.stop()
    }

    @Test(
        "a device that was trusted is not asked, until the password or a factor changes; another device is, and a demanding organization asks"
    )
    func trustedDevice() async throws {
        let desk = try await FactorDesk.open()
        let answer = try await desk.addApp().answer
        func logIn(_ cookie: String?, _ client: FactorDesk? = nil) async throws -> Bool {
            let desk = client ?? desk
            let headers = cookie.map { ["cookie": "other=1; \($0)"] } ?? [:]
            let login = try await desk.nobody.post("/api/v1/auth/login", desk.person.newcomer.signIn, headers: headers)
            #expect(login.status == 200)
            return login["mfaRequired"] == true
        }
        let verified = try await desk.verify([
            "mfaToken": try await desk.mfaToken(), "recoveryCode": answer["recoveryCodes"][0], "trustDevice": true,
        ])
        let set = try #require(verified.headers["set-cookie"].first { $0.hasPrefix(DeviceTrust.cookieName) })
        #expect(set.contains("HttpOnly") && set.contains("SameSite=Lax"))
        let cookie = try #require(set.split(separator: ";").first.map(String.init))
        #expect(try await logIn(nil))
        #expect(try await !logIn(cookie))
        #expect(try await logIn(String(cookie.dropLast(4)) + "AAAA"))
        // Another account's is worth nothing.
        let other = try await FactorDesk.open()
        _ = try await other.addApp()
        #expect(try await logIn(cookie, other))
        try await desk.demandSecondFactor()
        #expect(try await logIn(cookie))
        try await desk.demandSecondFactor(false)
        #expect(try await !logIn(cookie))
        let user = desk.person.user
        try await desk.database.execute("UPDATE accounts SET password_changed_at = now() WHERE id = \(user)", as: AccountStore.caller)
        #expect(try await logIn(cookie))
        try await desk.database.execute(
            "UPDATE accounts SET password_changed_at = now() - interval '1 day' WHERE id = \(user)", as: AccountStore.caller)
        #expect(try await !logIn(cookie))
        var key = SoftwareAuthenticator()
        let added = try await desk.addKey(&key)
        #expect(try await desk.signedIn.delete("/api/v1/auth/mfa/\(added["factor"]["id"].string ?? "")").status == 204)
        #expect(try await logIn(cookie))
        #expect(try await desk.audit("auth.device.trust").count == 1)
    }
}
