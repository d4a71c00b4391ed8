import Contracts
import Foundation
import Hummingbird
import Logging
import ServiceLifecycle
import Synchronization
import TestKit
import Testing

@testable import GatewayService
@testable import ServiceKit

/// Admin pages as the gateway has them, on a listener of their own, with a gateway file in a folder of their own.
struct AdminDesk {
    let client: TestClient
    let routing: RoutingState
    let watch: GatewayFileWatch
    let path: String
    let purged: Purged

    final class Purged: Sendable {
        private let held = Mutex<[String]>([])
        var all: [String] { held.withLock { $0 } }
        func note(_ text: String) { held.withLock { $0.append(text) } }
    }

    static func with(_ file: String, _ body: (AdminDesk) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("trionex-admin-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/gateway.yaml"
        try Data(file.utf8).write(to: URL(fileURLWithPath: path))
        let (routing, watch) = try GatewayFileWatch.begin(path: path, defaults: .forTests, interval: .milliseconds(20), logger: quiet)
        let purged = Purged()
        var sources = AdminSources()
        sources.upstreams = {
            [UpstreamGroup(name: "<content>", spec: UpstreamSpec(addresses: [.init(host: "content", port: 8083)])).snapshot(now: 0)]
        }
        sources.limits = { [("buckets", 7)] }
        sources.purge = { tenant, services in
            purged.note("\(tenant ?? "everybody") \(services.map(\.rawValue).joined(separator: " "))")
        }
        let router = Router(context: EndpointContext.self)
        AdminPages(routing: routing, watch: watch, sources: sources, logger: quiet).add(to: router)
        let bound = AsyncStream.makeStream(of: Int.self)
        let app = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { bound.continuation.yield($0.localAddress?.port ?? 0) }, logger: quiet)
        let group = ServiceGroup(configuration: .init(services: [app, watch], logger: quiet))
        let task = Task { try await group.run() }
        var ports = bound.stream.makeAsyncIterator()
        let port = await ports.next() ?? 0
        let desk = AdminDesk(
            client: TestClient(base: "http://127.0.0.1:\(port)", token: nil), routing: routing, watch: watch, path: path, purged: purged)
        do {
            try await body(desk)
        } catch {
            await group.triggerGracefulShutdown()
            _ = try? await task.value
            throw error
        }
        await group.triggerGracefulShutdown()
        _ = try await task.value
    }

    func write(_ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic) }

    func order(_ path: String, _ body: JSONValue? = nil) async throws -> TestResponse {
        try await client.post(path, body, headers: ["X-Trionex-Admin": "1"])
    }
}

@Suite("The operators' pages")
struct AdminTests {
    static let file = """
        limits:
          exports: { quota: 3, window: 1h, per: tenant }
        routes:
          - match: GET /api/v1/search
            limits: [default, exports]
            priority: critical
        """

    @Test("Routes, limits, upstreams and the file are shown as JSON")
    func json() async throws {
        try await AdminDesk.with(Self.file) { desk in
            let routes = try await desk.client.get("/admin/routes").json.array
            let search = try #require(routes.first { $0["label"].string == "GET /api/v1/search" })
            #expect(search["limits"].array.map(\.string) == ["default 1000 in 60 s per principal", "exports 3 in 3600 s per tenant"])
            #expect(search["priority"].string == "critical" && search["access"].string == "service")
            // One line stands for all that is alike.
            #expect(routes.filter { $0["label"].string == "search *" }.count <= 3)
            let limits = try await desk.client.get("/admin/limits")
            #expect(limits["figures"]["buckets"] == .integer(7))
            #expect(limits["limits"].array.contains { $0["name"].string == "exports" && $0["windowSeconds"] == .integer(3_600) })
            #expect(try await desk.client.get("/admin/upstreams").json.array.first?["name"].string == "<content>")
            #expect(try await desk.client.get("/admin/cache").json == .object([:]))
            #expect(try await desk.client.get("/admin/connections").status == 200)
            let config = try await desk.client.get("/admin/config")
            #expect(config["rules"] == .integer(1) && config["file"]["version"].string?.count == 12)
            #expect(config["maintenance"]["all"] == .bool(false))
            #expect(config.header("Cache-Control") == "no-store")
        }
    }

