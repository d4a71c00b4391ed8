import Contracts
import Foundation
import Logging
import NIOCore
import Redis
import ServiceLifecycle
import Synchronization
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

/// A request that is over, as the tests make it: the memory that its record points to lives as long as this.
private final class Told {
    var record = AccessRecord()
    private var held: [UnsafeMutableRawBufferPointer] = []
    private let id = RequestID()
    private let trace = TraceLine()

    init(_ status: Int = 200, route: Route? = Told.route, agent: [UInt8] = Array("curl/8.5".utf8), id text: String = "request-0001") {
        _ = Array(text.utf8).withUnsafeBytes { id.accept($0) }
        trace.begin(0x1234_5678, 0x9abc, span: 77, sampled: true)
        record.route = route
        record.status = status
        record.endedAt = Monotonic.now()
        record.duration = 1_234_567
        record.received = 10
        record.sent = 500
        record.address = "203.0.113.7"
        record.agent = hold(agent)
        record.requestID = id.raw
        record.trace = trace
    }

    deinit { for bytes in held { bytes.deallocate() } }

    /// The record points to memory of this, which must last until it is read.
    func tell(_ telemetry: LoopTelemetry) { withExtendedLifetime(self) { telemetry.finished(record) } }
    func write(_ line: inout AccessLine, level: StaticString = "info", wall: UInt64, to writer: inout LineWriter) {
        withExtendedLifetime(self) { line.write(record, level: level, wall: wall, to: &writer) }
    }

    private func hold(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        copy.copyBytes(from: bytes)
        held.append(copy)
        return UnsafeRawBufferPointer(copy)
    }

    static let route = Route(id: 3, label: "GET /api/v1/content/articles/{id}", service: .content)

    static func identity(plan: String = "starter") async throws -> Identity {
        let verifier = TokenVerifier(source: .file(try await TestKeys.file()), revocations: nil, logger: quiet)
        let person = TestTenant().editor
        return Identity(try await verifier.verified(try await TestKeys.sign(person.claims(issuedAt: Date(), plan: plan))))
    }

    static func replica(_ host: String = "10.0.0.1", group: String = "content") -> Replica {
        Replica(group: group, UpstreamSpec.Address(host: host, port: 8083))
    }
}

private final class Sink: Sendable {
    private let held = Mutex<[UInt8]>([])
    func add(_ bytes: UnsafeRawBufferPointer) { held.withLock { $0 += bytes } }
    var bytes: [UInt8] { held.withLock { $0 } }
    var lines: [String] { String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init) }
}

private func line(_ told: Told, level: StaticString = "info", wall: UInt64 = 1_800_000_000_123_456_789) -> [UInt8] {
    var line = AccessLine(service: "gateway")
    return written { told.write(&line, level: level, wall: wall, to: &$0) }
}

private func written(_ capacity: Int = AccessLine.maximum, _ body: (inout LineWriter) -> Void) -> [UInt8] {
    let scratch = ScratchBytes(capacity)
    var writer = LineWriter(scratch.base, capacity: capacity)
    body(&writer)
    return Array(UnsafeBufferPointer(start: scratch.base, count: writer.count))
}

private func json(_ line: [UInt8]) throws -> JSONValue { try JSONDecoder().decode(JSONValue.self, from: Data(line)) }

@Suite("What is told of a request")
struct TelemetryRecordTests {
    private func door() async throws -> Door {
        var reader = SettingsReader(environment: [:])
        let settings = GatewaySettings(&reader)
        let redis = Redis(try RedisConfiguration(url: "redis://127.0.0.1:1"), logger: quiet)
        let log = AccessLog(quiet), groups = UpstreamGroups()
        return Door(
            settings: settings, verifier: TokenVerifier(source: .file(try await TestKeys.file()), revocations: nil, logger: quiet),
            revocations: Revocations(redis: redis, logger: quiet), apiKeys: nil, guesses: LimitGuesses(policy: settings.limits.badKeys),
            agreement: nil, routing: RoutingState(defaults: .forTests), groups: groups, limits: LimitBook(redis: redis, logger: quiet),
            cache: nil, pages: OwnPages { .document(Data("{}".utf8)) }, log: log, metrics: GatewayMetrics(groups: groups, log: log),
            maximumHeader: 32_768, logger: quiet)
    }

