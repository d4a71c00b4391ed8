import Contracts
import Foundation
import Testing

@testable import GatewayService

@Suite("What documents, prefixes and the file make of a route")
struct RouteCompilerTests {
    static let operations: [ServiceName: [OperationIndex.Operation]] = [
        .content: [
            .init(method: "GET", template: "/api/v1/content/articles", isPublic: true),
            .init(method: "POST", template: "/api/v1/content/articles", isPublic: false),
            .init(method: "GET", template: "/api/v1/content/articles/{id}", isPublic: false),
            .init(method: "GET", template: "/internal/v1/content", isPublic: true),
            .init(method: "GET", template: "/api/v1/users/stolen", isPublic: true),
        ],
        .users: [
            .init(method: "GET", template: "/api/v1/users/{id}/export", isPublic: false),
            .init(method: "GET", template: "/api/v1/users/me", isPublic: false),
        ],
        .auth: [
            .init(method: "POST", template: "/api/v1/auth/login", isPublic: true),
            .init(method: "POST", template: "/api/v1/auth/refresh", isPublic: true),
        ],
    ]

    private func state(_ yaml: String = "", _ operations: [ServiceName: [OperationIndex.Operation]] = operations) throws -> RoutingState {
        let state = RoutingState(defaults: .forTests)
        state.use(operations)
        try state.use(GatewayFile(reading: yaml, .forTests))
        return state
    }

    private func route(_ state: RoutingState, _ method: String, _ path: String) throws -> Route {
        guard case .route(let route) = state.current.table.match(method, path) else {
            throw GatewayFaults(faults: [GatewayFault(line: 0, message: "no route: \(told(state.current.table.match(method, path)))")])
        }
        return route
    }

    private func limits(_ route: Route) -> [String] { route.limits.map { "\($0.policy.name) \($0.policy.quota) \($0.subject.rawValue)" } }

    @Test("Known operations need a token unless their document says that anybody may call; the rest is left to its service")
    func access() throws {
        let state = try self.state()
        let open = try route(state, "GET", "/api/v1/content/articles"), closed = try route(state, "POST", "/api/v1/content/articles")
        #expect(open.isKnown && open.isPublic && !open.needsToken)
        #expect(closed.isKnown && !closed.isPublic && closed.needsToken)
        let unknown = try route(state, "POST", "/api/v1/content/other/thing")
        #expect(unknown.label == "content *" && !unknown.isKnown && !unknown.needsToken && !unknown.isPublic && unknown.service == .content)
        #expect(told(state.current.table.match("DELETE", "/api/v1/content/articles")) == "405 GET, HEAD, OPTIONS, POST")
    }

    @Test("Nobody declares what is another's, or internal")
    func foreign() throws {
        let state = try self.state()
        #expect(try route(state, "GET", "/api/v1/users/stolen").label == "users *")
        #expect(told(state.current.table.match("GET", "/internal/v1/content")) == "404")
    }

    @Test("Every prefix of the platform goes to its service without any document, and nothing else goes anywhere")
    func bare() throws {
        let state = try self.state("", [:])
        for prefix in RoutingTable.platform.routes {
            let path = "/" + prefix.prefix.joined(separator: "/")
            for path in [path, path + "/x", path + "/x/y/z"] where path != "/oauth2/sign-in" {
                #expect(try route(state, "GET", path).service == prefix.service)
                #expect(try !route(state, "GET", path).needsToken)
            }
            #expect(told(state.current.table.match("GET", path + "x")) == "404")
        }
        for path in [
            "/", "/internal/v1/x", "/metrics", "/health", "/ready", "/openapi.json", "/api", "/api/v1", "/api/v1/internal", "/API/v1/auth",
        ] {
            #expect(told(state.current.table.match("GET", path)) == "404", "\(path)")
        }
    }

