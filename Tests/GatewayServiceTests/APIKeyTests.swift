import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Redis
import Synchronization
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

@Suite("API keys at the door")
struct APIKeyTests {
    private static let secret = ["TRIONEX_SERVICE_SECRET": "between-programs"]

    /// A key that the upstream standing in for auth takes.
    private func key(_ id: APIKeyID = .make(), of tenant: TenantID = .make()) -> String { "trx_key.\(id).\(tenant)" }

    private func exchanges(_ town: Town) -> Int { town.rest.seen.list.count { $0 == "exchange" } }

    @Test("A key is as good as a token, in either header; the service gets a token and never the key, and auth is asked once")
    func exchanged() async throws {
        try await Town.with(Self.secret) { town in
            let client = try await town.client(), tenant = TenantID.make(), text = key(of: tenant)
            for headers in [["x-api-key": text], ["authorization": "Bearer \(text)"], ["authorization": "bearer \(text)"]] {
                let answer = try await client.get("/api/v1/content/articles/7", headers: headers)
                #expect(answer.status == 200)
                let sent = try #require(answer["headers"]["authorization"].string)
                #expect(sent.hasPrefix("Bearer eyJ"))
                #expect(answer["headers"]["x-api-key"] == .null)
                #expect(!answer.text.contains("trx_"))
                let caller = try await TokenVerifier(source: .file(try await TestKeys.file()), revocations: nil, logger: quiet)
                    .verify(String(sent.dropFirst(7)))
                #expect(caller.tenant == tenant)
            }
            #expect(exchanges(town) == 1)
            #expect(!town.log.all.contains { $0.contains(text) || $0.contains("trx_key") })
        }
    }

