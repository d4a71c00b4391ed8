import AuthService
import Contracts
import Foundation
import ServiceKit
import TestKit
import Testing

@Suite struct SweepTests {
    @Test("every endpoint refuses nobody, expired, foreign-signed and unsigned tokens as it should")
    func sweep() async throws {
        let stack = try await AuthStack.shared.value
        // The stranger of the sweep has a token, but neither an organization nor a session, which these look for first.
        try await EndpointSweep.check(
            stack.auth, skipForeign: ["DELETE /api/v1/auth/mfa/{id}", "POST /api/v1/auth/organizations/{id}/switch"],
            signedBy: { try await stack.keys.sign($0) })
    }

    @Test("tokens of the right form by our own keys, but expired, unsigned or with HMAC, are refused")
    func forged() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let parts = person.access.split(separator: ".").map(String.init)
        func header(_ algorithm: String) -> String {
            Base64URL.encode(Data(#"{"alg":"\#(algorithm)","typ":"JWT","kid":"\#(stack.keys.keyID)"}"#.utf8))
        }
        let session = try #require(TokenParts.claims(person.access)["sid"].string.flatMap { SessionID($0) })
        let expired = try await stack.keys.sign(
            AccessClaims(
                user: person.user, session: session, tenant: person.tenant, roles: ["owner"], permissions: ["*"], plan: "starter",
                amr: ["pwd"], issuedAt: Date().addingTimeInterval(-3_600), lifetime: 900))
        let forged = [
            "\(header("none")).\(parts[1]).", "\(header("HS256")).\(parts[1]).\(parts[2])", "\(header("RS512")).\(parts[1]).\(parts[2])",
            "\(parts[0]).\(parts[1]).", "\(parts[0]).\(parts[1]).\(parts[2].dropLast(6))AAAAAA", "\(parts[0]).\(parts[1])", expired,
        ]
        for token in forged {
            #expect(try await stack.auth.client(token: token).get("/api/v1/auth/me").status == 401, "\(token.prefix(40))")
        }
        #expect(try await stack.auth.client(token: person.access).get("/api/v1/auth/me").status == 200)
    }

    @Test("no password, token or secret reaches the log, at any level")
    func silentLog() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_LOG_LEVEL": "trace"])
        let client = host.client(token: nil)
        let newcomer = Newcomer()
        let person = try await stack.register(newcomer, at: host)
        let login = try await client.post("/api/v1/auth/login", newcomer.signIn)
        _ = try await client.post("/api/v1/auth/login", ["email": .string(newcomer.email), "password": "a password that is wrong"])
        _ = try await client.post("/api/v1/auth/register", newcomer.registration)
        let refreshed = try await client.post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)])
        _ = try await client.post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)])
        _ = try await client.post("/internal/v1/service-token", ["service": "gateway", "secret": .string(AuthStack.secret)])
        _ = try await host.client(token: login["accessToken"].string).post("/api/v1/auth/logout")
        let lines = host.log.lines.joined(separator: "\n")
        #expect(lines.contains("/api/v1/auth/login"), "the log is there at all")
        let secrets = [
            newcomer.password, "a password that is wrong", person.access, person.refresh, login["accessToken"].string,
            login["refreshToken"].string, refreshed["accessToken"].string, refreshed["refreshToken"].string, AuthStack.secret, "$argon2id$",
            "BEGIN PRIVATE KEY",
        ]
        for secret in secrets {
            let secret = try #require(secret)
            #expect(!lines.contains(secret), "\(secret.prefix(12))…")
        }
        try await host.stop()
    }

    @Test("no password or token is in an event")
    func silentEvents() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        _ = try await stack.auth.client(token: person.access).post("/api/v1/auth/logout")
        let text = try await stack.auth.outbox(person.tenant).map { "\($0.payload)" }.joined()
        #expect(!text.isEmpty)
        for secret in [person.newcomer.password, person.access, person.refresh, "$argon2id$"] { #expect(!text.contains(secret)) }
    }
}