    @Test("The limits of the requirements are there without a file, with a document and without")
    func standardLimits() throws {
        for state in [try state(), try state("", [:])] {
            let general = ["default 1000 principal", "default 500 anonymous"]
            #expect(limits(try route(state, "GET", "/api/v1/users/me")) == general)
            #expect(limits(try route(state, "POST", "/api/v1/files")) == general + ["uploads 10 caller"])
            #expect(limits(try route(state, "POST", "/api/v1/files/uploads")) == general + ["uploads 10 caller"])
            #expect(limits(try route(state, "GET", "/api/v1/files")) == general)
            #expect(limits(try route(state, "POST", "/api/v1/auth/register")) == general + ["credentials 120 anonymous"])
            #expect(limits(try route(state, "POST", "/api/v1/auth/refresh")) == general)
            let signIn = try route(state, "POST", "/api/v1/auth/login")
            #expect(limits(signIn) == general + ["credentials 120 anonymous", "sign-in 5 account"])
            #expect(signIn.isSignIn && signIn.maximumBody == 65_536 && signIn.priority == .critical)
            #expect(try route(state, "POST", "/oauth2/sign-in").isSignIn)
            #expect(try route(state, "POST", "/api/v1/files").maximumBody == 1_000_000)
            #expect(try route(state, "POST", "/api/v1/users").maximumBody == 1_000)
            #expect(try route(state, "GET", "/api/v1/realtime").allowsUpgrade)
            #expect(try !route(state, "GET", "/api/v1/users/me").allowsUpgrade)
            #expect(try route(state, "POST", "/api/v1/analytics/events").priority == .bulk)
        }
    }

    @Test("Only reading is tried again and kept by itself")
    func safe() throws {
        let state = try self.state()
        let read = try route(state, "GET", "/api/v1/content/articles"), write = try route(state, "POST", "/api/v1/content/articles")
        #expect(read.mayRetry && read.cache == .standard)
        #expect(!write.mayRetry && write.cache == nil)
        #expect(try route(state, "HEAD", "/api/v1/search").mayRetry)
        #expect(try !route(state, "DELETE", "/api/v1/search").mayRetry)
        #expect(!read.isSentOnce && !write.isSentOnce)
    }

    @Test("What is more specific counts more, whatever the order, and each thing is decided by itself")
    func precedence() throws {
        let state = try self.state(
            """
            routes:
              - match: /api/v1/content/articles/*
                priority: critical
                timeouts: { idle: 5m }
              - match: /**
                priority: bulk
                maxBodyBytes: 77
              - match: GET /api/v1/content/**
                cache: off
                timeouts: { idle: 2m, total: 1h }
            """)
        let article = try route(state, "GET", "/api/v1/content/articles/7")
        #expect(article.priority == .critical && article.maximumBody == 77 && article.cache == nil)
        #expect(article.times.idle == 300 * TimeLimits.second && article.times.total == 3_600 * TimeLimits.second)
        #expect(try route(state, "POST", "/api/v1/content/articles").priority == .bulk)
        #expect(try route(state, "POST", "/api/v1/content/articles").times.idle == 60 * TimeLimits.second)
        #expect(try route(state, "HEAD", "/api/v1/content/x").cache == nil)
        #expect(try route(state, "POST", "/api/v1/files").maximumBody == 1_000_000)
    }

    @Test("A rule that crosses an operation becomes a route of its own, with what both say")
    func crossing() throws {
        let state = try self.state(
            """
            routes:
              - match: /api/v1/users/me/*
                priority: bulk
              - match: GET /api/v1/content/articles/featured
                cache: { maximum: 1h }
              - match: /api/v1/users/*/export
                retry: false
            """)
        let own = try route(state, "GET", "/api/v1/users/me/export")
        #expect(own.needsToken && own.priority == .bulk && !own.mayRetry && own.label == "GET /api/v1/users/me/export")
        let others = try route(state, "GET", "/api/v1/users/7/export")
        #expect(others.priority == .normal && !others.mayRetry && others.label == "GET /api/v1/users/{id}/export")
        let featured = try route(state, "GET", "/api/v1/content/articles/featured")
        #expect(featured.needsToken && featured.cache?.maximumSeconds == 3_600)
        #expect(try route(state, "GET", "/api/v1/content/articles/other").cache == .standard)
    }

    @Test("Rules for what no operation is are refused when the documents are known, and noted while they are not")
    func unmatched() throws {
        let yaml = """
            routes:
              - match: GET /api/v1/content/artikles
                priority: bulk
            """
        #expect(throws: GatewayFaults.self) { try state(yaml) }
        let early = try state(yaml, [:])
        #expect(early.warnings.map(\.line) == [2])
        #expect(try route(early, "GET", "/api/v1/content/artikles").priority == .bulk)
        // A service that changes does not bring the gateway down: what was a rule for something is a warning now.
        early.use(Self.operations)
        #expect(early.warnings.first?.message.contains("no operation of content matches") == true)
        #expect(try route(early, "GET", "/api/v1/content/articles").isPublic)
    }

