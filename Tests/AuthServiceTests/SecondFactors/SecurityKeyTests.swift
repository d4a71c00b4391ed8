import Contracts
import Crypto
import CryptoExtras
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct SecurityKeyRegistrationTests {
    @Test("the options are those of WebAuthn's JSON forms, name us and the account, and exclude what is registered")
    func options() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        let options = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn"])["publicKey"]
        #expect(options["rp"] == ["id": "localhost", "name": "Trionex"])
        #expect(options["user"]["name"].string == desk.person.newcomer.email)
        #expect(options["user"]["displayName"] == "Ada Lovelace")
        let handle = try #require(options["user"]["id"].string.flatMap { Base64URL.decode($0) })
        #expect((1...64).contains(handle.count) && handle.range(of: Data("ada".utf8)) == nil)
        let challenge = try #require(options["challenge"].string.flatMap { Base64URL.decode($0) })
        #expect(challenge.count >= 16)
        #expect(options["pubKeyCredParams"].array.map { $0["alg"].int } == [-7, -8, -257])
        #expect(options["attestation"] == "none")
        #expect(options["timeout"] == 300_000)
        #expect(options["excludeCredentials"].array.map { $0["id"].string } == [Base64URL.encode(authenticator.credentialID)])
        #expect(options["excludeCredentials"][0]["transports"] == ["internal", "hybrid"])
        let again = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn"])["publicKey"]["challenge"]
        #expect(again != options["challenge"])
    }

    @Test(
        "keys of the three algorithms, with no attestation and with packed ones, are registered and sign in",
        arguments: ["es256", "edDSA", "rs256"], ["none", "self", "basic"])
    func algorithms(algorithm: String, attestation: String) async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        switch algorithm {
        case "edDSA": authenticator.key = .edDSA(Curve25519.Signing.PrivateKey())
        case "rs256": authenticator.key = .rs256(try _RSA.Signing.PrivateKey(keySize: .bits2048))
        default: break
        }
        let statement: SoftwareAuthenticator.Statement =
            attestation == "none" ? .none : attestation == "self" ? .selfSigned : .certified(model: authenticator.model)
        let confirmed = try await desk.addKey(&authenticator, statement)
        #expect(confirmed.status == 200, "\(confirmed.text)")
        #expect(confirmed["factor"]["name"] == "Test key")
        let id = authenticator.credentialID
        let stored = try await desk.database.first(
            Query<String>("SELECT attestation FROM security_keys WHERE credential_id = \(id)", column: "attestation"),
            as: AccountStore.caller)
        #expect(stored == attestation)

        let token = try await desk.mfaToken()
        let credential = try authenticator.assert(try await desk.keyOptions(token))
        let answer = try await desk.verify(["mfaToken": token, "method": "webauthn", "credential": credential])
        #expect(answer.status == 200, "\(answer.text)")
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "hwk"])
    }

    @Test("extensions that a browser adds of its own accord do no harm")
    func extensions() async throws {
        let desk = try await FactorDesk.open()
        for statement in [SoftwareAuthenticator.Statement.none, .selfSigned] {
            var authenticator = SoftwareAuthenticator()
            authenticator.extensions = .map([(.text("credProtect"), .int(2)), (.text("hmac-secret"), .bool(true))])
            let answer = try await desk.addKey(&authenticator, statement)
            #expect(answer.status == 200, "\(answer.text)")
        }
    }

    /// What is told to go wrong with a registration.
    enum Lie: String, CaseIterable {
        case foreignOrigin, subdomainOrigin, crossOrigin, foreignRelyingParty, nobodyPresent, foreignChallenge, wrongType
        case forgedSignature, filledNone, otherFormat, otherModel, backedUpButNotEligible, noAttestedKey, otherCredentialID, otherCurve
        case trailingBytes
    }

    @Test("a registration that lies in any one thing is refused, and leaves no factor", arguments: Lie.allCases)
    func refused(lie: Lie) async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        var options = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn"])["publicKey"]
        var statement = SoftwareAuthenticator.Statement.selfSigned
        var type = "webauthn.create"
        switch lie {
        case .foreignOrigin: authenticator.origin = "https://evil.example"
        case .subdomainOrigin: authenticator.origin = "http://login.localhost:8080"
        case .crossOrigin: authenticator.crossOrigin = true
        case .foreignRelyingParty: authenticator.relyingParty = "evil.example"
        case .nobodyPresent: authenticator.flags = 0x04
        case .foreignChallenge:
            // Another account's.
            let other = try await FactorDesk.open()
            options = try await other.signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn"])["publicKey"]
        case .wrongType: type = "webauthn.get"
        case .forgedSignature: statement = .forged
        case .filledNone: statement = .filled
        case .otherFormat: statement = .otherFormat
        case .otherModel: statement = .certified(model: UUID())
        case .backedUpButNotEligible: authenticator.flags = 0x15
        case .noAttestedKey, .otherCredentialID, .otherCurve, .trailingBytes: break
        }
        var credential = try authenticator.register(options, statement, type: type)
        if let object = credential["response"]["attestationObject"].string.flatMap({ Base64URL.decode($0) }) {
            credential = try Self.changed(credential, object, lie)
        }
        let answer = try await desk.signedIn.post("/api/v1/auth/mfa/verify", ["method": "webauthn", "credential": credential])
        #expect(answer.status == 401 && answer.problem == "invalid-credential", "\(answer.text)")
        #expect(try await desk.signedIn.get("/api/v1/auth/mfa")["data"].array.isEmpty)
        let entries = try await desk.audit("auth.second-factor.verify")
        #expect(entries.count == 1 && entries[0]["outcome"] == "refused" && entries[0]["changed"]["check"].string != nil)
    }

    /// Lies that are told in the bytes.
    private static func changed(_ credential: JSONValue, _ object: Data, _ lie: Lie) throws -> JSONValue {
        guard case .object(var members) = credential, case .object(var response) = credential["response"],
            let data = try CBOR.decode(object)["authData"]?.bytes
        else { throw Unexpected(answer: "no credential") }
        func replace(_ data: Data) {
            let changed = CBORItem.map([(.text("fmt"), .text("none")), (.text("attStmt"), .map([])), (.text("authData"), .bytes(data))])
            response["attestationObject"] = .string(Base64URL.encode(changed.encoded))
        }
        switch lie {
        case .noAttestedKey:
            var head = Data(data.prefix(37))
            head[32] &= ~0x40
            replace(head)
        case .otherCredentialID: members["id"] = .string(Base64URL.encode(Data(repeating: 7, count: 32)))
        case .otherCurve:
            // ES256 over another curve than P-256.
            var changed = data
            guard let at = changed.range(of: Data([0x20, 0x01, 0x21])) else { throw Unexpected(answer: "no curve") }
            changed[at.lowerBound + 1] = 2
            replace(changed)
        case .trailingBytes: replace(data + Data([0]))
        default: return credential
        }
        if lie == .otherCredentialID { members["rawId"] = members["id"] }
        members["response"] = .object(response)
        return .object(members)
    }

    @Test("a challenge is answered once, even by the same answer")
    func replay() async throws {
        let desk = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        let setup = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn"])
        let credential = try authenticator.register(setup["publicKey"])
        let body: JSONValue = ["method": "webauthn", "credential": credential]
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/verify", body).status == 200)
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/verify", body).problem == "invalid-credential")
        #expect(try await desk.signedIn.get("/api/v1/auth/mfa")["data"].array.count == 1)
    }

    @Test("one key is registered once on the platform, whoever asks")
    func known() async throws {
        let desk = try await FactorDesk.open(), other = try await FactorDesk.open()
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).status == 200)
        for client in [desk, other] {
            let answer = try await client.addKey(&authenticator)
            #expect(answer.status == 409 && answer.problem == "key-already-registered")
        }
        #expect(try await other.signedIn.get("/api/v1/auth/mfa")["data"].array.isEmpty)
    }

    @Test("an account can have several keys, each with its name, up to twenty")
    func several() async throws {
        let desk = try await FactorDesk.open()
        for _ in 0..<SecondFactorMethod.webauthn.limit {
            var authenticator = SoftwareAuthenticator()
            #expect(try await desk.addKey(&authenticator).status == 200)
        }
        var authenticator = SoftwareAuthenticator()
        #expect(try await desk.addKey(&authenticator).problem == "too-many-factors")
    }

    @Test("a challenge expires, opens for its purpose, and cannot be made by others")
    func challenges() throws {
        let sealing = try #require(Sealing(keys: Data(repeating: 1, count: 32).base64EncodedString()))
        let foreign = try #require(Sealing(keys: Data(repeating: 2, count: 32).base64EncodedString()))
        let party = WebAuthnRelyingParty(
            id: "localhost", name: "Test", origins: ["http://localhost"], attestation: "none", sealing: sealing)
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let challenge = WebAuthnChallenge(.stepUp, account: .make(), occasion: UUID(), at: now)
        func answered(_ sealing: Sealing, _ purpose: WebAuthnChallenge.Purpose, after seconds: TimeInterval) throws {
            let sealed = Base64URL.encode(try challenge.sealed(with: sealing))
            let client = Data(#"{"type":"webauthn.get","challenge":"\#(sealed)","origin":"http://localhost"}"#.utf8)
            let answer = try party.challenge(
                answered: client, type: "webauthn.get", purpose: purpose, now: now.addingTimeInterval(seconds))
            #expect(answer.challenge == challenge)
        }
        try answered(sealing, .stepUp, after: WebAuthnChallenge.lifetime - 1)
        #expect(throws: WebAuthnFailure(.challenge)) { try answered(sealing, .stepUp, after: WebAuthnChallenge.lifetime) }
        #expect(throws: WebAuthnFailure(.challenge)) { try answered(sealing, .secondFactor, after: 1) }
        #expect(throws: WebAuthnFailure(.challenge)) { try answered(foreign, .stepUp, after: 1) }
    }

    @Test("a loopback address is known as localhost, since a key cannot be for a number")
    func relyingParty() {
        #expect(WebAuthnRelyingParty.usualID(of: "http://127.0.0.1:8080") == "localhost")
        #expect(WebAuthnRelyingParty.usualOrigins(of: "http://127.0.0.1:8080") == ["http://127.0.0.1:8080", "http://localhost:8080"])
        #expect(WebAuthnRelyingParty.usualID(of: "https://app.example.org") == "app.example.org")
        #expect(WebAuthnRelyingParty.usualOrigins(of: "https://app.example.org") == ["https://app.example.org"])
    }
}
