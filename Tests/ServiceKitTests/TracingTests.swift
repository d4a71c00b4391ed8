import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceKit
import ServiceLifecycle
import Synchronization
import TestKit
import Testing
import Tracing

@Suite("Traces")
struct TracingTests {
    /// A collector that keeps what it is sent.
    private final class Collector: Sendable {
        private let held = Mutex<[JSONValue]>([])
        var bodies: [JSONValue] { held.withLock { $0 } }
        func add(_ body: JSONValue) { held.withLock { $0.append(body) } }
    }

    @Test("finished spans are exported over OTLP with their parent, and carried on in headers")
    func export() async throws {
        let collector = Collector()
        let router = Router()
        router.post("v1/traces") { request, _ in
            let buffer = try await request.body.collect(upTo: 1_000_000)
            collector.add(try JSON.decode(JSONValue.self, from: Data(buffer.readableBytesView)))
            return HTTPResponse.Status.ok
        }
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }
        let app = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { found.yield($0.localAddress?.port ?? 0) }, logger: quiet)
        let server = Task { try await app.run() }
        defer { server.cancel() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())

        let exporter = TraceExporter(service: .content, endpoint: "http://127.0.0.1:\(port)", logger: quiet)
        let running = Task { try await exporter.run() }
        defer { running.cancel() }
        var parent = ServiceContext.topLevel
        parent.traceParent = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        exporter.withSpan("outer", context: parent, ofKind: .server) { span in
            span.attributes["http.route"] = "/x"
            exporter.withSpan("inner", context: span.context) { _ in }
        }
        let measured = try #require(TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba90fff-01"))
        let unsampled = TraceParent(traceID: measured.traceID, spanID: measured.spanID, sampled: false)
        for trace in [measured, unsampled] {
            exporter.record(
                "measured elsewhere", .server, trace, parentID: "00f067aa0ba902b7", start: 17, end: 42, attributes: [:], failed: true)
        }
        try await TrionexTesting.eventually("the spans arrive") {
            collector.bodies.flatMap { Self.spans($0) }.count == 3
        }
        let spans = collector.bodies.flatMap { Self.spans($0) }
        let outer = try #require(spans.first { $0["name"].string == "outer" })
        let inner = try #require(spans.first { $0["name"].string == "inner" })
        #expect(outer["traceId"].string == "4bf92f3577b34da6a3ce929d0e0e4736" && outer["parentSpanId"].string == "00f067aa0ba902b7")
        #expect(inner["traceId"] == outer["traceId"] && inner["parentSpanId"] == outer["spanId"])
        #expect(outer["kind"].int == 2 && outer["attributes"][0]["key"].string == "http.route")
        let told = try #require(spans.first { $0["name"].string == "measured elsewhere" })
        #expect(told["spanId"].string == measured.spanID && told["parentSpanId"] == outer["parentSpanId"])
        #expect(told["startTimeUnixNano"].string == "17" && told["endTimeUnixNano"].string == "42" && told["status"]["code"].int == 2)
        let resource = collector.bodies[0]["resourceSpans"][0]["resource"]["attributes"][0]
        #expect(resource["value"]["stringValue"].string == "content")
    }

    @Test("a call to a neighbour goes on with the trace of whoever caused it")
    func neighbours() async throws {
        let host = try await TestHost.start(Workshop.self)
        let neighbours = Neighbours(
            addresses: [.content: [host.url]],
            tokens: { (try await TestKeys.serviceToken(.auth), Date().addingTimeInterval(600)) })
        let trace = "5bf92f3577b34da6a3ce929d0e0e4799"
        var context = ServiceContext.topLevel
        context.traceParent = TraceParent("00-\(trace)-00f067aa0ba902b7-01")
        try await ServiceContext.withValue(context) {
            try await neighbours.call(.get, .content, "/internal/v1/workshop/secret")
        }
        #expect(host.log.lines.contains { $0.contains("\"traceId\":\"\(trace)\"") })
    }

    private static func spans(_ body: JSONValue) -> [JSONValue] {
        body["resourceSpans"].array.flatMap { $0["scopeSpans"].array.flatMap { $0["spans"].array } }
    }
}
