import Contracts
import DevStack
import Foundation
import GatewayService
import Postgres
import Redis
import ServiceKit
import TestKit
import Testing

@testable import AuthService

/// A gateway in front of this auth and users, with nothing behind its other routes: `GET /api/v1/search` answers 401 when the gateway
/// itself refuses the caller, and 503 when it lets them through.
struct Gate: Sendable {
    let host: TestHost

    static func open(_ stack: AuthStack, auth: TestHost? = nil, _ settings: [String: String] = [:]) async throws -> Gate {
        let auth = auth ?? stack.auth
        var environment = [
            "TRIONEX_AUTH_URL": auth.url, "TRIONEX_USERS_URL": stack.users.url, "TRIONEX_SEARCH_URL": "http://127.0.0.1:1",
            "TRIONEX_SERVICE_SECRET": AuthStack.secret, "TRIONEX_JWKS": auth.url + "/.well-known/jwks.json",
            "TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "1000000", "TRIONEX_LIMIT_ADDRESS_PER_MINUTE": "1000000",
            "TRIONEX_LIMIT_BAD_KEYS_PER_MINUTE": "1000000",
        ]
        environment.merge(settings) { $1 }
        return Gate(host: try await TestHost.start(Gateway.self, environment: environment))
    }

    func letsIn(_ credential: String) async throws -> Bool {
        let answer = try await host.client(token: credential).get("/api/v1/search?q=x")
        guard [401, 503].contains(answer.status) else { throw Unexpected(answer: "\(answer.status) \(answer.text)") }
        return answer.status == 503
    }
}

/// Something that ends, and the credential that ends with it.
enum Ending: String, CaseIterable, CustomTestStringConvertible {
    case logout, memberRemoved, memberSuspended, rightsChanged, organizationSuspended, organizationDeleted, apiKeyRevoked, ownerRemoved
    case impersonationEnded

    var testDescription: String { rawValue }

    struct Prepared: Sendable {
        let credential: String
        let end: @Sendable () async throws -> Int
    }

    func prepare(_ stack: AuthStack, at auth: TestHost) async throws -> Prepared {
        let person = try await stack.register(at: auth), owner = auth.client(token: person.access)
        let program = try await stack.program(.users, of: auth)
        func rights(_ reason: SessionEnding.Reason, ofPerson: Bool = true, _ credential: String? = nil) -> Prepared {
            var body: [String: JSONValue] = ["tenant": .string(person.tenant.description), "reason": .string(reason.rawValue)]
            if ofPerson { body["user"] = .string(person.user.description) }
            return Prepared(credential: credential ?? person.access) { [body] in
                try await program.post("/internal/v1/sessions/end", .object(body)).status
            }
        }
        switch self {
        case .logout: return Prepared(credential: person.access) { try await owner.post("/api/v1/auth/logout").status }
        case .memberRemoved: return rights(.memberRemoved)
        case .memberSuspended: return rights(.memberSuspended)
        case .rightsChanged: return rights(.rightsChanged)
        case .organizationSuspended: return rights(.organizationSuspended, ofPerson: false)
        case .organizationDeleted: return rights(.organizationDeleted, ofPerson: false)
        case .ownerRemoved: return rights(.memberRemoved, try await MadeKey.make(owner).key)
        case .apiKeyRevoked:
            let made = try await MadeKey.make(owner)
            return Prepared(credential: made.key) { try await owner.delete("/api/v1/auth/api-keys/\(made.id)").status }
        case .impersonationEnded:
            let token = try await Impersonator(stack).begin(person, at: auth)["accessToken"].string ?? ""
            return Prepared(credential: token) { try await auth.client(token: token).delete("/api/v1/auth/impersonate").status }
        }
    }
}

@Suite(.serialized) struct RevocationTests {
    private static let running = Task {
        let stack = try await AuthStack.shared.value
        return [try await Gate.open(stack), try await Gate.open(stack)]
    }

