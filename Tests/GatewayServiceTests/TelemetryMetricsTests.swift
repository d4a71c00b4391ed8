import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

@Suite("The gateway's metrics")
struct TelemetryMetricsTests {
    private let log = AccessLog(service: "gateway", level: .critical) { _ in }

    private func record(
        _ status: Int = 200, _ route: Route? = Route(id: 3, label: "GET /a", service: .content), identity: Identity? = nil,
        replica: Replica? = nil, upstream: UInt64? = nil, problem: String? = nil, action: StaticString? = nil
    ) -> AccessRecord {
        var record = AccessRecord()
        record.route = route
        record.action = action
        record.status = status
        record.duration = 3_000_000
        record.received = 7
        record.sent = 11
        record.identity = identity
        record.replica = replica
        record.upstreamDuration = upstream
        record.tries = replica == nil ? 0 : 2
        record.problem = problem
        record.cache = problem == nil ? "hit" : nil
        return record
    }

    private func identity(plan: String) async throws -> Identity {
        let verifier = TokenVerifier(source: .file(try await TestKeys.file()), revocations: nil, logger: quiet)
        return Identity(try await verifier.verified(try await TestKeys.sign(TestTenant().owner.claims(issuedAt: Date(), plan: plan))))
    }

    private func page(_ metrics: GatewayMetrics...) -> String {
        let page = Prometheus()
        for metrics in metrics { metrics.register(page) }
        return page.render()
    }

    @Test("add up what all loops have counted, by route and status, under the name that every program uses")
    func durations() {
        let metrics = GatewayMetrics()
        let (first, second) = (LoopTelemetry(log, metrics), LoopTelemetry(log, metrics))
        for telemetry in [first, second, first] { telemetry.finished(record()) }
        second.finished(record(404, nil))
        second.finished(record(204, nil, action: "preflight"))
        let page = page(metrics)
        let name = "trionex_http_request_duration_seconds"
        #expect(page.contains("\(name)_bucket{service=\"gateway\",route=\"GET /a\",status=\"200\",le=\"0.0025\"} 0\n"))
        #expect(page.contains("\(name)_bucket{service=\"gateway\",route=\"GET /a\",status=\"200\",le=\"0.005\"} 3\n"))
        #expect(page.contains("\(name)_sum{service=\"gateway\",route=\"GET /a\",status=\"200\"} 0.009\n"))
        #expect(page.contains("\(name)_count{service=\"gateway\",route=\"unrouted\",status=\"404\"} 1\n"))
        #expect(page.contains("\(name)_count{service=\"gateway\",route=\"preflight\",status=\"204\"} 1\n"))
    }

