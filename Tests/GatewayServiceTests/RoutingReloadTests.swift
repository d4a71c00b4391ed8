import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Synchronization
import TestKit
import Testing

@testable import GatewayService

/// A gateway with a file that can be written anew, and its operators' pages.
struct FileTown: Sendable {
    let town: Town
    let admin: TestClient
    let path: String
    let second: String

    /// `second`: another upstream that a file may name.
    static func with(_ text: String = "", _ more: [String: String] = [:], _ body: (FileTown) async throws -> Void) async throws {
        let scratch = try ScratchDirectory("trionex-gateway-file")
        defer { scratch.remove() }
        let path = scratch.path + "/gateway.yaml", port = try Ports.free()
        let second = try await Upstream.start("second")
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let settings = ["TRIONEX_GATEWAY_FILE": path, "TRIONEX_ADMIN_PORT": "\(port)"].merging(more) { _, own in own }
        let result: Result<Void, any Error>
        do {
            try await Town.with(settings) { town in
                let admin = TestClient(base: "http://127.0.0.1:\(port)", token: nil)
                try await body(FileTown(town: town, admin: admin, path: path, second: second.url))
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await second.kill()
        try result.get()
    }

    /// As an editor saves it.
    func write(_ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic) }

    func order(_ path: String, _ body: JSONValue? = nil) async throws -> TestResponse {
        try await admin.post(path, body, headers: ["X-Trionex-Admin": "1"])
    }

    /// Writes it, and has it read at once.
    func use(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try write(text)
        let answer = try await order("/admin/reload")
        #expect(answer.status == 200, "\(answer.text)", sourceLocation: sourceLocation)
    }
}

/// Requests that go on until somebody ends them.
private final class Load: Sendable {
    let isOver = Atomic(false)
    private let held = Mutex<(count: Int, failures: [String])>((0, []))
    var outcome: (count: Int, failures: [String]) { held.withLock { $0 } }

    func note(_ failure: String?) {
        held.withLock { held in
            held.count += 1
            if let failure { held.failures.append(failure) }
        }
    }
}

@Suite("A running gateway and its file")
struct RoutingReloadTests {
    @Test("Routes, limits and addresses are replaced under load, and no request fails")
    func underLoad() async throws {
        try await FileTown.with("limits: { anonymous: { quota: 100000, window: 1m } }") { file in
            let second = file.second, load = Load()
            func content(_ address: String, _ quota: Int, _ rest: String = "") -> String {
                """
                limits: { anonymous: { quota: \(quota), window: 1m } }
                upstreams: { content: { addresses: ["\(address)"] }, spare: { addresses: ["\(second)"] } }
                routes:
                  - { match: "POST /api/v1/search/**", maxBodyBytes: \(quota % 1000 + 1) }
                \(rest)
                """
            }
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<4 {
                    tasks.addTask {
                        let client = try await file.town.client()
                        while !load.isOver.load(ordering: .relaxed) {
                            for path in ["/api/v1/content/open", "/api/v1/search?q=a", "/api/v1/products/other"] {
                                let answer = try await client.get(path)
                                load.note(answer.status == 200 ? nil : "\(path) \(answer.status) \(answer.text)")
                            }
                        }
                    }
                }
                for round in 0..<20 {
                    let spare = round.isMultiple(of: 3) ? "" : "  - { match: \"GET /api/v1/products/other\", upstream: spare }"
                    try await file.use(content(round.isMultiple(of: 2) ? second : file.town.content.url, 100_000 + round, spare))
                    let before = load.outcome.count
                    try await eventually("requests go on under the new file") { load.outcome.count >= before + 6 }
                }
                try await file.use(content(second, 100_099))
                load.isOver.store(true, ordering: .relaxed)
                try await tasks.waitForAll()
            }
            let (count, failures) = load.outcome
            #expect(failures.isEmpty, "\(failures)")
            #expect(count >= 120)
            let client = try await file.town.client()
            let answer = try await client.get("/api/v1/content/open")
            #expect(answer["upstream"] == "second")
            #expect(answer.header("RateLimit-Policy") == "\"default\";q=100099;w=60")
            let large = try await client.send(.POST, "/api/v1/search/x", bytes: Data(repeating: 32, count: 101), headers: [:])
            #expect(large.status == 413)
            #expect(try await client.send(.POST, "/api/v1/search/x", bytes: Data(repeating: 32, count: 100), headers: [:]).status == 200)
        }
    }

