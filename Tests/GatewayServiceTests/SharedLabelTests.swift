import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Testing

@testable import GatewayService
@testable import TestKit

/// All methods and prefixes that are left to a service as a whole have one label, and each its own limits and upstream.
@Suite("Routes that share a label")
struct SharedLabelTests {
    private func route(_ table: RouteTable, _ method: String, _ path: String) throws -> Route {
        guard case .route(let route) = table.match(method, path) else { throw GatewayFaults(faults: []) }
        return route
    }

    private static func spec(_ port: Int) -> UpstreamSpec { UpstreamSpec(addresses: [.init(host: "127.0.0.1", port: port)]) }

    @Test("Each route of a table has a place of its own there, whatever its label")
    func places() throws {
        let state = RoutingState(defaults: .forTests)
        state.use(RouteCompilerTests.operations)
        let table = state.current.table
        #expect(table.routes.map(\.place) == Array(table.routes.indices))
        #expect(table.routes.allSatisfy { table.has($0) })
        let get = try route(table, "GET", "/api/v1/files/x"), post = try route(table, "POST", "/api/v1/files/x")
        #expect(get.label == post.label && get.id == post.id && get.place != post.place && get !== post)
    }

    @Test("Each goes to its own upstream, also one of a table that has been replaced meanwhile")
    func groups() throws {
        let state = RoutingState(defaults: .forTests)
        let old = state.current.table
        let groups = UpstreamGroups([
            "search": Self.spec(1), "other": Self.spec(2), "files": Self.spec(3), "content": Self.spec(4), "users": Self.spec(5),
        ])
        var file = state.current.file
        var rule = RouteRule(try RoutePattern("POST /api/v1/search/**"))
        rule.upstream = "other"
        file.rules.append(rule)
        try state.use(file)
        // Every place is another's now.
        state.use(RouteCompilerTests.operations)
        let policy = Policy(state.current, groups)
        for _ in 0..<2 {
            for (method, name) in [("GET", "search"), ("POST", "other"), ("PUT", "search")] {
                #expect(policy.group(try route(policy.table, method, "/api/v1/search/x"))?.name == name)
            }
            for route in old.routes where ["search", "files", "content", "users"].contains(route.group) {
                #expect(!policy.table.has(route) && policy.group(route)?.name == route.group)
            }
        }
        #expect(policy.group(Route(id: 0, place: 1_000_000, label: "x", service: .files))?.name == "files")
    }

    @Test("What is held for one is not given out for another, nor under another policy")
    func held() throws {
        let state = RoutingState(defaults: .forTests), held = HeldBuckets()
        let get = try route(state.current.table, "GET", "/api/v1/files/x"), post = try route(state.current.table, "POST", "/api/v1/files/x")
        let policy = Policy(state.current, UpstreamGroups())
        var made: [String] = []
        func ask(_ route: Route, _ name: String, _ policy: Policy) {
            _ = held.of(route, policy) {
                made.append(name)
                return []
            }
        }
        for _ in 0..<3 {
            ask(get, "get", policy)
            ask(post, "post", policy)
        }
        #expect(made == ["get", "post"])
        var closed = Maintenance()
        closed.services = [.content]
        state.use(closed)
        ask(post, "post again", Policy(state.current, UpstreamGroups()))
        #expect(made == ["get", "post", "post again"])
        // Never more than so many; those that are asked for again are made again.
        for route in state.current.table.routes { ask(route, "more", Policy(state.current, UpstreamGroups())) }
        #expect(made.count <= 3 + state.current.table.routes.count && made.count > HeldBuckets.maximum)
    }

    @Test(
        "An upload counts as one also where nothing is known of its path and other methods of it were called before",
        arguments: [true, false])
    func uploads(hasToken: Bool) async throws {
        try await Town.with(["TRIONEX_LIMIT_UPLOADS_PER_MINUTE": "2"]) { town in
            let client = try await town.client(hasToken ? TestTenant().owner : nil)
            let read = try await client.get("/api/v1/files/x/y")
            #expect(read.status == 200 && read.headers.first(name: "ratelimit-policy")?.contains("uploads") == false)
            for _ in 0..<2 {
                let sent = try await client.send(.POST, "/api/v1/files/x/y", bytes: Data("x".utf8))
                #expect(sent.status == 200 && sent.headers.first(name: "ratelimit-policy")?.contains("\"uploads\";q=2;w=60") == true)
            }
            #expect(try await client.send(.POST, "/api/v1/files/x/y", bytes: Data("x".utf8)).status == 429)
            let again = try await client.get("/api/v1/files/x/y")
            #expect(again.status == 200 && again.headers.first(name: "ratelimit-policy")?.contains("uploads") == false)
        }
    }

    @Test("A rule's upstream gets its method alone, whichever was called first")
    func upstreams() async throws {
        let file = """
            routes:
              - { match: "POST /api/v1/search/**", upstream: content }
            """
        try await LimitDoorTests.with(file: file) { town in
            let client = try await town.client(TestTenant().owner)
            for _ in 0..<2 {
                #expect(try await client.get("/api/v1/search/x")["upstream"].string == "rest")
                #expect(try await client.send(.POST, "/api/v1/search/x", bytes: Data("x".utf8))["upstream"].string == "content")
            }
        }
    }
}
