import AuthService
import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit
import Synchronization
import TestKit
import UsersService

/// auth and users in this process, on the real servers, with one key ring between them: users trusts the keys that auth signs with.
struct AuthStack: Sendable {
    let auth: TestHost
    let users: TestHost
    let keys: KeyRing
    let keyDirectory: String

    static let secret = "the secret of the tests' platform"
    /// Cheap hashes: what a real one costs is the business of PasswordTests.
    /// All tests fail from one address: its range is shut in LockOutTests alone. Nobody takes letters: `LetterBox` reads them.
    static let cheap = [
        "TRIONEX_AUTH_ARGON2_MEMORY_KIB": "64", "TRIONEX_AUTH_ARGON2_PASSES": "1", "TRIONEX_SERVICE_SECRET": secret,
        "TRIONEX_AUTH_LOCKOUT_NETWORK_FAILURES": "1000000", "TRIONEX_NOTIFICATIONS_URL": "http://127.0.0.1:1",
    ]
    /// Shared by the tests that need no settings of their own.
    static let shared = Task { try await start() }

    /// An auth whose users answers 503 to everything: it has no keys to tell anybody apart with.
    static let withoutUsers = Task {
        let users = try await TestHost.start(Users.self, environment: ["TRIONEX_JWKS": "/nonexistent/jwks.json"], following: false)
        return try await shared.value.another(["TRIONEX_USERS_URL": users.url])
    }

    /// A users that knows where this auth is: it asks it for the ids of those whom it invites.
    static let invitingUsers = Task {
        let stack = try await shared.value
        return try await TestHost.start(
            Users.self,
            environment: [
                "TRIONEX_JWKS": stack.keyDirectory + "/jwks.json", "TRIONEX_AUTH_URL": stack.auth.url, "TRIONEX_SERVICE_SECRET": secret,
                "TRIONEX_NOTIFICATIONS_URL": "http://127.0.0.1:1",
            ], following: false)
    }

    private static func start() async throws -> AuthStack {
        let directory = NSTemporaryDirectory() + "trionex-auth-keys-\(UUID().uuidString)"
        let keys = try KeyRing.open(directory, sealing: try await sealing(), logger: .silent)
        let jwks = directory + "/jwks.json"
        try keys.document.write(to: URL(filePath: jwks))
        let users = try await TestHost.start(Users.self, environment: ["TRIONEX_JWKS": jwks])
        let auth = try await TestHost.start(
            Auth.self, environment: cheap.merging(["TRIONEX_AUTH_KEY_DIRECTORY": directory, "TRIONEX_USERS_URL": users.url]) { $1 })
        return AuthStack(auth: auth, users: users, keys: keys, keyDirectory: directory)
    }

    /// What the programs of this test process seal with.
    static func sealing() async throws -> Sealing {
        let environment = try await TestServers.shared.value.environment(for: "auth")
        guard let sealing = environment["TRIONEX_SEALING_KEY"].flatMap({ Sealing(keys: $0) }) else { throw Unexpected(answer: "no key") }
        return sealing
    }

    /// Another auth on the same database, keys and users, with some settings different; the events are the first one's business.
    func another(_ settings: [String: String]) async throws -> TestHost {
        try await TestHost.start(
            Auth.self,
            environment: Self.cheap.merging(["TRIONEX_AUTH_KEY_DIRECTORY": keyDirectory, "TRIONEX_USERS_URL": users.url]) { $1 }
                .merging(settings) { $1 },
            following: false)
    }

    /// A client that is another of the platform's programs, with a token of the real keys.
    func program(_ name: ServiceName, of host: TestHost) async throws -> TestClient {
        host.client(token: try await keys.sign(AccessClaims(service: name, issuedAt: Date(), lifetime: 600)))
    }

    /// Registers somebody new.
    func register(_ person: Newcomer = Newcomer(), at host: TestHost? = nil) async throws -> SignedInPerson {
        let response = try await (host ?? auth).client(token: nil).post("/api/v1/auth/register", person.registration)
        return try SignedInPerson(person, response)
    }
}

/// Somebody who has no account yet.
struct Newcomer: Sendable {
    let email: String
    let password: String
    let slug: String
    var name = "Analytical Engines"

    init() {
        let mark = UUID().uuidString.lowercased().prefix(13)
        email = "ada.\(mark)@example.org"
        password = "a very good secret \(mark)"
        slug = "engines-\(mark)"
    }

    var registration: JSONValue {
        [
            "email": .string(email), "password": .string(password), "firstName": "Ada", "lastName": "Lovelace",
            "organization": ["name": .string(name), "slug": .string(slug)], "consents": ["gdpr": true, "marketing": false],
        ]
    }

    var signIn: JSONValue { ["email": .string(email), "password": .string(password)] }
}

/// What registering and signing in gave.
struct SignedInPerson: Sendable {
    let newcomer: Newcomer
    let status: Int
    let answer: JSONValue
    let access: String
    let refresh: String
    let user: UserID
    let tenant: TenantID

    init(_ newcomer: Newcomer, _ response: TestResponse) throws {
        guard response.status == 201 || response.status == 200, let access = response["accessToken"].string,
            let refresh = response["refreshToken"].string, let user = response["user"]["id"].string.flatMap({ UserID($0) }),
            let tenant = response["organization"]["id"].string.flatMap({ TenantID($0) })
        else { throw Unexpected(answer: "\(response.status) \(response.text)") }
        self.newcomer = newcomer
        status = response.status
        answer = response.json
        self.access = access
        self.refresh = refresh
        self.user = user
        self.tenant = tenant
    }
}

struct Unexpected: Error, CustomStringConvertible {
    let answer: String
    var description: String { "unexpected answer: \(answer)" }
}

extension Logger {
    static var silent: Logger { Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() } }
}

/// The parts of a token, unverified.
enum TokenParts {
    static func header(_ token: String) -> JSONValue { part(0, token) }
    static func claims(_ token: String) -> JSONValue { part(1, token) }

    private static func part(_ index: Int, _ token: String) -> JSONValue {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let data = Base64URL.decode(String(parts[index])) else { return .null }
        return (try? JSON.decode(JSONValue.self, from: data)) ?? .null
    }
}
