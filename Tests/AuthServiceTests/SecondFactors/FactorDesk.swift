import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit

@testable import AuthService

/// Somebody who registers, sets up factors and signs in with them, over HTTP.
struct FactorDesk {
    let stack: AuthStack
    let host: TestHost
    let person: SignedInPerson

    static func open(at host: TestHost? = nil) async throws -> FactorDesk {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(at: host)
        try await stack.auth.database.execute(
            "UPDATE accounts SET email_verified_at = now() WHERE id = \(person.user)", as: AccountStore.caller)
        return FactorDesk(stack: stack, host: host ?? stack.auth, person: person)
    }

    var signedIn: TestClient { host.client(token: person.access) }
    var nobody: TestClient { host.client(token: nil) }
    var database: Database { host.database }

    // MARK: - Setting up

    /// Begins and confirms an authenticator app. Its key, and the answer.
    func addApp(_ client: TestClient? = nil) async throws -> (key: Data, answer: TestResponse) {
        let client = client ?? signedIn
        let setup = try await client.post("/api/v1/auth/mfa/setup", ["method": "totp"])
        guard let secret = setup["secret"].string, let key = Base32Text.decode(secret) else { throw Unexpected(answer: setup.text) }
        let code = TOTP.code(key: key, step: TOTP.step(at: Date()))
        return (key, try await client.post("/api/v1/auth/mfa/verify", ["method": "totp", "code": .string(code)]))
    }

    func addKey(_ authenticator: inout SoftwareAuthenticator, _ statement: SoftwareAuthenticator.Statement = .none) async throws
        -> TestResponse
    {
        let setup = try await signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn", "name": "Test key"])
        guard setup.status == 200 else { return setup }
        let credential = try authenticator.register(setup["publicKey"], statement)
        return try await signedIn.post("/api/v1/auth/mfa/verify", ["method": "webauthn", "credential": credential])
    }

    // MARK: - Signing in

    func logIn() async throws -> TestResponse { try await nobody.post("/api/v1/auth/login", person.newcomer.signIn) }

    /// The token of a sign-in that waits for a factor.
    func mfaToken() async throws -> JSONValue {
        let answer = try await logIn()
        guard answer.status == 200, answer["mfaRequired"] == true, let token = answer["mfaToken"].string else {
            throw Unexpected(answer: "\(answer.status) \(answer.text)")
        }
        return .string(token)
    }

    func verify(_ members: [String: JSONValue]) async throws -> TestResponse {
        try await nobody.post("/api/v1/auth/mfa/verify", .object(members))
    }

    /// Options of a security key, for a sign-in that waits.
    func keyOptions(_ token: JSONValue) async throws -> JSONValue {
        try await nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "webauthn"])["publicKey"]
    }

    // MARK: - Behind the scenes

    /// Letters that are on their way, oldest first: to the account's address unless another is named.
    func letters(to recipient: String? = nil, _ template: String) async throws -> [Letter] {
        try await LetterBox(host: host).letters(to: recipient ?? person.newcomer.email, template)
    }

    func lastCode(to address: String? = nil) async throws -> String {
        guard let code = try await letters(to: address, "sign-in-code").last?.data["code"] else {
            throw Unexpected(answer: "no code was sent")
        }
        return code
    }

    /// What the audit says of the account, with the action: the entries' payloads.
    func audit(_ action: String) async throws -> [JSONValue] {
        let account = person.user.description
        return try await host.outbox(.platform).filter {
            $0.type == AuditEntryRecorded.type && $0.payload["action"].string == action
                && ($0.payload["actor"].string == "person:\(account)" || $0.payload["resourceID"].string == account)
        }.map(\.payload)
    }

    func announced<E: Event>(_ type: E.Type) async throws -> [JSONValue] {
        let user = person.user.description
        return try await host.outbox(.platform).filter { $0.type == E.type && $0.payload["userID"].string == user }.map(\.payload)
    }

    /// Makes the last code as old as is needed for another to be sent.
    func forgetSending() async throws {
        let user = person.user
        try await database.execute(
            "UPDATE second_factor_limits SET last_sent_at = last_sent_at - interval '60 seconds' WHERE account_id = \(user)",
            as: AccountStore.caller)
    }

    /// Whether the organization demands a second factor of its members.
    func demandSecondFactor(_ demanded: Bool = true) async throws {
        let settings = JSONB<JSONValue>(["requireSecondFactor": .bool(demanded)])
        try await stack.users.database.execute(
            "UPDATE organizations SET settings = settings || \(settings)", as: .service(.users, for: person.tenant))
    }

    /// Makes the session's proof of identity too old for what needs a recent one.
    func age() async throws -> TestClient {
        let claims = TokenParts.claims(person.access)
        guard let session = claims["sid"].string.flatMap({ SessionID($0) }) else { throw Unexpected(answer: "no session") }
        let token = try await stack.keys.sign(
            AccessClaims(
                user: person.user, session: session, tenant: person.tenant, roles: ["owner"], permissions: ["*"], plan: "starter",
                amr: ["pwd"], issuedAt: Date(), lifetime: 900, authTime: Date().addingTimeInterval(-TimeInterval(Access.recentSeconds) - 5))
        )
        return host.client(token: token)
    }
}

/// Base32 back into bytes, for the key that a person would type in.
enum Base32Text {
    static func decode(_ text: String) -> Data? {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        var held = 0, bits = 0
        var bytes = Data()
        for character in text {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            held = held << 5 | value
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(held >> bits & 0xFF))
                held &= (1 << bits) - 1
            }
        }
        return bytes
    }
}