    @Test("tell requests by plan and upstream, latencies, answers and bytes of each replica, refusals, caches and retries")
    func upstreams() async throws {
        let metrics = GatewayMetrics(plans: ["pro"])
        let telemetry = LoopTelemetry(log, metrics)
        let replica = Replica(group: "content", UpstreamSpec.Address(host: "10.0.0.1", port: 8083))
        for plan in ["pro", "pro", "gold", "starter"] {
            telemetry.finished(record(identity: try await identity(plan: plan), replica: replica, upstream: 2_000_000))
        }
        telemetry.finished(record(503, replica: replica, problem: "away"))
        // The same replica, found anew by another table.
        let again = Replica(group: "content", UpstreamSpec.Address(host: "10.0.0.1", port: 8083))
        telemetry.finished(record(502, replica: again, upstream: 20_000_000))
        telemetry.finished(record(401, problem: "bad-token"))
        metrics.know(plans: ["gold"])
        telemetry.finished(record(identity: try await identity(plan: "gold")))
        let page = page(metrics)
        let content = "upstream=\"content\",replica=\"10.0.0.1:8083\""
        for line in [
            "trionex_gateway_requests_total{plan=\"pro\",\(content)} 2", "trionex_gateway_requests_total{plan=\"other\",\(content)} 1",
            "trionex_gateway_requests_total{plan=\"starter\",\(content)} 1", "trionex_gateway_requests_total{plan=\"none\",\(content)} 2",
            "trionex_gateway_requests_total{plan=\"none\",upstream=\"none\",replica=\"none\"} 1",
            "trionex_gateway_requests_total{plan=\"gold\",upstream=\"none\",replica=\"none\"} 1",
            "trionex_gateway_upstream_duration_seconds_bucket{\(content),le=\"0.0025\"} 4",
            "trionex_gateway_upstream_duration_seconds_count{\(content)} 5",
            "trionex_gateway_upstream_responses_total{\(content),class=\"2xx\"} 4",
            "trionex_gateway_upstream_responses_total{\(content),class=\"5xx\"} 1",
            "trionex_gateway_upstream_responses_total{\(content),class=\"none\"} 1",
            "trionex_gateway_bytes_total{\(content),direction=\"in\"} 42", "trionex_gateway_bytes_total{\(content),direction=\"out\"} 66",
            "trionex_gateway_problems_total{problem=\"bad-token\"} 1", "trionex_gateway_problems_total{problem=\"away\"} 1",
            "trionex_gateway_cache_total{state=\"hit\"} 6", "trionex_gateway_retries_total 6",
        ] { #expect(page.contains(line + "\n"), "\(line)") }
    }

    @Test("show the requests under way, the connections and the state of every upstream")
    func states() {
        let groups = UpstreamGroups(["content": UpstreamSpec(addresses: [.init(host: "10.0.0.1", port: 8083)])])
        let metrics = GatewayMetrics(groups: groups)
        let edge = EdgeCounters()
        edge.open.store(5, ordering: .relaxed)
        edge.failedHandshakes.store(2, ordering: .relaxed)
        metrics.show(edge)
        let telemetry = LoopTelemetry(log, metrics)
        for _ in 0..<3 { telemetry.began() }
        telemetry.finished(record())
        let page = page(metrics)
        for line in [
            "trionex_gateway_active_requests 2", "trionex_gateway_connections 5",
            "trionex_gateway_connections_ended_total{reason=\"handshake\"} 2",
            "trionex_gateway_upstream_healthy{upstream=\"content\",replica=\"10.0.0.1:8083\"} 1",
            "trionex_gateway_upstream_breaker{upstream=\"content\"} 0", "trionex_gateway_upstream_requests{upstream=\"content\"} 0",
            "trionex_gateway_upstream_waiting{upstream=\"content\",priority=\"bulk\"} 0",
        ] { #expect(page.contains(line + "\n"), "\(line)") }
    }

    @Test("stay bounded, whatever routes, statuses, replicas, plans and problems there are, and lose no request")
    func bounds() async throws {
        let metrics = GatewayMetrics(plans: (0..<500).map { "plan-\($0)" })
        let (telemetry, other) = (LoopTelemetry(log, metrics), LoopTelemetry(log, metrics))
        for index in 0..<3_000 {
            let route = Route(id: index, label: "GET /\(index)", service: .content)
            let replica = Replica(group: "g\(index % 300)", UpstreamSpec.Address(host: "h\(index)", port: 1))
            telemetry.finished(record(200 + index % 400, route, replica: replica, upstream: 1, problem: "p\(index)"))
            other.finished(record(index * 7, route))
        }
        for index in 0..<500 { other.finished(record(identity: try await identity(plan: "plan-\(index)"))) }
        let page = page(metrics).split(separator: "\n")
        func values(_ prefix: String) -> [Double] {
            page.filter { $0.hasPrefix(prefix + "{") }.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
        }
        for name in [
            "trionex_http_request_duration_seconds_count", "trionex_gateway_requests_total",
            "trionex_gateway_upstream_duration_seconds_count",
            "trionex_gateway_problems_total", "trionex_gateway_bytes_total",
        ] { #expect((1...Prometheus.maximumSeries).contains(values(name).count), "\(name)") }
        #expect(values("trionex_http_request_duration_seconds_count").reduce(0, +) == 6_500)
        #expect(values("trionex_gateway_requests_total").reduce(0, +) == 6_500)
        #expect(values("trionex_gateway_problems_total").reduce(0, +) == 3_000)
        #expect(page.contains { $0.contains("route=\"other\",status=\"500\"") })
    }

    @Test("of two gateways in one program are one, and of one that is gone no more")
    func several() {
        let page = Prometheus()
        let first = GatewayMetrics()
        LoopTelemetry(log, first).finished(record())
        first.register(page)
        do {
            let second = GatewayMetrics()
            LoopTelemetry(log, second).finished(record())
            second.register(page)
            #expect(page.render().contains("trionex_gateway_requests_total{plan=\"none\",upstream=\"none\",replica=\"none\"} 2\n"))
        }
        #expect(page.render().contains("trionex_gateway_requests_total{plan=\"none\",upstream=\"none\",replica=\"none\"} 1\n"))
    }

    @Test("may be asked for while the loops count")
    func together() async {
        let metrics = GatewayMetrics()
        await withTaskGroup(of: Void.self) { tasks in
            for loop in 0..<3 {
                tasks.addTask { [log] in
                    let telemetry = LoopTelemetry(log, metrics)
                    for index in 0..<5_000 {
                        telemetry.finished(record(200, Route(id: index % 50, label: "GET /\(index % 50)/\(loop)", service: .content)))
                    }
                }
            }
            tasks.addTask { for _ in 0..<300 { _ = metrics.families() } }
        }
        #expect(page(metrics).contains("trionex_gateway_requests_total{plan=\"none\",upstream=\"none\",replica=\"none\"} 15000\n"))
    }

    @Test("a span is told under the ids that the service was told of, unless the client does not want it")
    func spans() async throws {
        let bodies = Mutex<[JSONValue]>([])
        let router = Router()
        router.post("v1/traces") { request, _ in
            let buffer = try await request.body.collect(upTo: 1_000_000)
            let body = try JSON.decode(JSONValue.self, from: Data(buffer.readableBytesView))
            bodies.withLock { $0.append(body) }
            return HTTPResponse.Status.ok
        }
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let app = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { found.yield($0.localAddress?.port ?? 0) }, logger: quiet)
        let server = Task { try await app.run() }
        defer { server.cancel() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())
        #expect(SpanRecorder(TraceExporter(service: .gateway, endpoint: nil, logger: quiet)) == nil)
        let exporter = TraceExporter(service: .gateway, endpoint: "http://127.0.0.1:\(port)", logger: quiet)
        let recorder = try #require(SpanRecorder(exporter))
        let running = Task { try await exporter.run() }
        defer { running.cancel() }
        for flags in ["01", "00"] {
            let trace = TraceLine()
            let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\(flags)"
            #expect(Array(parent.utf8).withUnsafeBytes { trace.goOn($0, span: 99) })
            var record = record(503, replica: Replica(group: "content", .init(host: "10.0.0.1", port: 8083)), problem: "away")
            record.trace = trace
            "PATCH".utf8CString.withUnsafeBytes { method in
                record.method = UnsafeRawBufferPointer(rebasing: method.dropLast())
                recorder.record(record, wall: 10_000_000)
            }
        }
        try await eventually("the span arrives") { bodies.withLock { !$0.isEmpty } }
        let spans = bodies.withLock { $0 }.flatMap { $0["resourceSpans"][0]["scopeSpans"][0]["spans"].array }
        let span = try #require(spans.first)
        #expect(spans.count == 1 && span["name"].string == "GET /a" && span["traceId"].string == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(span["parentSpanId"].string == "00f067aa0ba902b7" && span["spanId"].string == "0000000000000063")
        #expect(span["startTimeUnixNano"].string == "7000000" && span["endTimeUnixNano"].string == "10000000")
        #expect(span["status"]["code"].int == 2)
        let method = span["attributes"].array.first { $0["key"].string == "http.request.method" }
        #expect(method?["value"]["stringValue"].string == "PATCH")
    }
}