    @Test("What changes something wants the header that no foreign page can send")
    func crossSite() async throws {
        try await AdminDesk.with(Self.file) { desk in
            for path in ["/admin/reload", "/admin/cache/purge", "/admin/maintenance"] {
                let foreign = try await desk.client.post(path, .object(["all": .bool(true)]))
                #expect(foreign.status == 403)
                #expect(try await desk.client.post(path, nil, headers: ["X-Trionex-Admin": "yes"]).status == 403)
                let page = ["X-Trionex-Admin": "1", "Origin": "http://127.0.0.1:9080"]
                #expect(try await desk.client.post(path, nil, headers: page).status == 403)
                #expect(try await desk.client.get(path).status != 200)
            }
            #expect(desk.routing.current.file.maintenance.isOff && desk.purged.all.isEmpty)
        }
    }

    @Test("Maintenance is switched on and off, and badly said orders change nothing")
    func maintenance() async throws {
        try await AdminDesk.with(Self.file) { desk in
            let closed = try await desk.order(
                "/admin/maintenance",
                .object([
                    "services": .array([.string("content")]), "retryAfter": .integer(60), "message": .string("Soon back."),
                    "allow": .array([.string("10.0.0.0/8")]),
                ]))
            #expect(closed.status == 200 && closed["services"].array.map(\.string) == ["content"])
            let maintenance = desk.routing.current.file.maintenance
            #expect(maintenance.refuses(.content, client: "192.0.2.1") && !maintenance.refuses(.users, client: "192.0.2.1"))
            #expect(maintenance.retryAfter == 60 && maintenance.message == "Soon back.")
            for bad: JSONValue in [
                .object([:]), .object(["all": .string("yes")]), .object(["services": .array([.string("kitchen")])]),
                .object(["all": .bool(true), "retryAfter": .integer(0)]), .object(["all": .bool(true), "allow": .array([.string("x")])]),
                .object(["everything": .bool(true)]), .object(["off": .bool(true), "all": .bool(true)]), .array([]),
            ] {
                let refused = try await desk.order("/admin/maintenance", bad)
                #expect(refused.status == 400 && refused["error"].string != nil, "\(bad)")
            }
            #expect(desk.routing.current.file.maintenance == maintenance)
            #expect(try await desk.order("/admin/maintenance", .object(["off": .bool(true)])).status == 200)
            #expect(desk.routing.current.file.maintenance.isOff)
        }
    }

    @Test("Caches are purged for everybody, or one organization's services")
    func purge() async throws {
        try await AdminDesk.with(Self.file) { desk in
            let all = try await desk.order("/admin/cache/purge")
            #expect(all.status == 200)
            let one: JSONValue = .object(["tenant": .string("acme"), "services": .array([.string("content"), .string("search")])])
            #expect(try await desk.order("/admin/cache/purge", one).status == 200)
            #expect(try await desk.order("/admin/cache/purge", .object(["services": .array([.string("content")])])).status == 400)
            #expect(desk.purged.all == ["everybody ", "acme content search"])
        }
    }

    @Test("A changed file is taken by itself; a wrong one is told of while the old one goes on")
    func reload() async throws {
        try await AdminDesk.with(Self.file) { desk in
            let first = desk.watch.status.version
            try desk.write("routes: [{ match: GET /api/v1/search, priority: bulk }]")
            try await eventually("the new file is in force") { desk.watch.status.version != first }
            guard case .route(let route) = desk.routing.current.table.match("GET", "/api/v1/search") else { throw GatewayFailure.notRouted }
            #expect(route.priority == .bulk)
            let generation = desk.routing.generation

            try desk.write("routes: [{ match: nowhere }]\nlimits: { default: { quota: 0 } }")
            try await eventually("the wrong file is told of") { desk.watch.status.faults.count == 2 }
            #expect(desk.routing.generation == generation)
            #expect(desk.watch.status.faults.allSatisfy { $0.hasPrefix("line ") })
            let page = try await desk.client.get("/admin").text
            #expect(page.contains("The file is wrong") && page.contains("write it as &quot;POST /api/v1/files&quot;"))
            let again = try await desk.order("/admin/reload")
            #expect(again.status == 422 && again["faults"].array.count == 2)

            try FileManager.default.removeItem(atPath: desk.path)
            #expect(try await desk.order("/admin/reload")["faults"].array.first?.string?.contains("cannot be read") == true)
            #expect(desk.routing.generation == generation)

            try desk.write(Self.file)
            let mended = try await desk.order("/admin/reload")
            #expect(mended.status == 200 && mended["version"].string == first && mended["faults"].array.isEmpty)
        }
    }

