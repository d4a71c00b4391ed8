import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit

@testable import AuthService

/// An organization with a domain of its own and a connection to an issuer of its own.
struct SSOCompany: Sendable {
    let stack: AuthStack
    let host: TestHost
    let domain: String
    let owner: SignedInPerson
    let issuer: SSOIssuer
    let connection: String

    /// An auth that takes issuers on this machine, under an address of the open internet.
    static let host = Task {
        try await AuthStack.shared.value.another(["TRIONEX_PUBLIC_URL": SSOBrowser.publicURL, "TRIONEX_AUTH_SSO_PRIVATE_ISSUERS": "true"])
    }

    var client: TestClient { host.client(token: owner.access) }
    var start: String { "\(SSOBrowser.publicURL)/api/v1/auth/sso/\(connection)/start" }
    var callback: String { "\(SSOBrowser.publicURL)/api/v1/auth/sso/\(connection)/callback" }

    /// - Parameters:
    ///   - owns: whether the organization has verified its domain.
    ///   - settings: put over the usual ones of the connection.
    static func found(
        owns: Bool = true, _ behaviour: SSOIssuer.Behaviour = .init(), settings: [String: JSONValue] = [:]
    ) async throws -> SSOCompany {
        let stack = try await AuthStack.shared.value, host = try await Self.host.value
        let domain = "corp-\(UUID().uuidString.lowercased().prefix(13)).example"
        let owner = try await register("owner@\(domain)", at: host)
        let issuer = try await SSOIssuer.start(behaviour)
        if owns { try await own(domain, owner.tenant, stack) }
        var draft: [String: JSONValue] = [
            "name": "Corporate sign-in", "preset": "oidc", "issuer": .string(issuer.url), "clientId": "trionex",
            "domains": [.string(domain)],
            "clientSecret": .string(SSOIssuer.secret), "joins": true, "defaultRole": "viewer",
        ]
        draft.merge(settings) { $1 }
        let made = try await host.client(token: owner.access).post("/api/v1/auth/sso/connections", .object(draft))
        guard made.status == 201, let id = made["id"].string else { throw Unexpected(answer: "\(made.status) \(made.text)") }
        return SSOCompany(stack: stack, host: host, domain: domain, owner: owner, issuer: issuer, connection: id)
    }

    /// What happens when its owner publishes the record that users asks for.
    static func own(_ domain: String, _ tenant: TenantID, _ stack: AuthStack) async throws {
        try await stack.users.database.execute(
            "UPDATE organizations SET domain = \(domain), domain_verified_at = now() WHERE tenant_id = \(tenant)",
            as: .service(.users, for: tenant))
    }

    static func register(_ email: String, at host: TestHost, verified: Bool = true) async throws -> SignedInPerson {
        let newcomer = Newcomer()
        let response = try await host.client(token: nil).post(
            "/api/v1/auth/register", ["email": .string(email), "password": .string(newcomer.password)])
        let person = try SignedInPerson(newcomer, response)
        if verified {
            try await host.database.execute(
                "UPDATE accounts SET email_verified_at = now() WHERE id = \(person.user)", as: .anonymous(in: .platform))
        }
        return person
    }

    /// The issuer's person from now on.
    func person(_ email: String, verified: Bool = true, sub: String = UUID().uuidString) {
        issuer.behave {
            $0.sub = sub
            $0.claims["email"] = .string(email)
            $0.claims["email_verified"] = .bool(verified)
        }
    }

    /// Somebody new of the organization's domain.
    func newcomer() -> String {
        let email = "ada.\(UUID().uuidString.lowercased().prefix(8))@\(domain)"
        person(email)
        return email
    }

    /// Makes somebody a member, as an invitation would.
    func admit(_ user: UserID, _ email: String, role: String = "viewer") async throws {
        let users = try await stack.program(.auth, of: stack.users)
        let response = try await users.put(
            "/internal/v1/organizations/\(owner.tenant)/members/\(user)", ["email": .string(email), "role": .string(role)])
        guard response.status == 200 else { throw Unexpected(answer: "\(response.status) \(response.text)") }
    }

    func exchange(_ code: String?, verifier: String? = nil) async throws -> TestResponse {
        var body: [String: JSONValue] = ["code": .string(code ?? "")]
        if let verifier { body["codeVerifier"] = .string(verifier) }
        return try await host.client(token: nil).post("/api/v1/auth/sso/token", .object(body))
    }

    /// The whole way, to tokens.
    func signIn(_ browser: SSOBrowser? = nil) async throws -> SignedInPerson {
        let end = try await (browser ?? SSOBrowser(host)).signIn(start)
        guard let code = end.code else { throw Unexpected(answer: end.location) }
        return try SignedInPerson(owner.newcomer, try await exchange(code))
    }

    /// The whole way, to a refusal.
    func refusal() async throws -> String? { try await SSOBrowser(host).signIn(start).error }

    /// The organization's audit of sign-ins with others.
    func audited(_ action: String) async throws -> [JSONValue] {
        try await host.outbox(owner.tenant).filter { $0.type == AuditEntryRecorded.type && $0.payload["action"].string == action }.map(
            \.payload)
    }
}