    @Test("Many calls at once with a key nobody knows yet ask auth once")
    func atOnce() async throws {
        try await Town.with(Self.secret) { town in
            let client = try await town.client(), text = key()
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<30 {
                    group.addTask { () async throws -> Int in
                        try await client.get("/api/v1/content/articles/7", headers: ["x-api-key": text]).status
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.allSatisfy { $0 == 200 })
            #expect(exchanges(town) == 1)
        }
    }

    @Test("A token and a key together are refused, and so are two keys: nobody guesses which one counts")
    func twoCredentials() async throws {
        try await Town.with(Self.secret) { town in
            let answer = try await town.client(TestTenant().owner).get("/api/v1/content/articles/7", headers: ["x-api-key": key()])
            #expect(answer.status == 400)
            #expect(answer.problem == "two-credentials")
            let twice = try await rawGet(
                "/api/v1/content/articles/7", ["X-API-Key: \(key())", "X-API-Key: \(key())"], to: town.port)
            #expect(twice.hasPrefix("HTTP/1.1 400"))
            #expect(town.content.seen.list.isEmpty)
            #expect(exchanges(town) == 0)
        }
    }

    @Test("A wrong key is refused, remembered as wrong, and an address that shows many is not let through to auth")
    func guessing() async throws {
        let settings = Self.secret.merging(["TRIONEX_LIMIT_BAD_KEYS_PER_MINUTE": "5", "TRIONEX_TRUSTED_PROXIES": "127.0.0.1"]) { $1 }
        try await Town.with(settings) { town in
            let client = try await town.client()
            func show(_ key: String, from address: String = "198.51.100.1") async throws -> TestResponse {
                try await client.get("/api/v1/content/articles/7", headers: ["x-api-key": key, "x-forwarded-for": address])
            }
            for _ in 0..<3 {
                let answer = try await show("trx_wrong")
                #expect(answer.status == 401)
                #expect(answer.problem == "bad-api-key")
                #expect(answer.headers.first(name: "www-authenticate")?.contains("invalid_token") == true)
            }
            #expect(exchanges(town) == 1, "a key that was just refused is not asked about again")
            for guess in 1...4 { #expect(try await show("trx_guess-\(guess)").status == 401) }
            let limited = try await show("trx_guess-5")
            #expect(limited.status == 429)
            #expect((limited.headers.first(name: "retry-after").flatMap { Int($0) } ?? 0) > 0)
            #expect(exchanges(town) == 5)
            // Somebody else is not kept out by it.
            #expect(try await show(key(), from: "198.51.100.2").status == 200)
            #expect(town.content.seen.list.count == 1)
        }
    }

    @Test("Every key has an allowance of its own")
    func limits() async throws {
        try await Town.with(Self.secret.merging(["TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "2"]) { $1 }) { town in
            let client = try await town.client(), tenant = TenantID.make(), first = key(of: tenant), second = key(of: tenant)
            for expected in [200, 200, 429] {
                #expect(try await client.get("/api/v1/content/articles/7", headers: ["x-api-key": first]).status == expected)
            }
            #expect(try await client.get("/api/v1/content/articles/7", headers: ["x-api-key": second]).status == 200)
        }
    }

    @Test("Where anybody may call, a key is neither looked at nor passed on")
    func publicOperation() async throws {
        try await Town.with(Self.secret) { town in
            let client = try await town.client()
            for headers in [["x-api-key": "trx_wrong"], ["authorization": "Bearer trx_wrong"]] {
                let answer = try await client.get("/api/v1/content/open", headers: headers)
                #expect(answer.status == 200)
                #expect(!answer.text.contains("trx_wrong"))
            }
            #expect(exchanges(town) == 0)
        }
    }

    @Test("While auth and users leave the gateway without an answer, that is a 503 which names who, and not the client's fault")
    func slowNeighbours() async throws {
        let settings = Self.secret.merging(["TRIONEX_PUBLIC_DOMAIN": "example.test"]) { _, own in own }
        try await Town.with(settings) { town in
            let tenant = TenantID.make()
            // Each of three questions is answered in time, all of them together are not.
            town.rest.seen.think(.seconds(4))
            let answer = try await raw(
                "GET /api/v1/content/articles/7 HTTP/1.1\r\nHost: \(TenantID.make()).example.test\r\nConnection: close\r\n"
                    + "X-API-Key: \(key(of: tenant))\r\nX-Tenant-Slug: \(tenant)\r\n\r\n", to: town.port, patience: .seconds(30))
            #expect(answer.hasPrefix("HTTP/1.1 503") && answer.contains("\r\nRetry-After: 2\r\n"), "\(answer)")
            #expect(answer.contains("dependency-unavailable") && answer.contains("(users) did not answer in time"), "\(answer)")
            #expect(!town.content.seen.list.contains { $0.contains("/articles/7") })
        }
    }

    @Test("A revoked key is dead at the door within two seconds, though its token would live on")
    func revoked() async throws {
        try await Town.with(Self.secret) { town in
            let client = try await town.client(), id = APIKeyID.make(), text = key(id)
            func status() async throws -> Int {
                try await client.get("/api/v1/content/articles/7", headers: ["x-api-key": text]).status
            }
            #expect(try await status() == 200)
            town.rest.seen.refuse(text)
            #expect(try await status() == 200, "nobody has said that it is revoked")
            let redis = Redis(try RedisConfiguration(url: town.redis.url), logger: quiet)
            let running = Task { try await redis.run() }
            defer { running.cancel() }
            let revocations = Revocations(redis: redis, logger: quiet)
            try await revocations.revoke([.apiKey(id)], at: Date(), tokensExpire: Date().addingTimeInterval(120))
            let start = ContinuousClock.now
            try await eventually("the key is refused") { try await status() == 401 }
            // A second is what it takes; the room runs many tests at once. The figure itself is measured by make bench.
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }

    @Test("Without a service secret the gateway cannot ask auth: the key goes on to the service, which does")
    func withoutSecret() async throws {
        try await Town.with { town in
            let text = key()
            let answer = try await town.client().get("/api/v1/content/articles/7", headers: ["x-api-key": text])
            #expect(answer.status == 200)
            #expect(answer["headers"]["x-api-key"].string == text)
        }
    }
}

@Suite("Wrong keys by address")
struct KeyGuessTests {
    @Test("An address that has used them up waits until one is there again; its whole IPv6 network does")
    func window() throws {
        let guesses = LimitGuesses(policy: LimitPolicy(name: "bad-keys", quota: 3, window: 60))
        let network = try #require(NetworkAddress("2001:db8::1")).limitSubject
        #expect(network == NetworkAddress("2001:db8::2")?.limitSubject)
        let start = 1_000 * Monotonic.second
        for _ in 0..<3 {
            #expect(guesses.retryAfter(network, now: start) == nil)
            guesses.note(network, now: start)
        }
        #expect(guesses.retryAfter(network, now: start) == 20)
        #expect(guesses.retryAfter("another", now: start) == nil)
        #expect(guesses.retryAfter(network, now: start + 21 * Monotonic.second) == nil)
    }
}
