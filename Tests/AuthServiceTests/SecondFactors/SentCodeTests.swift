import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct SentCodeTests {
    private func addTelephone(_ desk: FactorDesk, _ number: String) async throws -> TestResponse {
        let setup = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "sms", "phone": .string(number)])
        guard setup.status == 200 else { return setup }
        let code = try await desk.lastCode(to: number)
        return try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "sms", "code": .string(code)])
    }

    private func number() -> String { "+4479" + String(Int.random(in: 10_000_000...99_999_999)) }

    @Test("a telephone is set up and signs in with codes that are sent to it: pwd and sms")
    func telephone() async throws {
        let desk = try await FactorDesk.open()
        let number = number()
        let setup = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "sms", "phone": .string(number)])
        #expect(setup.status == 200)
        #expect(setup["sentTo"].string?.hasSuffix(String(number.suffix(2))) == true)
        #expect(setup["sentTo"].string?.contains(number.dropFirst(3).prefix(6)) == false)
        let letter = try #require(try await desk.letters(to: number, "sign-in-code").last)
        #expect(letter.channel == .sms)
        #expect(letter.data["minutes"] == "5")
        let sent = try #require(letter.data["code"])
        #expect(sent.utf8.count == 6 && sent.utf8.allSatisfy { (48...57).contains($0) })
        #expect(letter.expiresAt.map { (1...300).contains($0.timeIntervalSinceNow) } == true)
        let confirmed = try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "sms", "code": .string(sent)])
        #expect(confirmed.status == 200 && confirmed["recoveryCodes"].array.count == 10)
        #expect(confirmed["factor"]["hint"] == setup["sentTo"])

        let token = try await desk.mfaToken()
        // Nothing is sent before it is asked for.
        #expect(try await desk.letters(to: number, "sign-in-code").count == 1)
        #expect(try await desk.verify(["mfaToken": token, "method": "sms", "code": .string(sent)]).problem == "wrong-code")
        let challenge = try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "sms"])
        #expect(challenge.status == 200 && challenge["sentTo"] == setup["sentTo"])
        let code = try await desk.lastCode(to: number)
        let answer = try await desk.verify(["mfaToken": token, "method": "sms", "code": .string(code)])
        #expect(answer.status == 200)
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "sms"])
        // Used up.
        let again = try await desk.verify(["mfaToken": try await desk.mfaToken(), "method": "sms", "code": .string(code)])
        #expect(again.problem == "wrong-code")
    }

    @Test("whoever has not verified an address gets no text messages, and many accounts together no more to one number than one")
    func tollFraud() async throws {
        let desk = try await FactorDesk.open(), number = number(), user = desk.person.user
        let body: JSONValue = ["method": "sms", "phone": .string(number)]
        try await desk.database.execute("UPDATE accounts SET email_verified_at = NULL WHERE id = \(user)", as: AccountStore.caller)
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/setup", body).problem == "email-not-verified")
        #expect(try await desk.letters(to: number, "sign-in-code").isEmpty)
        for _ in 0..<TextMessageLimits.perNumber {
            let another = try await FactorDesk.open()
            #expect(try await another.signedIn.post("/api/v1/auth/mfa/setup", body).status == 200)
        }
        let last = try await FactorDesk.open().signedIn.post("/api/v1/auth/mfa/setup", body)
        #expect(last.status == 429 && last.problem == "too-many-codes-sent")
        #expect(try await desk.letters(to: number, "sign-in-code").count == TextMessageLimits.perNumber)
    }

    @Test("the account's address is set up and signs in with codes: pwd and mail")
    func mailbox() async throws {
        let desk = try await FactorDesk.open()
        let setup = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "email"])
        #expect(setup["sentTo"] == "a•••@example.org")
        let first = try await desk.lastCode()
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "email", "code": .string(first)]).status == 200)
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "email"]).problem == "already-set-up")
        let token = try await desk.mfaToken()
        #expect(try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "email"]).status == 200)
        let answer = try await desk.verify(["mfaToken": token, "method": "email", "code": .string(try await desk.lastCode())])
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "mail"])
    }

    @Test("neither the code nor the number is in the database as it is")
    func stored() async throws {
        let desk = try await FactorDesk.open()
        let number = number(), user = desk.person.user
        _ = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "sms", "phone": .string(number)])
        let code = try await desk.lastCode(to: number)
        let digest = try #require(
            try await desk.database.first(
                Query<Data>("SELECT digest FROM sent_codes WHERE account_id = \(user)", column: "digest"), as: AccountStore.caller))
        #expect(digest.count == 32 && digest.range(of: Data(code.utf8)) == nil)
        let secret = try #require(
            try await desk.database.first(
                Query<Data>("SELECT secret FROM second_factors WHERE account_id = \(user)", column: "secret"), as: AccountStore.caller))
        #expect(secret.range(of: Data(number.utf8)) == nil)
    }

    @Test("a code stands five tries, and five minutes")
    func limits() async throws {
        let desk = try await FactorDesk.open()
        let number = number(), user = desk.person.user
        _ = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "sms", "phone": .string(number)])
        let code = try await desk.lastCode(to: number)
        func confirm() async throws -> TestResponse {
            try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "sms", "code": .string(code)])
        }
        try await desk.database.execute("UPDATE sent_codes SET expires_at = now() WHERE account_id = \(user)", as: AccountStore.caller)
        #expect(try await confirm().problem == "wrong-code")
        try await desk.database.execute(
            "UPDATE sent_codes SET expires_at = now() + interval '5 minutes' WHERE account_id = \(user)", as: AccountStore.caller)
        let wrong = code == "111111" ? "222222" : "111111"
        for _ in 0..<SentCodes.attempts {
            let answer = try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "sms", "code": .string(wrong)])
            #expect(answer.problem == "wrong-code")
        }
        #expect(try await confirm().problem == "wrong-code")
    }

    @Test("a code that nobody has used is not sent again at once, and only so many in an hour")
    func resending() async throws {
        let desk = try await FactorDesk.open()
        #expect(try await addTelephone(desk, number()).status == 200)
        let token = try await desk.mfaToken()
        func send() async throws -> TestResponse {
            try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "sms"])
        }
        #expect(try await send().status == 200)
        let soon = try await send()
        #expect(soon.status == 429 && soon.problem == "too-many-codes-sent")
        #expect(soon.header("retry-after").flatMap { Int($0) }.map { (1...30).contains($0) } == true)
        for _ in 0..<(SentCodes.perWindow - 2) {
            try await desk.forgetSending()
            #expect(try await send().status == 200)
        }
        try await desk.forgetSending()
        let spent = try await send()
        #expect(spent.status == 429)
        #expect(spent.header("retry-after").flatMap { Int($0) } ?? 0 > 600)
        // Setting up other numbers sends no more either: nobody pays for messages to strangers.
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "sms", "phone": .string(number())]).status == 429)
    }

    @Test("of two telephones the one that is named gets the code, and one's code is not the other's")
    func twoTelephones() async throws {
        let desk = try await FactorDesk.open()
        let one = number(), two = number()
        let first = try await addTelephone(desk, one), second = try await addTelephone(desk, two)
        #expect(first.status == 200 && second.status == 200 && second["recoveryCodes"].isNull)
        let token = try await desk.mfaToken()
        let challenge = try await desk.nobody.post(
            "/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "sms", "factor": first["factor"]["id"]])
        #expect(challenge["sentTo"] == first["factor"]["hint"])
        #expect(try await desk.letters(to: one, "sign-in-code").count == 2)
        #expect(try await desk.letters(to: two, "sign-in-code").count == 1)
        let answer = try await desk.verify(["mfaToken": token, "method": "sms", "code": .string(try await desk.lastCode(to: one))])
        #expect(answer.status == 200)
        let foreign = try await desk.nobody.post(
            "/api/v1/auth/mfa/challenge",
            ["mfaToken": try await desk.mfaToken(), "method": "sms", "factor": .string(SecondFactorID.make().description)])
        #expect(foreign.problem == "method-not-set-up")
    }

    @Test("no code and no token of a sign-in reaches the log or an event")
    func silent() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_LOG_LEVEL": "trace"])
        let desk = try await FactorDesk.open(at: host)
        let number = number()
        let (key, app) = try await desk.addApp()
        #expect(try await addTelephone(desk, number).status == 200)
        let setUp = try await desk.lastCode(to: number)
        let token = try await desk.mfaToken()
        _ = try await desk.nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "sms"])
        let code = try await desk.lastCode(to: number)
        _ = try await desk.verify(["mfaToken": token, "method": "sms", "code": .string(code)])
        let lines = host.log.lines.joined(separator: "\n")
        #expect(lines.contains("/api/v1/auth/mfa/verify"), "the log is there at all")
        let announced = try await host.outbox(.platform).map { "\($0.payload)" }.joined()
        let secrets = [
            "\"\(setUp)\"", "\"\(code)\"", number, token.string, Base32.encode(key), app["recoveryCodes"][0].string,
        ]
        for secret in secrets {
            let secret = try #require(secret)
            #expect(!lines.contains(secret), "\(secret.prefix(6))…")
            #expect(!announced.contains(secret), "\(secret.prefix(6))…")
        }
        try await host.stop()
    }
}
