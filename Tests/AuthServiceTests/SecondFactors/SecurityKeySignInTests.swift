import Contracts
import Crypto
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct SecurityKeySignInTests {
    @Test("the options name the account's keys, and a sign-in without one has none")
    func options() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        let without = try await desk.nobody.post(
            "/api/v1/auth/mfa/challenge", ["mfaToken": try await desk.mfaToken(), "method": "webauthn"])
        #expect(without.status == 409 && without.problem == "method-not-set-up")
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let options = try await desk.keyOptions(try await desk.mfaToken())
        #expect(options["rpId"] == "localhost")
        #expect(options["userVerification"] == "preferred")
        #expect(options["allowCredentials"].array.map { $0["id"].string } == [Base64URL.encode(authenticator.credentialID)])
    }

    enum Lie: String, CaseIterable {
        case foreignOrigin, foreignRelyingParty, nobodyPresent, tamperedSignature, changedData, otherKey, wrongType, foreignChallenge
        case otherSignIn, foreignHandle, otherAccountsKey, eligibilityChanged, registrationChallenge
    }

    @Test("an assertion that lies in any one thing does not sign in", arguments: Lie.allCases)
    func refused(lie: Lie) async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        authenticator.counter = 5
        #expect(try await desk.addKey(&authenticator).status == 200)
        let token = try await desk.mfaToken()
        var options = try await desk.keyOptions(token)
        var type = "webauthn.get"
        var liar = authenticator
        switch lie {
        case .foreignOrigin: liar.origin = "https://evil.example"
        case .foreignRelyingParty: liar.relyingParty = "evil.example"
        case .nobodyPresent: liar.flags = 0x00
        case .otherKey: liar.key = .es256(P256.Signing.PrivateKey())
        case .wrongType: type = "webauthn.create"
        case .foreignChallenge:
            guard case .object(var members) = options else { throw Unexpected(answer: "no options") }
            members["challenge"] = .string(Base64URL.encode(Data(repeating: 7, count: 80)))
            options = .object(members)
        case .otherSignIn: options = try await desk.keyOptions(try await desk.mfaToken())
        case .registrationChallenge:
            options = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn"])["publicKey"]
        case .foreignHandle: liar.userHandle = WebAuthnRelyingParty.userHandle(of: .make())
        case .otherAccountsKey:
            let other = try await FactorDesk.open()
            liar = SoftwareAuthenticator()
            #expect(try await other.addKey(&liar).status == 200)
        case .eligibilityChanged: liar.flags = 0x0D
        case .tamperedSignature, .changedData: break
        }
        let credential = try liar.assert(options, type: type, tampered: lie == .tamperedSignature, changingData: lie == .changedData)
        let answer = try await desk.verify(["mfaToken": token, "credential": credential])
        #expect(answer.status == 401 && answer.problem == "invalid-credential", "\(answer.text)")
        // The account's own key still does.
        let honest = try authenticator.assert(try await desk.keyOptions(token))
        #expect(try await desk.verify(["mfaToken": token, "credential": honest]).status == 200)
    }

    @Test("an answer is good once")
    func replay() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let token = try await desk.mfaToken()
        let credential = try authenticator.assert(try await desk.keyOptions(token))
        let tampered = try authenticator.assert(try await desk.keyOptions(token), tampered: true)
        #expect(try await desk.verify(["mfaToken": token, "credential": tampered]).status == 401)
        // A challenge that was answered wrongly is spent too.
        #expect(try await desk.verify(["mfaToken": token, "credential": tampered]).status == 401)
        #expect(try await desk.verify(["mfaToken": token, "credential": credential]).status == 200)
        #expect(try await desk.verify(["mfaToken": try await desk.mfaToken(), "credential": credential]).status == 401)
    }

    @Test("a counter that goes back, or stands, is refused and audited as a high risk: the key may have been copied")
    func counter() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        authenticator.counter = 10
        #expect(try await desk.addKey(&authenticator).status == 200)
        var copy = authenticator
        func signIn(_ authenticator: inout SoftwareAuthenticator) async throws -> TestResponse {
            let token = try await desk.mfaToken()
            return try await desk.verify(["mfaToken": token, "credential": try authenticator.assert(try await desk.keyOptions(token))])
        }
        #expect(try await signIn(&authenticator).status == 200)
        #expect(try await signIn(&authenticator).status == 200)
        let behind = try await signIn(&copy)
        #expect(behind.status == 401 && behind.problem == "security-key-copied")
        let level = try await signIn(&copy)
        #expect(level.status == 401 && level.problem == "security-key-copied")
        let entries = try await desk.audit("auth.second-factor.verify")
        #expect(entries.map { $0["riskLevel"] } == ["high", "high"])
        #expect(entries.allSatisfy { $0["changed"]["check"] == "counter" })
        // Nor may it fall back to not counting at all.
        copy.counter = 0
        #expect(try await signIn(&copy).problem == "security-key-copied")
    }

    @Test("a key that does not count is good again and again")
    func noCounter() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        for _ in 0..<3 {
            let token = try await desk.mfaToken()
            let credential = try authenticator.assert(try await desk.keyOptions(token))
            #expect(try await desk.verify(["mfaToken": token, "credential": credential]).status == 200)
        }
    }

    @Test("wrong codes do not lock a key out")
    func notLocked() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        _ = try await desk.addApp()
        #expect(try await desk.addKey(&authenticator).status == 200)
        for _ in 0..<6 { _ = try await desk.verify(["mfaToken": try await desk.mfaToken(), "method": "totp", "code": "123456"]) }
        let token = try await desk.mfaToken()
        #expect(try await desk.verify(["mfaToken": token, "method": "totp", "code": "123456"]).status == 429)
        let credential = try authenticator.assert(try await desk.keyOptions(token))
        #expect(try await desk.verify(["mfaToken": token, "credential": credential]).status == 200)
    }
}

