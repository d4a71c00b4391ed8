import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AuthService

@Suite struct TOTPRuleTests {
    @Test(
        "codes are those of RFC 6238, appendix B",
        arguments: [
            (59, "94287082"), (1_111_111_109, "07081804"), (1_111_111_111, "14050471"), (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"), (20_000_000_000, "65353130"),
        ])
    func vectors(time: Int, code: String) {
        let key = Data("12345678901234567890".utf8), at = Date(timeIntervalSince1970: TimeInterval(time))
        #expect(TOTP.code(key: key, step: TOTP.step(at: at), digits: 8) == code)
        #expect(TOTP.match(String(code.suffix(6)), key: key, at: at, after: nil) == time / 30)
    }

    @Test("the first codes are those of RFC 4226, appendix D")
    func counters() {
        let key = Data("12345678901234567890".utf8)
        let codes = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
        #expect((0..<10).map { TOTP.code(key: key, step: $0) } == codes)
    }

    @Test("a clock may be wrong by one step, and no more")
    func drift() {
        let key = TOTP.makeKey(), now = Date(timeIntervalSince1970: 1_800_000_010), step = TOTP.step(at: now)
        for offset in -3...3 {
            let found = TOTP.match(TOTP.code(key: key, step: step + offset), key: key, at: now, after: nil)
            #expect(found == (abs(offset) <= 1 ? step + offset : nil), "\(offset)")
        }
    }

    @Test("a step that was taken, and those before it, are not taken again")
    func once() {
        let key = TOTP.makeKey(), now = Date(timeIntervalSince1970: 1_800_000_010), step = TOTP.step(at: now)
        #expect(TOTP.match(TOTP.code(key: key, step: step), key: key, at: now, after: step) == nil)
        #expect(TOTP.match(TOTP.code(key: key, step: step - 1), key: key, at: now, after: step) == nil)
        #expect(TOTP.match(TOTP.code(key: key, step: step + 1), key: key, at: now, after: step) == step + 1)
    }

    @Test(
        "Base32 is that of RFC 4648",
        arguments: [
            ("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB"), ("foobar", "MZXW6YTBOI"),
        ])
    func base32(text: String, encoded: String) {
        #expect(Base32.encode(Data(text.utf8)) == encoded)
        #expect(Base32Text.decode(encoded) == Data(text.utf8))
    }

    @Test("a recovery code is read whatever its case, its hyphens and its look-alikes, and is one account's")
    func recoveryCodes() {
        let account = UserID.make(), digest = RecoveryCode.digest("01AB-CDEF-GHJK-MNPQ", of: account)
        #expect(RecoveryCode.digest("oiab cdef ghjk mnpq", of: account) == digest)
        #expect(RecoveryCode.digest("OLABCDEFGHJKMNPQ", of: account) == digest)
        #expect(RecoveryCode.digest("01AB-CDEF-GHJK-MNPQ", of: .make()) != digest)
        let made = (0..<50).map { _ in RecoveryCode.make() }
        #expect(Set(made).count == 50)
        #expect(made.allSatisfy { $0.count == 19 && $0.split(separator: "-").count == 4 })
    }

    @Test("telephone numbers are those of E.164", arguments: ["+44 20 7946 0958", "+1 (415) 555-0132", "+4915123456789"])
    func goodNumbers(text: String) throws {
        let number = try TelephoneNumber(text)
        #expect(number.rawValue.utf8.dropFirst().allSatisfy { (48...57).contains($0) })
        #expect(number.masked.hasSuffix(number.rawValue.suffix(2)) && number.masked.count == number.rawValue.count)
    }

    @Test(
        "what is no telephone number is refused",
        arguments: ["", "020 7946 0958", "+0123456789", "+12345", "+1234567890123456", "+44207946O958"])
    func badNumbers(text: String) {
        #expect(throws: TextProblem.self) { try TelephoneNumber(text) }
    }
}

@Suite struct AuthenticatorAppTests {
    @Test("an authenticator app is set up with a key, a link and a QR code, and counts once a code is shown")
    func setUp() async throws {
        let desk = try await FactorDesk.open()
        let setup = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "totp", "name": "My telephone"])
        #expect(setup.status == 200)
        #expect(setup.header("cache-control") == "no-store")
        let secret = try #require(setup["secret"].string)
        #expect(Base32Text.decode(secret)?.count == 20)
        let uri = try #require(setup["otpauthUri"].string.flatMap { URLComponents(string: $0) })
        #expect(uri.scheme == "otpauth" && uri.host == "totp" && uri.path == "/Trionex:\(desk.person.newcomer.email)")
        let parameters = Dictionary(uniqueKeysWithValues: (uri.queryItems ?? []).map { ($0.name, $0.value) })
        #expect(parameters == ["secret": secret, "issuer": "Trionex", "algorithm": "SHA1", "digits": "6", "period": "30"])
        #expect(setup["qrCode"].string?.hasPrefix("<svg ") == true)
        // Not before it is confirmed.
        #expect(try await desk.signedIn.get("/api/v1/auth/mfa")["data"].array.isEmpty)
        #expect(try await desk.logIn()["accessToken"].string != nil)

