import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Testing

@testable import GatewayService
@testable import TestKit

/// Limits as callers see them, through whole gateways.
@Suite("Limits at the door")
struct LimitDoorTests {
    /// A gateway with a file of its own.
    static func with(file: String, _ settings: [String: String] = [:], _ body: (Town) async throws -> Void) async throws {
        let folder = try ScratchDirectory("trionex-gateway-file")
        defer { folder.remove() }
        let path = folder.path + "/gateway.yaml"
        try file.write(toFile: path, atomically: true, encoding: .utf8)
        try await Town.with(settings.merging(["TRIONEX_GATEWAY_FILE": path]) { own, _ in own }, body)
    }

    private func field(_ answer: TestResponse, _ name: String) -> String { answer.headers.first(name: name) ?? "" }

    /// Of so many requests at once, spread over the gateways, how many are let through.
    private func admitted(_ clients: [TestClient], _ count: Int) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<count {
                let client = clients[index % clients.count]
                group.addTask { () async throws -> Int in try await client.get("/api/v1/search").status }
            }
            return try await group.reduce(0) { $0 + ($1 == 200 ? 1 : 0) }
        }
    }

    @Test("Two gateways on one Redis admit the quota together; without it each admits it once; with it back they count together again")
    func replicas() async throws {
        let quota = 40, settings = ["TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "\(quota)"]
        try await Town.with(settings) { one in
            try await Town.with(settings.merging(["TRIONEX_REDIS_URL": one.redis.url]) { $1 }) { two in
                let towns = [one, two]
                func count(_ text: String) -> Int { towns.reduce(0) { $0 + $1.log.all.count { $0.contains(text) } } }
                func clients(_ person: TestPerson) async throws -> [TestClient] {
                    [try await one.client(person), try await two.client(person)]
                }
                /// In a busy room a gateway may take Redis to be away; then another principal is tried.
                func together(_ start: () async throws -> Void = {}) async throws {
                    for _ in 0..<40 {
                        let before = count("counted by this replica alone"), isThere = count("counted in Redis again") == before
                        let began = ContinuousClock.now
                        let passed = try await admitted(try await clients(TestTenant().viewer), 4 * quota)
                        let anew = Int((ContinuousClock.now - began) / .seconds(1)) * quota / 60 + 1
                        guard isThere, count("counted by this replica alone") == before else {
                            try await Task.sleep(for: .milliseconds(300))
                            continue
                        }
                        #expect((quota...quota + anew).contains(passed))
                        return
                    }
                    Issue.record("Redis was always away")
                }
                try await together()
                await one.redis.stop()
                let known = TestTenant().viewer
                try await eventually("both notice") {
                    _ = try await admitted(try await clients(known), 2)
                    return towns.allSatisfy { $0.log.all.contains { $0.contains("counted by this replica alone") } }
                }
                let began = ContinuousClock.now
                let alone = try await admitted(try await clients(TestTenant().viewer), 6 * quota)
                let anew = 2 * (Int((ContinuousClock.now - began) / .seconds(1)) * quota / 60 + 1)
                #expect((2 * quota...2 * quota + anew).contains(alone))
                let again = try await RedisServer.start(in: one.redisFolder, port: one.redis.port, persistent: false)
                try await eventually("both count in Redis again") {
                    _ = try await admitted(try await clients(known), 2)
                    return count("counted in Redis again") >= count("counted by this replica alone")
                }
                try await together()
                await again.stop()
            }
        }
    }

    @Test("Ten uploads a minute and five sign-ins in a quarter of an hour are what one has without any setting")
    func standard() async throws {
        try await Town.with { town in
            let client = try await town.client(TestTenant().owner)
            for left in (0..<10).reversed() {
                let answer = try await client.send(.POST, "/api/v1/files", bytes: Data("x".utf8))
                #expect(answer.status == 200)
                #expect(field(answer, "ratelimit-policy") == "\"default\";q=1000;w=60, \"uploads\";q=10;w=60")
                // One more may become free meanwhile, every six seconds.
                #expect(field(answer, "ratelimit").contains("\"uploads\";r=\(left);") || left < 9)
            }
            var statuses: [Int] = []
            for _ in 0..<4 { statuses.append(try await client.send(.POST, "/api/v1/files", bytes: Data("x".utf8)).status) }
            #expect(statuses.contains(429))
            let nobody = try await town.client()
            for left in (0..<5).reversed() {
                let answer = try await nobody.post("/api/v1/auth/login", ["email": "a@example.org", "password": "x"])
                #expect(answer.status == 200)
                #expect(field(answer, "ratelimit").contains("\"sign-in\";r=\(left);t=900"))
            }
            let refused = try await nobody.post("/api/v1/auth/login", ["email": "a@example.org", "password": "x"])
            #expect(refused.status == 429)
            let wait = try #require(Int(field(refused, "retry-after")))
            #expect((150...180).contains(wait))
            #expect(field(refused, "ratelimit").contains("\"sign-in\";r=0;t=\(wait)"))
        }
    }

    @Test("A sign-in that its account's limit refuses takes nothing of the others")
    func allOrNone() async throws {
        try await Town.with(["TRIONEX_LIMIT_SIGN_IN": "1", "TRIONEX_LIMIT_ADDRESS_PER_MINUTE": "5"]) { town in
            let client = try await town.client()
            func signIn() async throws -> TestResponse {
                try await client.post("/api/v1/auth/login", ["email": "a@example.org", "password": "x"])
            }
            #expect(try await signIn().status == 200)
            for _ in 0..<12 {
                let refused = try await signIn()
                #expect(refused.status == 429)
                #expect(field(refused, "ratelimit").contains("\"sign-in\";r=0;"))
                // What goes back goes to Redis; the next one must not be there before it.
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(try await client.get("/api/v1/search").status == 200)
        }
    }

    @Test("What auth must hash is counted for each address, also for callers with a token, whoever they are")
    func credentials() async throws {
        let settings = ["TRIONEX_LIMIT_CREDENTIALS_PER_MINUTE": "3", "TRIONEX_TRUSTED_PROXIES": "127.0.0.1"]
        try await Town.with(settings) { town in
            func register(_ person: TestPerson?, from address: String = "198.51.100.1") async throws -> TestResponse {
                try await town.client(person).post("/api/v1/auth/register", ["a": 1], headers: ["x-forwarded-for": address])
            }
            #expect(try await register(TestTenant().owner).status == 200)
            #expect(try await register(TestTenant().owner).status == 200)
            #expect(try await register(nil).status == 200)
            let refused = try await register(TestTenant().owner)
            #expect(refused.status == 429)
            #expect(field(refused, "ratelimit").contains("\"credentials\";r=0;"))
            #expect(try await register(nil).status == 429)
            #expect(try await register(TestTenant().owner, from: "198.51.100.2").status == 200)
        }
    }

    @Test("Whoever exceeds a limit that blocks is refused for so long, on both gateways; then they may again")
    func block() async throws {
        let file = """
            limits:
              default: { quota: 5, window: 1s, block: 4s }
            """
        try await Self.with(file: file) { one in
            try await Self.with(file: file, ["TRIONEX_REDIS_URL": one.redis.url]) { two in
                let person = TestTenant().viewer
                let here = try await one.client(person), there = try await two.client(person)
                #expect(try await there.get("/api/v1/search").status == 200)
                try await eventually("the limit is exceeded") { try await admitted([here], 20) < 20 }
                let refused = try await here.get("/api/v1/search")
                #expect(refused.status == 429)
                #expect((1...4).contains(Int(field(refused, "retry-after")) ?? 0))
                try await eventually("the other knows") { try await there.get("/api/v1/search").status == 429 }
                try await eventually("the block ends") {
                    let first = try await here.get("/api/v1/search").status, second = try await there.get("/api/v1/search").status
                    return first == 200 && second == 200
                }
            }
        }
    }

    @Test("A plan has numbers of its own, and its organization's limit counts all members together")
    func plans() async throws {
        let file = """
            plans:
              free:
                default: { quota: 4, window: 60s }
                tenant: { quota: 6, window: 60s }
            """
        try await Self.with(file: file) { town in
            let tenant = TestTenant()
            func client(_ person: TestPerson, _ plan: String) async throws -> TestClient {
                TestClient(base: town.url, token: try await person.token(plan: plan))
            }
            let owner = try await client(tenant.owner, "free")
            let first = try await owner.get("/api/v1/search")
            #expect(field(first, "ratelimit-policy") == "\"default\";q=4;w=60, \"tenant\";q=6;w=60")
            #expect(field(first, "ratelimit").hasPrefix("\"default\";r=3;t=60, \"tenant\";r=5;t=60"))
            for _ in 0..<3 { #expect(try await owner.get("/api/v1/search").status == 200) }
            #expect(try await owner.get("/api/v1/search").status == 429)
            let viewer = try await client(tenant.viewer, "free")
            for _ in 0..<2 { #expect(try await viewer.get("/api/v1/search").status == 200) }
            let refused = try await viewer.get("/api/v1/search")
            #expect(refused.status == 429)
            #expect(field(refused, "ratelimit").contains("\"tenant\";r=0;"))
            #expect(try await client(TestTenant().owner, "free").get("/api/v1/search").status == 200)
            let paying = try await client(TestTenant().owner, "starter").get("/api/v1/search")
            #expect(field(paying, "ratelimit-policy") == "\"default\";q=1000;w=60")
        }
    }
}
