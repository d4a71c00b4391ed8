import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct StepUpTests {
    @Test("a password gives a token of the same session that what is dangerous takes")
    func password() async throws {
        let desk = try await FactorDesk.open()
        let stale = try await desk.age()
        let refused = try await stale.post("/api/v1/auth/mfa/setup", ["method": "totp"])
        #expect(refused.problem == "insufficient-user-authentication")
        #expect(refused.header("www-authenticate")?.contains("max_age=\"600\"") == true)
        #expect(try await stale.post("/api/v1/auth/step-up", ["password": "not the password"]).problem == "wrong-password")
        let answer = try await stale.post("/api/v1/auth/step-up", ["password": .string(desk.person.newcomer.password)])
        #expect(answer.status == 200)
        let access = try #require(answer["accessToken"].string), claims = TokenParts.claims(access)
        #expect(claims["sid"] == TokenParts.claims(desk.person.access)["sid"])
        #expect(claims["amr"] == ["pwd"])
        #expect(abs(Date().timeIntervalSince1970 - Double(claims["auth_time"].int ?? 0)) < 10)
        #expect(try await desk.host.client(token: access).post("/api/v1/auth/mfa/setup", ["method": "totp"]).status == 200)
        // The session remembers it: so do the tokens that follow.
        let next = try await desk.nobody.post("/api/v1/auth/refresh", ["refreshToken": .string(desk.person.refresh)])
        #expect(TokenParts.claims(next["accessToken"].string ?? "")["auth_time"] == claims["auth_time"])
    }

    @Test("who has a second factor proves it with that, never with the password alone")
    func secondFactor() async throws {
        let desk = try await FactorDesk.open()
        let (key, _) = try await desk.addApp()
        let stale = try await desk.age()
        let refused = try await stale.post("/api/v1/auth/step-up", ["password": .string(desk.person.newcomer.password)])
        #expect(refused.status == 403 && refused.problem == "second-factor-needed")
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date()) + 1))
        let answer = try await stale.post("/api/v1/auth/step-up", ["method": "totp", "code": code])
        #expect(answer.status == 200)
        #expect(answer["methods"] == ["pwd", "otp"])
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "otp"])
        #expect(try await stale.post("/api/v1/auth/step-up", ["method": "totp", "code": code]).problem == "wrong-code")
        #expect(try await desk.stack.auth.outbox(desk.person.tenant).contains { $0.payload["action"] == "auth.session.step-up" })
    }

    @Test("a security key steps up, and its answer is good for that session and that purpose alone")
    func key() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let stale = try await desk.age()
        let challenge = try await stale.post("/api/v1/auth/step-up/challenge", ["method": "webauthn"])
        #expect(challenge.status == 200)
        let credential = try authenticator.assert(challenge["publicKey"])
        // Not for a sign-in.
        #expect(try await desk.verify(["mfaToken": try await desk.mfaToken(), "credential": credential]).problem == "invalid-credential")
        let answer = try await stale.post("/api/v1/auth/step-up", ["credential": credential])
        #expect(answer.status == 200 && answer["methods"] == ["pwd", "hwk"])
        #expect(try await stale.post("/api/v1/auth/step-up", ["credential": credential]).problem == "invalid-credential")
        // Nor one for a sign-in for a step-up.
        let other = try authenticator.assert(try await desk.keyOptions(try await desk.mfaToken()))
        #expect(try await stale.post("/api/v1/auth/step-up", ["credential": other]).problem == "invalid-credential")
    }

    @Test("guessing the password with a stolen token is slowed down")
    func guessing() async throws {
        let desk = try await FactorDesk.open()
        for _ in 0..<5 {
            #expect(try await desk.signedIn.post("/api/v1/auth/step-up", ["password": "a wrong password"]).status == 401)
        }
        let right = try await desk.signedIn.post("/api/v1/auth/step-up", ["password": .string(desk.person.newcomer.password)])
        #expect(right.status == 429 && right.problem == "too-many-wrong-codes")
        // Signing in is not locked by it: the owner gets in.
        #expect(try await desk.logIn().status == 200)
    }

    @Test("a session that has ended does not step up")
    func ended() async throws {
        let desk = try await FactorDesk.open()
        #expect(try await desk.signedIn.post("/api/v1/auth/logout").status == 204)
        let answer = try await desk.signedIn.post("/api/v1/auth/step-up", ["password": .string(desk.person.newcomer.password)])
        #expect(answer.status == 401 && answer.problem == "revoked-session")
    }
}
