import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import TestKit
import Testing

@testable import GatewayService

@Suite("The document of the whole platform")
struct DocumentTests {
    private func document(paths: JSONValue, thing: String) -> JSONValue {
        .object(["paths": paths, "components": .object(["schemas": .object(["Thing": .object(["title": .string(thing)])])])])
    }

    private func reference(_ name: String) -> JSONValue { .object(["$ref": .string("#/components/schemas/\(name)")]) }

    @Test("Paths and schemas are united; a name used for two things is kept apart, with every reference to it")
    func merge() throws {
        let merged = DocumentMerge.merge(
            [
                (.content, document(paths: .object(["/api/v1/content/a": .object(["get": reference("Thing")])]), thing: "one")),
                (.search, document(paths: .object(["/api/v1/search": .object(["get": reference("Thing")])]), thing: "two")),
            ], routing: .platform, version: "1")
        let schemas = merged.member("components").member("schemas").members
        #expect(Set(schemas.keys) == ["Thing", "SearchThing"])
        let text = String(decoding: try JSON.encode(merged.member("paths").member("/api/v1/search")), as: UTF8.self)
        #expect(text.contains("#/components/schemas/SearchThing"))
        #expect(text.contains("\"tags\":[\"search\"]"))
    }

    @Test("What the gateway does not route to a service is not in the document")
    func unrouted() {
        let paths: JSONValue = .object(["/internal/v1/x": .object([:]), "/api/v1/auth/me": .object([:]), "/api/v1/content/a": .object([:])])
        let merged = DocumentMerge.merge([(.content, document(paths: paths, thing: "one"))], routing: .platform, version: "1")
        #expect(Array(merged.member("paths").members.keys) == ["/api/v1/content/a"])
    }

    @Test("An operation is found by its template; literal segments go before parameters, HEAD counts as GET")
    func operations() throws {
        let open: JSONValue = .object(["security": .array([])])
        let closed: JSONValue = .object(["security": .array([.object(["bearer": .array([])])])])
        let operations = OperationIndex.operations(
            .object(["paths": .object(["/a/{id}": .object(["get": closed, "post": closed]), "/a/open": .object(["get": open])])]))
        let table = RouteTable(
            operations.enumerated().map { id, operation in
                RouteTable.Entry(
                    method: RouteMethod(name: operation.method), parts: RoutePattern.template(operation.template), isOpen: false,
                    route: Route(id: id, label: operation.label, service: .content, isPublic: operation.isPublic))
            })
        func find(_ method: String, _ path: String) -> Route? {
            if case .route(let route) = table.match(method, path) { route } else { nil }
        }
        #expect(find("GET", "/a/open")?.isPublic == true)
        #expect(find("HEAD", "/a/open")?.isPublic == true)
        #expect(find("GET", "/a/7")?.label == "GET /a/{id}")
        #expect(find("GET", "/a/7")?.isPublic == false)
        #expect(find("POST", "/a/open")?.isPublic == false)
        #expect(find("PUT", "/a/7") == nil)
        #expect(find("GET", "/a") == nil)
    }
}

@Suite("When documents are asked for")
struct DocumentScheduleTests {
    private let start = ContinuousClock.now

    @Test("A service that is away is asked after 1, 2, 4 seconds and so on up to the interval; when it is back, at the interval")
    func backsOff() {
        var schedule = DocumentSchedule([.content, .search], interval: .seconds(30), now: start)
        #expect(schedule.due(start) == [.content, .search])
        var now = start
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            schedule.asked([.content], there: [], now: now)
            schedule.asked([.search], there: [.search], now: now)
            #expect(schedule.next == now + .seconds(pause))
            now = schedule.next
            #expect(schedule.due(now - .milliseconds(1)).isEmpty)
            #expect(schedule.due(now) == (pause < 30 ? [.content] : [.content, .search]))
        }
        schedule.asked([.content, .search], there: [.content, .search], now: now)
        #expect(schedule.next == now + .seconds(30))
        schedule.asked([.content], there: [], now: now)
        #expect(schedule.next == now + .seconds(1), "it begins anew")
    }

    @Test("An interval shorter than the first pause is kept")
    func shortInterval() {
        var schedule = DocumentSchedule([.content], interval: .milliseconds(100), now: start)
        schedule.asked([.content], there: [], now: start)
        #expect(schedule.next == start + .milliseconds(100))
    }

    /// Answers every request with this status, and counts them.
    private func asked(_ status: HTTPResponse.Status, for duration: Duration) async throws -> Int {
        let count = Mutex(0)
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let app = Application(
            responder: CallbackResponder<BasicRequestContext> { _, _ in
                count.withLock { $0 += 1 }
                return Response(status: status)
            },
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { found.yield($0.localAddress?.port ?? 0) }, logger: quiet)
        let server = Task { try await app.run() }
        defer { server.cancel() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())
        let documents = ServiceDocuments(
            addresses: [.content: ["http://127.0.0.1:\(port)"]], routing: RoutingState(defaults: .forTests), interval: .seconds(600),
            logger: quiet)
        let running = Task { try await documents.run() }
        defer { running.cancel() }
        try await eventually("it is asked") { count.withLock { $0 > 0 } }
        try await Task.sleep(for: duration)
        #expect(!documents.answers(.content), "it has no document")
        return count.withLock { $0 }
    }

    @Test("A server that answers without a document is left alone until the interval is over; one that fails is asked again")
    func plainServer() async throws {
        async let plain = asked(.notFound, for: .seconds(3)), failing = asked(.badGateway, for: .seconds(3))
        #expect(try await plain == 1)
        #expect((2...3).contains(try await failing))
    }
}