    @Test("has its method and its agent, as far as the head was read")
    func method() async throws {
        func told(_ exchange: Exchange) -> [String] {
            var told: [String] = []
            exchange.withRecord { record in
                told = [record.method, record.agent].map { String(decoding: $0, as: UTF8.self) }
            }
            return told
        }
        let loop = Loop(CacheFixture.loop, door: try await door())
        let exchange = Exchange(loop)
        #expect(told(exchange) == ["", ""])
        for agent in ["", "curl/8.5"] {
            let head = RequestHead(limits: .standard)
            var bytes = ByteBuffer(string: "PATCH /a HTTP/1.1\r\nHost: a\r\n\(agent.isEmpty ? "" : "User-Agent: \(agent)\r\n")\r\n")
            #expect(try head.parse(&bytes))
            exchange.request = head
            #expect(told(exchange) == ["PATCH", agent])
        }
    }
}

@Suite("The line that tells of a request")
struct TelemetryLineTests {
    @Test("has the fields, the names and the order of every other event of the log")
    func sameAsOthers() async throws {
        let told = Told()
        let identity = try await Told.identity()
        told.record.identity = identity
        told.record.problem = "limited"
        let log = JSONLog(service: "gateway", level: .info)
        let expected = log.line(
            level: .info, message: "request",
            metadata: [
                "requestId": "request-0001", "action": "GET /api/v1/content/articles/{id}", "duration": .stringConvertible(1),
                "statusCode": .stringConvertible(200), "ip": "203.0.113.7", "userAgent": "curl/8.5",
                "userId": "\(identity.principalText)", "tenantId": "\(identity.tenantText)",
                "traceId": "\(String(decoding: told.record.trace?.traceID ?? AccessRecord.none, as: UTF8.self))",
                "bytesIn": .stringConvertible(10), "bytesOut": .stringConvertible(500), "microseconds": .stringConvertible(1_234),
                "problem": "limited",
            ], at: Date(timeIntervalSince1970: 1_800_000_000.123))
        #expect(String(decoding: line(told), as: UTF8.self) == expected + "\n")
    }

    @Test("tells of the upstream, the cache, the protocol and second tries where there were any")
    func metadata() throws {
        let told = Told(502)
        told.record.replica = Told.replica()
        told.record.upstreamDuration = 250_999
        told.record.cache = "miss"
        told.record.version = "HTTP/2"
        told.record.tries = 2
        let value = try json(line(told, level: "error"))
        #expect(value["level"].string == "error" && value["statusCode"].int == 502)
        let more = value["metadata"]
        #expect(more["upstream"].string == "10.0.0.1:8083" && more["upstreamMicroseconds"].int == 250 && more["tries"].int == 2)
        #expect(more["cache"].string == "miss" && more["protocol"].string == "HTTP/2")
        #expect(value["userId"] == .null && value["tenantId"] == .null)
    }

    @Test("calls what has no route by what the gateway did")
    func withoutRoute() throws {
        let told = Told(404, route: nil)
        #expect(try json(line(told))["action"].string == "unrouted")
        told.record.action = "preflight"
        #expect(try json(line(told))["action"].string == "preflight")
    }

    @Test("tells the time to the millisecond, as other events do")
    func time() throws {
        var line = AccessLine(service: "gateway")
        for wall: UInt64 in [0, 999_999_999, 1_000_000_000, 951_827_696_000_000_000, 1_800_000_000_007_000_000, 1_800_000_000_999_999_999] {
            let bytes = written { Told().write(&line, wall: wall, to: &$0) }
            let expected = Timestamp.text(Date(timeIntervalSince1970: Double(wall / 1_000_000) / 1_000))
            #expect(try json(bytes)["timestamp"].string == expected)
        }
    }