        let key = try #require(Base32Text.decode(secret))
        let wrong = try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "totp", "code": "000000"])
        #expect(wrong.status == 401 && wrong.problem == "wrong-code")
        let code = TOTP.code(key: key, step: TOTP.step(at: Date()))
        let confirmed = try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "totp", "code": .string(code)])
        #expect(confirmed.status == 200)
        #expect(confirmed["factor"]["name"] == "My telephone")
        #expect(confirmed["recoveryCodes"].array.count == 10)
        let list = try await desk.signedIn.get("/api/v1/auth/mfa")
        #expect(list["data"].array.map { $0["method"] } == ["totp"])
        #expect(list["data"][0]["id"] == setup["id"])
        #expect(list["recoveryCodesLeft"] == 10)
        #expect(try await desk.announced(MFAEnabled.self).map { $0["method"] } == ["totp"])
        #expect(try await desk.audit("auth.second-factor.confirm").count == 1)
        #expect(try await desk.letters("mfa-changed").map { $0.data["change"] } == ["added"])
    }

    @Test("the key is not in the database as it is")
    func sealed() async throws {
        let desk = try await FactorDesk.open()
        let (key, _) = try await desk.addApp()
        let user = desk.person.user
        let stored = try await desk.database.first(
            Query<Data>("SELECT secret FROM second_factors WHERE account_id = \(user)", column: "secret"), as: AccountStore.caller)
        let secret = try #require(stored)
        #expect(secret.range(of: key) == nil)
        #expect(secret.count > key.count)
    }

    @Test("a sign-in goes on with a code, and the token says how: pwd and otp")
    func signIn() async throws {
        let desk = try await FactorDesk.open()
        let (key, _) = try await desk.addApp()
        let login = try await desk.logIn()
        #expect(login.status == 200)
        #expect(login["mfaRequired"] == true)
        #expect(login["methods"] == ["totp", "recovery"])
        #expect(login["accessToken"].isNull && login["refreshToken"].isNull)
        #expect(login.header("cache-control") == "no-store")
        let token = login["mfaToken"]
        // The token opens nothing.
        #expect(try await desk.host.client(token: token.string).get("/api/v1/auth/me").status == 401)

        let code = TOTP.code(key: key, step: TOTP.step(at: Date()) + 1)
        let answer = try await desk.verify(["mfaToken": token, "method": "totp", "code": .string(code)])
        #expect(answer.status == 200)
        #expect(answer["user"]["id"].string == desk.person.user.description)
        let access = try #require(answer["accessToken"].string)
        #expect(TokenParts.claims(access)["amr"] == ["pwd", "otp"])
        let me = try await desk.host.client(token: access).get("/api/v1/auth/me")
        #expect(me["session"]["methods"] == ["pwd", "otp"])
        // A token is good once, whatever is shown with it.
        let again = try await desk.verify(["mfaToken": token, "method": "totp", "code": .string(code)])
        #expect(again.status == 401 && again.problem == "invalid-mfa-token")
        // A code too, though a new sign-in asks for it.
        let replay = try await desk.verify(["mfaToken": try await desk.mfaToken(), "method": "totp", "code": .string(code)])
        #expect(replay.status == 401 && replay.problem == "wrong-code")
    }

    @Test("of many that show one code at once, one gets in")
    func race() async throws {
        let desk = try await FactorDesk.open()
        let (key, _) = try await desk.addApp()
        var tokens: [JSONValue] = []
        for _ in 0..<4 { tokens.append(try await desk.mfaToken()) }
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date()) + 1))
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for token in tokens {
                group.addTask { try await desk.verify(["mfaToken": token, "method": "totp", "code": code]).status }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 200 }.count == 1, "\(statuses)")
    }

    @Test("wrong codes lock the account's codes for a while, over all its sign-ins, and its owner is told; the right one waits too")
    func guessing() async throws {
        let desk = try await FactorDesk.open()
        let (key, _) = try await desk.addApp()
        for _ in 0..<5 {
            // A new sign-in for each guess gives no new guesses.
            let guess = try await desk.verify(["mfaToken": try await desk.mfaToken(), "method": "totp", "code": "123456"])
            #expect(guess.status == 401)
        }
        let token = try await desk.mfaToken()
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date()) + 1))
        let right = try await desk.verify(["mfaToken": token, "method": "totp", "code": code])
        #expect(right.status == 429 && right.problem == "too-many-wrong-codes")
        #expect(right.header("retry-after").flatMap { Int($0) }.map { (1...30).contains($0) } == true)
        #expect(try await desk.letters("account-locked").count == 1)
        let refusals = try await desk.audit("auth.second-factor.verify")
        #expect(refusals.map { $0["riskLevel"] } == ["medium", "medium", "medium", "medium", "high"])
        #expect(refusals.allSatisfy { $0["outcome"] == "refused" })
        let user = desk.person.user
        try await desk.database.execute(
            "UPDATE second_factor_limits SET locked_until = now() WHERE account_id = \(user)", as: AccountStore.caller)
        #expect(try await desk.verify(["mfaToken": token, "method": "totp", "code": code]).status == 200)
    }

    @Test("many guesses at once are no more guesses than one after the other")
    func guessingAtOnce() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        var tokens: [JSONValue] = []
        for _ in 0..<12 { tokens.append(try await desk.mfaToken()) }
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for token in tokens {
                group.addTask { try await desk.verify(["mfaToken": token, "method": "totp", "code": "123456"]).status }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 401 }.count == ProofChecking.patience.threshold, "\(statuses)")
        #expect(statuses.filter { $0 == 429 }.count == 12 - ProofChecking.patience.threshold)
    }

    @Test("one mfaToken stands only so many wrong answers, and expires")
    func tokenLimits() async throws {
        let desk = try await FactorDesk.open()
        let (_, answer) = try await desk.addApp()
        let worn = try await desk.mfaToken()
        for _ in 0..<PendingSignIn.attempts {
            // Recovery codes are not locked by guesses, so only the token's own count ends this.
            #expect(try await desk.verify(["mfaToken": worn, "recoveryCode": "AAAA-AAAA-AAAA-AAAA"]).problem == "wrong-code")
        }
        let good = answer["recoveryCodes"][0]
        #expect(try await desk.verify(["mfaToken": worn, "recoveryCode": good]).problem == "invalid-mfa-token")

        let old = try await desk.mfaToken()
        let digest = try #require(old.string.flatMap { MFAToken($0) }).digest
        try await desk.database.execute("UPDATE pending_sign_ins SET expires_at = now() WHERE digest = \(digest)", as: AccountStore.caller)
        #expect(try await desk.verify(["mfaToken": old, "recoveryCode": good]).problem == "invalid-mfa-token")
        #expect(try await desk.verify(["mfaToken": try await desk.mfaToken(), "recoveryCode": good]).status == 200)
    }

    @Test(
        "what is no mfaToken of ours is refused alike",
        arguments: ["x", "trx_mfa_", "trx_mfa_AAAA", "trx_mfa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
    func rubbish(_ token: String) async throws {
        let desk = try await FactorDesk.open()
        let answer = try await desk.verify(["mfaToken": .string(token), "method": "totp", "code": "123456"])
        #expect(answer.status == 401 && answer.problem == "invalid-mfa-token")
    }
}