@Suite struct PasskeyTests {
    private func options(_ desk: FactorDesk) async throws -> JSONValue {
        try await desk.nobody.post("/api/v1/auth/passkey/options", [:])["publicKey"]
    }

    private func logIn(_ desk: FactorDesk, _ credential: JSONValue, organization: String? = nil) async throws -> TestResponse {
        var body: [String: JSONValue] = ["credential": credential]
        body["organization"] = organization.map { .string($0) }
        return try await desk.nobody.post("/api/v1/auth/passkey/login", .object(body))
    }

    @Test("a passkey signs in alone, without a word of who it is, and counts as two factors")
    func alone() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        try await desk.demandSecondFactor()
        let options = try await options(desk)
        #expect(options["allowCredentials"].array.isEmpty && options["userVerification"] == "required")
        let answer = try await logIn(desk, try authenticator.assert(options))
        #expect(answer.status == 200, "\(answer.text)")
        #expect(answer["user"]["id"].string == desk.person.user.description)
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["hwk"])
        let next = try await desk.nobody.post("/api/v1/auth/refresh", ["refreshToken": answer["refreshToken"]])
        #expect(next.status == 200)
    }

    enum Lie: String, CaseIterable {
        case notUnlocked, noHandle, foreignHandle, tampered, foreignOrigin, foreignRelyingParty, unknownKey, secondFactorChallenge
    }

    @Test("a passkey that lies in any one thing, or was not unlocked, does not sign in", arguments: Lie.allCases)
    func refused(lie: Lie) async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        var options = try await options(desk)
        var liar = authenticator
        switch lie {
        case .notUnlocked: liar.flags = 0x01
        case .noHandle: liar.userHandle = nil
        case .foreignHandle: liar.userHandle = WebAuthnRelyingParty.userHandle(of: .make())
        case .foreignOrigin: liar.origin = "https://evil.example"
        case .foreignRelyingParty: liar.relyingParty = "evil.example"
        case .unknownKey: liar.credentialID = Data(repeating: 9, count: 32)
        case .secondFactorChallenge: options = try await desk.keyOptions(try await desk.mfaToken())
        case .tampered: break
        }
        let answer = try await logIn(desk, try liar.assert(options, tampered: lie == .tampered))
        #expect(answer.status == 401)
        #expect(answer.problem == (lie == .notUnlocked ? "user-verification-missing" : "invalid-credential"))
        #expect(answer["accessToken"].isNull)
    }

    @Test("a passkey's answer is good once, and one that was copied is found out")
    func replay() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        authenticator.counter = 1
        #expect(try await desk.addKey(&authenticator).status == 200)
        var copy = authenticator
        let credential = try authenticator.assert(try await options(desk))
        #expect(try await logIn(desk, credential).status == 200)
        #expect(try await logIn(desk, credential).problem == "invalid-credential")
        #expect(try await logIn(desk, try copy.assert(try await options(desk))).problem == "security-key-copied")
        let entries = try await desk.audit("auth.second-factor.verify")
        #expect(entries.map { $0["riskLevel"] } == ["medium", "high"])
        #expect(entries.map { $0["changed"]["check"] } == ["challenge", "counter"])
    }

    @Test("a passkey chooses among organizations as a password does")
    func organizations() async throws {
        let desk = try await FactorDesk.open(), other = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let own = try await logIn(desk, try authenticator.assert(try await options(desk)), organization: desk.person.newcomer.slug)
        #expect(own["organization"]["id"].string == desk.person.tenant.description)
        let foreign = try await logIn(desk, try authenticator.assert(try await options(desk)), organization: other.person.newcomer.slug)
        #expect(foreign.status == 403 && foreign.problem == "not-a-member")
    }

    @Test("asking for options says nothing about anybody and writes nothing down")
    func stateless() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        var digests: [Data] = []
        var last = JSONValue.null
        for _ in 0..<20 {
            last = try await options(desk)
            digests.append(WebAuthnChallenge.digest(try #require(last["challenge"].string.flatMap { Base64URL.decode($0) })))
        }
        #expect(Set(digests).count == 20)
        let asked = digests
        let kept = Query<Int>("SELECT count(*) AS count FROM spent_challenges WHERE digest = ANY(\(asked))", column: "count")
        #expect(try await desk.database.first(kept, as: AccountStore.caller) == 0)
        // Only the one that is answered is.
        #expect(try await logIn(desk, try authenticator.assert(last)).status == 200)
        #expect(try await desk.database.first(kept, as: AccountStore.caller) == 1)
    }

    @Test("the page loads nothing from elsewhere, runs its own script alone, and is in nobody's frame")
    func page() async throws {
        let desk = try await FactorDesk.open()
        let page = try await desk.nobody.get("/api/v1/auth/passkey")
        #expect(page.status == 200)
        #expect(page.header("content-type")?.hasPrefix("text/html") == true)
        let policy = try #require(page.header("content-security-policy"))
        #expect(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("script-src 'unsafe"))
        let script = try #require(page.text.components(separatedBy: "<script>").last?.components(separatedBy: "</script>").first)
        let hash = Data(SHA256.hash(data: Data(script.utf8))).base64EncodedString()
        #expect(policy.contains("script-src 'sha256-\(hash)'"))
        #expect(page.text.contains("<html lang=\"en\">") && page.text.contains("role=\"status\""))
        // Every field has its label.
        for id in ["email", "password", "code", "name"] { #expect(page.text.contains("<label for=\"\(id)\">")) }
    }
}

@Suite struct CBORTests {
    @Test(
        "what promises more than is there, is deeper than it need be, or says a key twice, is refused before it costs anything",
        arguments: [
            "9bffffffffffffffff", "bbffffffffffffffff", "5bffffffffffffffff", "9b0000000100000000", "ba00ffffff", "9f01ff", "5f4101ff",
            "bf0102ff",
            "818181818181818181818101", "a201020103", "1c", "1f", "ff", "c001", "f97e00", "fb3ff0000000000000", "62ff", "62fffe", "18", "",
            "0102", "a1",
        ])
    func refused(hex: String) {
        let bytes = Data(
            stride(from: 0, to: hex.count, by: 2).compactMap { offset -> UInt8? in
                let start = hex.index(hex.startIndex, offsetBy: offset)
                return UInt8(hex[start..<hex.index(start, offsetBy: 2)], radix: 16)
            })
        #expect(throws: CBOR.Malformed.self) { try CBOR.decode(bytes) }
    }

    @Test("what is written is read")
    func roundTrip() throws {
        let item = CBORItem.map([
            (.int(-70_00), .array([.int(0), .int(23), .int(24), .int(255), .int(256), .int(-1), .int(-25)])), (.text("ä"), .bool(true)),
            (.int(1), .bytes(Data(repeating: 5, count: 300))),
        ])
        let value = try CBOR.decode(item.encoded)
        #expect(value[-70_00]?.array?.map(\.int) == [0, 23, 24, 255, 256, -1, -25])
        #expect(value["ä"]?.bool == true)
        #expect(value[1]?.bytes?.count == 300)
        #expect(try CBOR.bytes(of: "ä", in: item.encoded) == Data([0xF5]))
        let (_, length) = try CBOR.decodeFirst(item.encoded + Data([1, 2, 3]))
        #expect(length == item.encoded.count)
    }
}