    @Test("A wrong file keeps the gateway from starting, with every line named")
    func refusedAtStart() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("trionex-\(UUID().uuidString).yaml")
        try Data("limits: { a: { quota: 1 } }\nroutes: 5".utf8).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        do throws(ProgramHost.SettingsRefused) {
            _ = try GatewayFileWatch.begin(path: path.path, defaults: .forTests, logger: quiet)
            Issue.record("was not refused")
        } catch {
            #expect(error.problems.map { $0.contains("line 1:") } == [true, false] && error.problems[1].contains("line 2:"))
        }
        #expect(throws: ProgramHost.SettingsRefused.self) {
            _ = try GatewayFileWatch.begin(path: path.path + ".none", defaults: .forTests, logger: quiet)
        }
    }

    @Test("The page is whole HTML with headed tables, escapes what it shows, runs no script, and can hold still")
    func page() async throws {
        try await AdminDesk.with(Self.file) { desk in
            let response = try await desk.client.get("/admin")
            let html = response.text
            #expect(response.header("Content-Type") == "text/html; charset=utf-8")
            #expect(response.header("Content-Security-Policy")?.contains("default-src 'none'") == true)
            #expect(html.hasPrefix("<!doctype html>") && html.contains("<html lang=\"en\">") && html.contains("<title>"))
            #expect(!html.contains("<script") && !html.contains("<content>") && html.contains("&lt;content&gt;"))
            for part in ["<main>", "<h1>", "<caption>", "scope=\"col\"", "scope=\"row\"", "GET /api/v1/search", "content:8083"] {
                #expect(html.contains(part), "\(part)")
            }
            #expect(html.contains("http-equiv=\"refresh\""))
            #expect(try await !desk.client.get("/admin?refresh=off").text.contains("http-equiv=\"refresh\""))
            for tag in ["table", "section", "tr", "th", "td", "div", "ul", "li", "main", "nav", "header"] {
                let opened = html.components(separatedBy: "<\(tag)>").count + html.components(separatedBy: "<\(tag) ").count - 2
                #expect(opened == html.components(separatedBy: "</\(tag)>").count - 1, "\(tag)")
            }
        }
    }
}

@Suite("gateway check-config")
struct CheckConfigTests {
    private func run(_ arguments: [String], _ environment: [String: String] = [:]) async throws -> CheckConfig.Outcome {
        try #require(await CheckConfig.run(["check-config"] + arguments, environment: environment))
    }

    private func file(_ text: String) throws -> String {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("trionex-\(UUID().uuidString).yaml")
        try Data(text.utf8).write(to: path)
        return path.path
    }

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..").standardized.path

    @Test("The shipped file is right for the services' own documents, and the table says what becomes of it")
    func shipped() async throws {
        let outcome = try await run(["\(Self.root)/Gateway/gateway.yaml", "--documents", "\(Self.root)/Services"])
        #expect(outcome.exitCode == 0, "\(outcome.text)")
        #expect(outcome.text.hasPrefix("OK: ") && !outcome.text.contains("Note, line"))
        let lines = outcome.text.split(separator: "\n").map(String.init)
        let signIn = try #require(lines.first { $0.hasPrefix("POST /api/v1/auth/login ") })
        #expect(signIn.contains("public") && signIn.contains("sign-in per account") && signIn.contains("critical"))
        #expect(lines.contains { $0.hasPrefix("exports ") && $0.contains("tenant") })
        #expect(lines.contains { $0.hasPrefix("POST /api/v1/auth/** ") && $0.contains("credentials per address") })
    }

    @Test("Every fault is told with the file and its line, and the exit code is 1")
    func faults() async throws {
        let path = try file("routes:\n  - match: x\n  - match: /api/v1/content/**\n    priority: high\n")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let outcome = try await run([path])
        #expect(outcome.exitCode == 1)
        #expect(outcome.text.contains("\(path):2: ") && outcome.text.contains("\(path):4: ") && outcome.text.contains("2 things are wrong"))
        let missing = try await run(["/nowhere/gateway.yaml"])
        #expect(missing.exitCode == 1 && missing.text.contains("cannot be read"))
        let settings = try await run([], ["TRIONEX_LIMIT_SIGN_IN": "often"])
        #expect(settings.exitCode == 1 && settings.text.contains("TRIONEX_LIMIT_SIGN_IN"))
    }