    @Test("A path outside of the platform needs an upstream; internal ones cannot be had")
    func upstreams() throws {
        #expect(throws: GatewayFaults.self) { try self.state("routes: [{ match: /legacy/**, priority: bulk }]") }
        #expect(throws: GatewayFaults.self) { try self.state("routes: [{ match: /internal/**, upstream: content }]") }
        #expect(throws: GatewayFaults.self) { try self.state("routes: [{ match: /Metrics, upstream: content }]") }
        let state = try self.state(
            """
            upstreams:
              legacy: { addresses: ["http://10.0.0.1:80"] }
              next: { addresses: ["http://10.0.0.2:80"] }
            routes:
              - match: /legacy/**
                upstream: legacy
                access: token
              - match: GET /api/v1/content/articles
                upstream: next
              - match: /**
                upstream: legacy
            """)
        let legacy = try route(state, "PUT", "/legacy/a/b")
        #expect(legacy.group == "legacy" && legacy.needsToken && !legacy.isKnown)
        let moved = try route(state, "GET", "/api/v1/content/articles")
        #expect(moved.group == "next" && moved.service == .content && moved.isPublic)
        #expect(try route(state, "GET", "/anything").group == "legacy")
        #expect(try route(state, "GET", "/api/v1/search").group == "legacy")
        #expect(told(state.current.table.match("GET", "/internal/v1/x")) == "404")
    }

    @Test("The file can close what a document leaves open, but not open what it closes")
    func closing() throws {
        let closed = try self.state("routes: [{ match: GET /api/v1/content/articles, access: token }]")
        #expect(try route(closed, "GET", "/api/v1/content/articles").needsToken)
        #expect(throws: GatewayFaults.self) { try self.state("routes: [{ match: POST /api/v1/content/articles, access: public }]") }
        #expect(throws: GatewayFaults.self) { try self.state("routes: [{ match: /api/v1/content/**, access: service }]") }
        let other = try self.state("routes: [{ match: /api/v1/search/**, access: public }]")
        #expect(try route(other, "GET", "/api/v1/search").isPublic)
    }

    @Test("A label keeps its number over all tables, and the generation moves with each of them")
    func numbers() throws {
        let state = try self.state()
        let before = try route(state, "GET", "/api/v1/users/me").id, generation = state.generation
        try state.use(GatewayFile(reading: "routes: [{ match: GET /api/v1/search/x, priority: bulk }]", .forTests))
        #expect(state.generation == generation + 1 && state.current.generation == generation + 1)
        #expect(try route(state, "GET", "/api/v1/users/me").id == before)
        state.use(Self.operations)
        try state.use(state.current.file)
        #expect(state.generation == generation + 1)
        let ids = Set(state.current.table.routes.map(\.id))
        #expect(ids == Set(0...(ids.max() ?? 0)))
        let labels = Dictionary(grouping: state.current.table.routes, by: \.id)
        #expect(labels.values.allSatisfy { Set($0.map(\.label)).count == 1 })
    }

    @Test("Maintenance is switched at run time, until the file says something else about it")
    func maintenance() throws {
        let state = try self.state()
        #expect(state.current.file.maintenance.isOff)
        var closed = Maintenance()
        closed.services = [.content]
        state.use(closed)
        #expect(state.current.file.maintenance.closes(.content) && !state.current.file.maintenance.closes(.users))
        try state.use(GatewayFile(reading: "block: { agents: [badbot] }", .forTests))
        #expect(state.current.file.maintenance.closes(.content))
        try state.use(GatewayFile(reading: "maintenance: { services: [users], allow: [10.0.0.0/8] }", .forTests))
        let file = state.current.file
        #expect(!file.maintenance.closes(.content) && file.maintenance.refuses(.users, client: "192.0.2.1"))
        #expect(!file.maintenance.refuses(.users, client: "10.1.2.3"))
        #expect(file.maintenance.refuses(.users, client: "not an address"))
        state.use(nil as Maintenance?)
        #expect(state.current.file.maintenance.closes(.users))
    }
}