    @Test(
        "what ends is refused by three gateways within two seconds, one of which was away when it ended", arguments: Ending.allCases)
    func threeGateways(ending: Ending) async throws {
        let stack = try await AuthStack.shared.value
        let prepared = try await ending.prepare(stack, at: stack.auth)
        let gates = try await Self.running.value, away = try await Gate.open(stack)
        for gate in gates + [away] { #expect(try await gate.letsIn(prepared.credential)) }
        try await away.host.stop()
        #expect(try await prepared.end() == 204)
        try await refused(prepared.credential, by: gates, since: .now)
        // It comes back, and knows no less than the others.
        let back = try await Gate.open(stack)
        try await refused(prepared.credential, by: [back], since: .now)
        try await back.host.stop()
    }

    @Test("the same with Redis stopped: the gateways ask auth, also those that start only then")
    func withoutRedis() async throws {
        let stack = try await AuthStack.shared.value
        let scratch = try ScratchDirectory("trionex-revocation-tests")
        defer { scratch.remove() }
        let redis = try await RedisServer.start(in: scratch.path, port: try Ports.free(), persistent: false)
        let settings = ["TRIONEX_REDIS_URL": redis.url]
        let auth = try await stack.another(settings)
        var gates = [try await Gate.open(stack, auth: auth, settings), try await Gate.open(stack, auth: auth, settings)]
        var prepared: [Ending.Prepared] = []
        for ending in Ending.allCases { prepared.append(try await ending.prepare(stack, at: auth)) }
        for gate in gates { for one in prepared { #expect(try await gate.letsIn(one.credential)) } }
        await redis.stop()
        for one in prepared { #expect(try await one.end() == 204) }
        for one in prepared { try await refused(one.credential, by: gates, since: .now) }
        gates.append(try await Gate.open(stack, auth: auth, settings))
        for one in prepared { try await refused(one.credential, by: [gates[2]], since: .now) }

        // With Redis back, and empty, everything is as it was, also for whoever reads it now for the first time.
        let again = try await RedisServer.start(in: scratch.path, port: redis.port, persistent: false)
        let late = try await Gate.open(stack, auth: auth, settings)
        for one in prepared { try await refused(one.credential, by: [late], since: .now) }
        let living = try await stack.register(at: auth)
        for gate in gates + [late] { #expect(try await gate.letsIn(living.access)) }
        for gate in gates + [late] { try await gate.host.stop() }
        try await auth.stop()
        await again.stop()
    }

    @Test("what Redis has forgotten, a program that starts learns from auth")
    func forgotten() async throws {
        let stack = try await AuthStack.shared.value
        let prepared = try await Ending.memberRemoved.prepare(stack, at: stack.auth)
        #expect(try await prepared.end() == 204)
        let scratch = try ScratchDirectory("trionex-revocation-tests")
        defer { scratch.remove() }
        let empty = try await RedisServer.start(in: scratch.path, port: try Ports.free(), persistent: false)
        let gate = try await Gate.open(stack, ["TRIONEX_REDIS_URL": empty.url])
        try await refused(prepared.credential, by: [gate], since: .now)
        try await gate.host.stop()
        await empty.stop()
    }

    @Test("every program that asks is told of all that ended since, and of nothing that no living token can be of")
    func list() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let program = try await stack.program(.gateway, of: stack.auth)
        let before = Date()
        _ = try await stack.auth.client(token: person.access).post("/api/v1/auth/logout")
        let session = try #require(TokenParts.claims(person.access)["sid"].string)
        func subjects(since: Date?) async throws -> [String] {
            let query = since.map { "?since=\(Timestamp.text($0))" } ?? ""
            let answer = try await program.get("/internal/v1/revocations\(query)")
            #expect(answer.status == 200)
            return answer["endings"].array.compactMap { $0["subject"].string }
        }
        #expect(try await subjects(since: nil).contains("s:\(session)"))
        #expect(try await subjects(since: before.addingTimeInterval(-1)).contains("s:\(session)"))
        #expect(try await !subjects(since: Date().addingTimeInterval(60)).contains("s:\(session)"))
        let caller = Caller.service(.auth, for: person.tenant), past = Date().addingTimeInterval(-7_300)
        try await stack.auth.database.execute("UPDATE sessions SET revoked_at = \(past)", as: caller)
        #expect(try await !subjects(since: nil).contains("s:\(session)"))
        #expect(try await stack.auth.client(token: person.access).get("/internal/v1/revocations").status == 401)
    }

    /// Long before the tokens expire; how long it takes is measured by make bench.
    private func refused(_ credential: String, by gates: [Gate], since start: ContinuousClock.Instant) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for gate in gates {
                group.addTask {
                    try await gate.host.eventually("the gateway refuses") { try await !gate.letsIn(credential) }
                }
            }
            try await group.waitForAll()
        }
        #expect(ContinuousClock.now - start < .seconds(30))
    }
}