    @Test("writes numbers of every length")
    func numbers() {
        var numbers: [UInt64] = [0, 1, 9, .max, .max - 1]
        for power in 1..<20 {
            let value = (0..<power).reduce(UInt64(1)) { product, _ in product * 10 }
            numbers += [value - 1, value, value + 1]
        }
        for number in numbers { #expect(String(decoding: written { $0.put(number) }, as: UTF8.self) == "\(number)") }
    }

    // MARK: - Hostile texts

    @Test(
        "stays one line of JSON whatever the user agent is",
        arguments: [
            Array("\"},\"level\":\"info".utf8), Array("a\nb\r\tc\u{0}\u{1F}\u{7F}\\".utf8), [0xFF, 0xFE, 0x80, 0x41], [0xC0, 0x80],
            [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF0, 0x9F, 0x98], [0xC3], Array("größe \u{1F600}".utf8),
            [UInt8](repeating: 0x22, count: 10_000), [UInt8](repeating: 0, count: 10_000), [UInt8](repeating: 0xE2, count: 300),
        ])
    func hostile(agent: [UInt8]) throws {
        let bytes = line(Told(agent: agent))
        #expect(bytes.count(where: { $0 == 0x0A }) == 1 && bytes.last == 0x0A)
        let text = try #require(try json(bytes)["userAgent"].string)
        if agent.count <= AgentMemory.maximum, let valid = String(validating: agent, as: UTF8.self) { #expect(text == valid) }
        #expect(text.utf8.count <= AgentMemory.maximum * 3)
        #expect(try json(bytes)["level"].string == "info")
    }

    @Test("and whatever 4,000 clients come up with")
    func fuzz() throws {
        var random = SystemRandomNumberGenerator()
        var line = AccessLine(service: "gateway")
        let pieces: [[UInt8]] = [
            [0x22], [0x5C], [0x0A], [0x00], [0x20], [0xC3, 0xA4], [0xE2, 0x82, 0xAC], [0xF0, 0x9F, 0x98, 0x80], [0x80], [0xF5],
            Array("Mozilla/5.0 ".utf8), Array("eyJ".utf8), Array("trx_".utf8), Array("\\u0022".utf8),
        ]
        for _ in 0..<4_000 {
            let agent = (0..<Int.random(in: 1...80, using: &random)).flatMap { _ in pieces.randomElement(using: &random) ?? [] }
            let told = Told(agent: agent)
            // Twice: it is remembered.
            let first = written { told.write(&line, wall: 1, to: &$0) }
            let second = written { told.write(&line, wall: 1, to: &$0) }
            #expect(first == second && first.count(where: { $0 == 0x0A }) == 1)
            let text = try #require(try json(first)["userAgent"].string, "\(agent)")
            #expect(!text.contains("eyJ") && !text.contains("trx_"))
            let isWhole = agent.count <= AgentMemory.maximum && !JSONTextTests.mayHoldSecret(agent)
            if isWhole, let valid = String(validating: agent, as: UTF8.self) { #expect(text == valid) }
        }
    }

    @Test("many agents that fall into the same place of its memory are not mistaken for each other")
    func memory() throws {
        var line = AccessLine(service: "gateway")
        for _ in 0..<3 {
            for index in 0..<1_000 {
                let told = Told(agent: Array("agent number \(index) of many".utf8))
                let bytes = written { told.write(&line, wall: 1, to: &$0) }
                #expect(try json(bytes)["userAgent"].string == "agent number \(index) of many")
            }
        }
    }

    @Test("hides what looks like a token or a key, in the user agent and in the request's id, as other events do")
    func secrets() throws {
        let token = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
        let told = Told(agent: Array("curl/8 Bearer \(token) key=trx_live_123 end".utf8), id: token)
        let text = String(decoding: line(told), as: UTF8.self)
        #expect(!text.contains("eyJ") && !text.contains("trx_"))
        let value = try json(Array(text.utf8))
        #expect(value["userAgent"].string == "curl/8 Bearer [hidden] [hidden] end" && value["requestId"].string == "[hidden]")
    }

    @Test("has room for the longest of everything, and leaves out what has none")
    func longest() throws {
        let label = String(repeating: "\u{1}", count: 5_000)
        let told = Told(
            agent: [UInt8](repeating: 1, count: 5_000), id: String(repeating: "x", count: 128))
        told.record.route = Route(id: 0, label: label, service: .content)
        told.record.problem = label
        told.record.address = label
        told.record.replica = Told.replica(label)
        told.record.upstreamDuration = .max
        told.record.duration = .max
        let bytes = line(told)
        #expect(bytes.count <= AccessLine.maximum)
        #expect(try json(bytes)["statusCode"].int == 200)
        #expect(
            written(10) {
                $0.put("ten bytes."); $0.put("more"); $0.put(UInt64(12_345)); $0.put(UInt8(1))
            }.count == 10)
    }
}

enum JSONTextTests {
    static func mayHoldSecret(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { JSONText.mayHoldSecret($0) } }
}

@Suite("The log of requests")
struct TelemetryLogTests {
    private func accessLog(_ sink: Sink, _ level: Logger.Level = .info) -> AccessLog {
        AccessLog(service: "gateway", level: level) { sink.add($0) }
    }

    @Test("gets the lines of all loops, whole and in their order, and all of them before the program ends")
    func everyLine() async throws {
        let sink = Sink()
        let log = accessLog(sink)
        let metrics = GatewayMetrics()
        let group = ServiceGroup(
            configuration: .init(services: [log], gracefulShutdownSignals: [], logger: quiet))
        let running = Task { try await group.run() }
        await withTaskGroup(of: Void.self) { tasks in
            for loop in 0..<4 {
                tasks.addTask {
                    let telemetry = LoopTelemetry(log, metrics)
                    for index in 0..<2_000 {
                        telemetry.began()
                        Told(id: "loop-\(loop)-\(10_000 + index)").tell(telemetry)
                    }
                }
            }
        }
        await group.triggerGracefulShutdown()
        try await running.value
        var next = [0, 0, 0, 0]
        for line in sink.lines {
            let id = try #require(try json(Array(line.utf8))["requestId"].string).split(separator: "-")
            let (loop, index) = (try #require(Int(id[1])), try #require(Int(id[2])) - 10_000)
            #expect(index == next[loop])
            next[loop] += 1
        }
        #expect(next == [2_000, 2_000, 2_000, 2_000] && log.dropped == 0)
    }

    @Test("shows lines within a moment")
    func soon() async throws {
        let sink = Sink()
        let log = accessLog(sink)
        let running = Task { try await log.run() }
        Told().tell(LoopTelemetry(log, GatewayMetrics()))
        try await eventually("the line is written") { sink.lines.count == 1 }
        running.cancel()
        try await running.value
    }

    @Test("tells of faults alone above info, and of nothing above error")
    func levels() {
        for (level, expected) in [(Logger.Level.debug, 2), (.info, 2), (.notice, 1), (.error, 1), (.critical, 0)] {
            let sink = Sink()
            let log = accessLog(sink, level)
            let telemetry = LoopTelemetry(log, GatewayMetrics())
            Told(200).tell(telemetry)
            Told(503).tell(telemetry)
            log.flush()
            #expect(sink.lines.count == expected, "\(level)")
            #expect(sink.lines.last?.contains("\"level\":\"error\"") ?? true)
        }
    }

    @Test("goes where the program's log goes, and where that is none of ours, nowhere")
    func program() {
        let lines = Town.Lines()
        let log = AccessLog(Logger(label: "gateway") { _ in JSONLog(service: "gateway", level: .info) { lines.append($0) } })
        let telemetry = LoopTelemetry(log, GatewayMetrics())
        Told(200).tell(telemetry)
        Told(200).tell(telemetry)
        log.flush()
        #expect(lines.all.count == 2 && lines.all.allSatisfy { $0.hasPrefix("{\"action\":") && $0.hasSuffix("}") })
        #expect(!AccessLog(quiet).tellsFaults)
    }

    @Test("drops and counts lines when nobody takes them, in bounded memory, and goes on afterwards")
    func slowLog() {
        let sink = Sink()
        let log = accessLog(sink)
        let telemetry = LoopTelemetry(log, GatewayMetrics(log: log))
        let told = Told()
        let length = line(told).count
        let room = (AccessLog.maximumWaiting + 1) * (AccessLog.flushBytes / length + 1)
        for _ in 0..<(room + 1_000) { told.tell(telemetry) }
        #expect(log.dropped == 1_000)
        log.flush()
        #expect(sink.lines.count == room)
        told.tell(telemetry)
        log.flush()
        #expect(sink.lines.count == room + 1 && log.dropped == 1_000)
    }
}