    @Test("The file is the one of the environment when none is named; rules are held against documents when there are some")
    func environment() async throws {
        let path = try file("routes: [{ match: GET /api/v1/content/artikles, priority: bulk }]")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let alone = try await run([], ["TRIONEX_GATEWAY_FILE": path])
        #expect(alone.exitCode == 0 && alone.text.contains("Note, line 1") && alone.text.contains("Without --documents"))
        let held = try await run(["--documents", "\(Self.root)/Services"], ["TRIONEX_GATEWAY_FILE": path])
        #expect(held.exitCode == 1 && held.text.contains("no operation of content matches"))
        let bare = try await run([])
        #expect(bare.exitCode == 0 && bare.text.contains("OK: no gateway file"))
        #expect(try await run(["--documents", "/nowhere"]).exitCode == 1)
    }

    @Test("Other arguments are explained, and other commands are left alone")
    func usage() async throws {
        for wrong in [["--help"], ["a", "b"], ["--documents"]] {
            let outcome = try await run(wrong)
            #expect(outcome.exitCode == CheckConfig.usageExitCode && outcome.text.hasPrefix("Usage: gateway check-config"))
        }
        #expect(await CheckConfig.run([], environment: [:]) == nil)
        #expect(await CheckConfig.run(["--help"], environment: [:]) == nil)
    }
}

@Suite("The services' documents")
struct ServiceDocumentsTests {
    /// Runs the reading of documents until `isKnown` says so.
    private func reading(
        _ addresses: [ServiceName: [String]], _ routing: RoutingState, until isKnown: @escaping (ServiceDocuments) -> Bool
    ) async throws -> ServiceDocuments {
        let documents = ServiceDocuments(addresses: addresses, routing: routing, interval: .milliseconds(50), logger: quiet)
        let group = ServiceGroup(configuration: .init(services: [documents], logger: quiet))
        let task = Task { try await group.run() }
        try await eventually("the documents are read") { isKnown(documents) }
        await group.triggerGracefulShutdown()
        _ = try await task.value
        return documents
    }

    @Test("Operations are read from the first replica that answers, and the table has them")
    func replicas() async throws {
        let upstream = try await Upstream.start("content")
        defer { Task { await upstream.kill() } }
        let routing = RoutingState(defaults: .forTests)
        let documents = try await reading([.content: ["http://127.0.0.1:1", upstream.url]], routing) {
            $0.answers(.content) && routing.generation > 0
        }
        guard case .route(let route) = routing.current.table.match("GET", "/api/v1/content/open") else { throw GatewayFailure.notRouted }
        #expect(route.isKnown && route.isPublic)
        #expect(String(buffer: documents.page.body).contains("/api/v1/content/open"))
        #expect(!documents.answers(.users))
    }

    @Test("The file's own addresses go before those of the settings, but canaries are not asked")
    func ownAddresses() async throws {
        let upstream = try await Upstream.start("content")
        defer { Task { await upstream.kill() } }
        let file = "upstreams: { content: { addresses: [{ address: \"http://127.0.0.1:1\", canary: true }, \"\(upstream.url)\"] } }"
        let routing = RoutingState(defaults: .forTests, file: try GatewayFile(reading: file, .forTests))
        _ = try await reading([.content: ["http://127.0.0.1:1"]], routing) { $0.answers(.content) && routing.generation > 0 }
        #expect(told(routing.current.table.match("GET", "/api/v1/content/open")) == "GET /api/v1/content/open")
    }

    @Test("Without any document everything is left to its service, and the document of the whole is there, with no path in it")
    func none() throws {
        let routing = RoutingState(defaults: .forTests)
        let documents = ServiceDocuments(addresses: [:], routing: routing, interval: .seconds(1), logger: quiet)
        let merged = try JSON.decode(JSONValue.self, from: Data(documents.page.body.readableBytesView))
        #expect(merged["openapi"].string == "3.1.0" && merged["paths"] == .object([:]))
        #expect(told(routing.current.table.match("PATCH", "/api/v1/content/anything/at/all")) == "content *")
    }
}