    @Test("A file that is wrong changes nothing, and the operators see what is wrong with it; a right one is taken by itself")
    func wrong() async throws {
        try await FileTown.with("limits: { anonymous: { quota: 500, window: 1m } }") { file in
            let client = try await file.town.client()
            #expect(try await client.get("/api/v1/search").header("RateLimit-Policy")?.contains("q=500;") == true)
            let before = try await file.admin.get("/admin/config")
            #expect(before["file"]["path"].string == file.path && before["file"]["faults"].array.isEmpty)
            for wrong in [
                "limits: { anonymous: { quota: 0 } }", "nonsense: [", "routes: [{ match: GET /api/v1/content/opened, priority: bulk }]",
                "upstreams: { content: { addresses: [\"https://content\"] } }", "trustedProxies: [everybody]",
            ] {
                try file.write(wrong)
                let refused = try await file.order("/admin/reload")
                #expect(refused.status == 422 && !refused["faults"].array.isEmpty, "\(wrong)")
                let now = try await file.admin.get("/admin/config")
                #expect(now["file"]["version"] == before["file"]["version"] && now["file"]["faults"] == refused["faults"])
                #expect(now["file"]["faults"].array.allSatisfy { $0.string?.hasPrefix("line ") == true }, "\(now["file"]["faults"])")
                #expect(try await client.get("/api/v1/search").header("RateLimit-Policy")?.contains("q=500;") == true)
            }
            #expect(try await file.admin.get("/admin").text.contains("The file is wrong"))
            try file.write("limits: { anonymous: { quota: 600, window: 1m } }")
            try await eventually("the file is taken") {
                try await client.get("/api/v1/search").header("RateLimit-Policy")?.contains("q=600;") == true
            }
            #expect(try await file.admin.get("/admin/config")["file"]["faults"].array.isEmpty)
        }
    }

    @Test("Operators close services for maintenance and open them again, and let themselves in meanwhile")
    func maintenance() async throws {
        try await FileTown.with { file in
            let client = try await file.town.client()
            let closed: JSONValue = ["services": ["content"], "retryAfter": 60, "message": "New shelves."]
            #expect(try await file.order("/admin/maintenance", closed).status == 200)
            let refused = try await client.get("/api/v1/content/open")
            #expect(refused.status == 503 && refused.problem == "maintenance" && refused["detail"] == "New shelves.")
            #expect(refused.header("Retry-After") == "60")
            #expect(try await client.get("/api/v1/search").status == 200)
            #expect(try await file.admin.get("/admin/config")["maintenance"]["services"] == ["content"])
            #expect(try await file.order("/admin/maintenance", ["all": true, "allow": ["127.0.0.0/8"]]).status == 200)
            #expect(try await client.get("/api/v1/content/open").status == 200)
            #expect(try await file.order("/admin/maintenance", ["all": true]).status == 200)
            #expect(try await client.get("/api/v1/search").status == 503)
            #expect(try await file.order("/admin/maintenance", ["off": true]).status == 200)
            #expect(try await client.get("/api/v1/content/open").status == 200)
            // What the file says of it counts from when it says so.
            try await file.use("maintenance: { services: [search], retryAfter: 5m }")
            #expect(try await client.get("/api/v1/search").header("Retry-After") == "300")
            #expect(try await client.get("/api/v1/content/open").status == 200)
        }
    }

    @Test("Addresses and agents are blocked, and whose word about addresses counts follows the file on open connections too")
    func block() async throws {
        let block = "block: { addresses: [203.0.113.0/24, \"2001:db8::/32\"], agents: [BadBot] }\n"
        try await FileTown.with(block + "trustedProxies: [127.0.0.0/8]") { file in
            let client = try await file.town.client()
            for (headers, expected) in [
                (["x-forwarded-for": "203.0.113.9"], 403), (["x-forwarded-for": "2001:db8::1"], 403),
                (["x-forwarded-for": "203.0.114.9"], 200),
                (["user-agent": "Mozilla/5.0 (compatible; badbot/2.1)"], 403), (["user-agent": "Mozilla/5.0"], 200),
            ] {
                let answer = try await client.get("/api/v1/search", headers: headers)
                #expect(answer.status == expected, "\(headers)")
                #expect(expected == 200 || answer.problem == "blocked")
            }
            let socket = try RawSocket(port: file.town.port)
            // One connection for all, without bodies between the heads.
            func ask() async throws -> String {
                try await socket.send("HEAD /api/v1/search HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
                return try await socket.receive(until: "\r\n\r\n")
            }
            #expect(try await ask().hasPrefix("HTTP/1.1 403"))
            try await file.use(block)
            #expect(try await ask().hasPrefix("HTTP/1.1 200"))
            try await file.use(block + "trustedProxies: [127.0.0.1]")
            #expect(try await ask().hasPrefix("HTTP/1.1 403"))
            try await file.use("block: { addresses: [127.0.0.1] }")
            #expect(try await client.get("/api/v1/search").status == 403)
            try await file.use("")
            #expect(try await client.get("/api/v1/search").status == 200)
        }
    }

    @Test("A canary gets its share, and more when the file says so; who is away is passed over")
    func canary() async throws {
        try await FileTown.with { file in
            let second = file.second, first = file.town.content.url
            func shared(_ share: String) -> String {
                "upstreams: { content: { canaryShare: \(share), addresses: [\"\(first)\", { address: \"\(second)\", canary: true }] } }"
            }
            func ofSecond(_ count: Int) async throws -> Int {
                let client = try await file.town.client()
                var found = 0
                for _ in 0..<count where try await client.get("/api/v1/content/open")["upstream"] == "second" { found += 1 }
                return found
            }
            #expect(try await ofSecond(20) == 0)
            try await file.use(shared("25%"))
            #expect(try await ofSecond(80) == 20)
            try await file.use(shared("100%"))
            #expect(try await ofSecond(20) == 20)
            try await file.use(
                "upstreams: { content: { addresses: [{ address: \"\(first)\", weight: 9 }, { address: \"\(second)\", weight: 1 }] } }")
            #expect((1...60).contains(try await ofSecond(200)))
            try await file.use("upstreams: { content: { addresses: [\"http://127.0.0.1:1\", \"\(second)\"] } }")
            #expect(try await ofSecond(30) == 30)
            try await eventually("the health checks know who is away") {
                let content = try await file.admin.get("/admin/upstreams").json.array.first { $0["name"].string == "content" }
                return content?["replicas"].array.map { $0["state"].string } == ["unhealthy", "healthy"]
                    || content?["replicas"].array.map { $0["state"].string } == ["ejected", "healthy"]
            }
        }
    }

    @Test("The token's plan says which limits hold, for a principal and for the organization as a whole")
    func plans() async throws {
        let plans = "plans: { free: { default: { quota: 3, window: 1m } }, team: { tenant: { quota: 4, window: 1m } } }"
        try await FileTown.with(plans) { file in
            func client(_ person: TestPerson, _ plan: String) async throws -> TestClient {
                TestClient(base: file.town.url, token: try await TestKeys.sign(person.claims(issuedAt: Date(), plan: plan)))
            }
            let free = try await client(TestTenant().owner, "free")
            for _ in 0..<3 { #expect(try await free.get("/api/v1/search").header("RateLimit-Policy") == "\"default\";q=3;w=60") }
            #expect(try await free.get("/api/v1/search").status == 429)
            let pro = try await client(TestTenant().owner, "pro")
            #expect(try await pro.get("/api/v1/search").header("RateLimit-Policy") == "\"default\";q=1000;w=60")
            let team = TestTenant(), members = [try await client(team.owner, "team"), try await client(team.viewer, "team")]
            for index in 0..<4 { #expect(try await members[index % 2].get("/api/v1/search").status == 200) }
            for member in members {
                let refused = try await member.get("/api/v1/search")
                #expect(refused.status == 429 && refused.text.contains("tenant"))
            }
            try await file.use(plans.replacingOccurrences(of: "quota: 3", with: "quota: 100"))
            #expect(try await free.get("/api/v1/search").header("RateLimit-Policy") == "\"default\";q=100;w=60")
            #expect(try await file.admin.get("/metrics").text.contains("trionex_gateway_requests_total{plan=\"free\""))
        }
    }

    @Test("How many wrong API keys are too many is as the file says, at once")
    func badKeys() async throws {
        try await FileTown.with("limits: { bad-keys: { quota: 2, window: 1h } }", ["TRIONEX_SERVICE_SECRET": "between-programs"]) { file in
            let client = try await file.town.client()
            func show(_ number: Int) async throws -> TestResponse {
                try await client.get("/api/v1/content/articles/1", headers: ["x-api-key": "trx_wrong\(number)"])
            }
            for number in 0..<2 { #expect(try await show(number).status == 401) }
            let refused = try await show(2)
            #expect(refused.status == 429 && refused.text.contains("bad-keys"))
            try await file.use("limits: { bad-keys: { quota: 100000, window: 1h } }")
            try await eventually("another key may be shown") { try await show(3).status == 401 }
        }
    }

    @Test("The operators' pages show the routes, the upstreams' health, limits, caches and connections of this gateway")
    func pages() async throws {
        try await FileTown.with("routes: [{ match: GET /api/v1/search, priority: critical }]") { file in
            for _ in 0..<5 { #expect(try await file.town.client().get("/api/v1/content/open").status == 200) }
            let routes = try await file.admin.get("/admin/routes").json.array
            #expect(routes.contains { $0["label"].string == "GET /api/v1/content/open" && $0["access"].string == "public" })
            #expect(routes.contains { $0["label"].string == "GET /api/v1/search" && $0["priority"].string == "critical" })
            let groups = try await file.admin.get("/admin/upstreams").json.array
            let content = try #require(groups.first { $0["name"].string == "content" })
            #expect(content["breaker"].string == "closed" && content["replicas"][0]["state"].string == "healthy")
            #expect((content["replicas"][0]["requests"].int ?? 0) >= 5)
            let limits = try await file.admin.get("/admin/limits")
            #expect((limits["figures"]["buckets"].int ?? 0) > 0 && limits["figures"]["Redis is away"] == 0)
            let cache = try await file.admin.get("/admin/cache")
            #expect((cache["capacity in bytes"].int ?? 0) > 0 && cache["answers"].int != nil)
            #expect(try await file.order("/admin/cache/purge").status == 200)
            let connections = try await file.admin.get("/admin/connections")
            #expect((connections["open"].int ?? 0) > 0 && (connections["accepted"].int ?? 0) > 0)
            let page = try await file.admin.get("/admin").text
            for part in ["GET /api/v1/content/open", "127.0.0.1:\(file.town.content.port)", "capacity in bytes", file.path] {
                #expect(page.contains(part), "\(part)")
            }
            let metrics = try await file.admin.get("/metrics").text
            for name in ["trionex_gateway_connections ", "trionex_gateway_connections_accepted_total", "trionex_gateway_upstream_healthy{"]
            {
                #expect(metrics.contains(name), "\(name)")
            }
            #expect(try await file.town.client().get("/admin").status == 404)
        }
    }

    @Test("A WebSocket is refused where there is none; other protocols that a client would change to are left alone")
    func upgrades() async throws {
        try await FileTown.with { file in
            let key = ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
            func ask(_ path: String, _ protocolName: String) async throws -> String {
                try await raw(
                    (["GET \(path) HTTP/1.1", "Host: localhost", "Connection: Upgrade, close", "Upgrade: \(protocolName)"] + key)
                        .joined(separator: "\r\n") + "\r\n\r\n", to: file.town.port)
            }
            let refused = try await ask("/api/v1/search", "WebSocket")
            #expect(refused.hasPrefix("HTTP/1.1 400") && refused.contains("no-upgrade"))
            #expect(try await ask("/api/v1/search", "h2c").hasPrefix("HTTP/1.1 200"))
            // The upstream of this test speaks none: it is asked, and its answer is passed on.
            #expect(try await ask("/api/v1/realtime/events", "websocket").hasPrefix("HTTP/1.1 200"))
        }
    }
}
