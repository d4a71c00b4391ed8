import AsyncHTTPClient
package import Contracts
import Foundation
package import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization
package import Tracing

/// W3C Trace Context (`traceparent`), as it travels in headers.
package struct TraceParent: Sendable, Hashable {
    /// 32 lowercase hexadecimal digits.
    package let traceID: String
    /// 16 lowercase hexadecimal digits.
    package let spanID: String
    package let sampled: Bool

    package init(traceID: String, spanID: String, sampled: Bool) {
        self.traceID = traceID
        self.spanID = spanID
        self.sampled = sampled
    }

    /// Nil for anything that is not version 00 as the recommendation has it.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "00", Self.isHex(parts[1], 32), Self.isHex(parts[2], 16), Self.isHex(parts[3], 2),
            parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" }), let flags = UInt8(parts[3], radix: 16)
        else { return nil }
        self.init(traceID: String(parts[1]), spanID: String(parts[2]), sampled: flags & 1 == 1)
    }

    package var text: String { "00-\(traceID)-\(spanID)-\(sampled ? "01" : "00")" }

    private static func isHex(_ part: Substring, _ count: Int) -> Bool {
        part.utf8.count == count && part.utf8.allSatisfy { ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 102) }
    }

    static func random(digits: Int) -> String {
        var text = ""
        while text.utf8.count < digits {
            let part = String(UInt64.random(in: 1...UInt64.max), radix: 16)
            text += String(repeating: "0", count: 16 - part.utf8.count) + part
        }
        return String(text.prefix(digits))
    }
}

private enum TraceParentKey: ServiceContextKey {
    typealias Value = TraceParent
}

extension ServiceContext {
    package var traceParent: TraceParent? {
        get { self[TraceParentKey.self] }
        set { self[TraceParentKey.self] = newValue }
    }
}

/// Continues traces through HTTP and Kafka, and exports finished spans over OTLP (HTTP with JSON) when an address is set.
package final class TraceExporter: Tracer, Service {
    package typealias Span = RecordedSpan

    /// Spans kept while the collector is away; beyond this the newest are dropped.
    static let queueLimit = 8_192
    static let batchSize = 512
    static let interval = Duration.seconds(2)

    private let service: String
    private let endpoint: String?
    private let logger: Logger
    private let queue = Mutex<[RecordedSpan.Finished]>([])

    package init(service: ServiceName, endpoint: String?, logger: Logger) {
        self.service = service.rawValue
        self.endpoint = endpoint.map { $0.hasSuffix("/v1/traces") ? $0 : $0 + "/v1/traces" }
        self.logger = logger
    }

    package func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind, at instant: @autoclosure () -> Instant,
        function: String, file fileID: String, line: UInt
    ) -> RecordedSpan {
        var context = context()
        let parent = context.traceParent
        let own = TraceParent(
            traceID: parent?.traceID ?? TraceParent.random(digits: 32), spanID: TraceParent.random(digits: 16),
            sampled: parent?.sampled ?? true)
        context.traceParent = own
        guard endpoint != nil, own.sampled else {
            return RecordedSpan(name: operationName, kind: kind, context: context, parentID: parent?.spanID, start: 0, export: nil)
        }
        let start: UInt64 = instant().nanosecondsSinceEpoch
        let export: @Sendable (RecordedSpan.Finished) -> Void = { [weak self] span in self?.enqueue(span) }
        return RecordedSpan(name: operationName, kind: kind, context: context, parentID: parent?.spanID, start: start, export: export)
    }

    package func forceFlush() {}

    package func extract<Carrier, Extract: Extractor>(_ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract)
    where Extract.Carrier == Carrier {
        if let text = extractor.extract(key: "traceparent", from: carrier), let parent = TraceParent(text) { context.traceParent = parent }
    }

    package func inject<Carrier, Inject: Injector>(_ context: ServiceContext, into carrier: inout Carrier, using injector: Inject)
    where Inject.Carrier == Carrier {
        if let parent = context.traceParent { injector.inject(parent.text, forKey: "traceparent", into: &carrier) }
    }

    /// Whether there is anywhere to send spans to.
    package var isExporting: Bool { endpoint != nil }

    /// Takes a span that somebody else has measured, under ids of its own. Times are nanoseconds since 1970.
    package func record(
        _ name: String, _ kind: SpanKind, _ trace: TraceParent, parentID: String?, start: UInt64, end: UInt64,
        attributes: SpanAttributes, failed: Bool
    ) {
        guard endpoint != nil, trace.sampled else { return }
        enqueue(
            RecordedSpan.Finished(
                name: name, kind: kind, trace: trace, parentID: parentID, start: start, end: end, attributes: attributes, failed: failed))
    }

    private func enqueue(_ span: RecordedSpan.Finished) {
        queue.withLock { if $0.count < Self.queueLimit { $0.append(span) } }
    }

    package func run() async throws {
        guard endpoint != nil else {
            try? await gracefulShutdown()
            return
        }
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.interval)
                await flush()
            }
        }
        await flush()
    }

    private func flush() async {
        guard let endpoint else { return }
        while true {
            let batch = queue.withLock { queue in
                let batch = Array(queue.prefix(Self.batchSize))
                queue.removeFirst(batch.count)
                return batch
            }
            if batch.isEmpty { return }
            var request = HTTPClientRequest(url: endpoint)
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: (try? JSON.encode(OTLP.body(service: service, spans: batch))) ?? Data()))
            do {
                let response = try await InternalHTTP.client.execute(request, timeout: .seconds(3))
                if response.status.code < 300 { continue }
                logger.debug("traces were refused", metadata: ["statusCode": .stringConvertible(response.status.code)])
            } catch {
                logger.debug("traces could not be sent", metadata: ["reason": "\(error)"])
            }
            queue.withLock { $0.insert(contentsOf: batch.prefix(max(0, Self.queueLimit - $0.count)), at: 0) }
            return
        }
    }
}

/// One span. Records only while it is exported; otherwise it just carries the trace on.
package final class RecordedSpan: Tracing.Span {
    struct Finished: Sendable {
        let name: String
        let kind: SpanKind
        let trace: TraceParent
        let parentID: String?
        let start: UInt64
        let end: UInt64
        let attributes: SpanAttributes
        let failed: Bool
    }

    private struct State {
        var name: String
        var attributes: SpanAttributes = [:]
        var failed = false
        var ended = false
    }

    package let context: ServiceContext
    private let kind: SpanKind
    private let parentID: String?
    private let start: UInt64
    private let export: (@Sendable (Finished) -> Void)?
    private let state: Mutex<State>

    init(
        name: String, kind: SpanKind, context: ServiceContext, parentID: String?, start: UInt64, export: (@Sendable (Finished) -> Void)?
    ) {
        self.kind = kind
        self.context = context
        self.parentID = parentID
        self.start = start
        self.export = export
        state = Mutex(State(name: name))
    }

    package var isRecording: Bool { export != nil }
    package var operationName: String {
        get { state.withLock { $0.name } }
        set { state.withLock { $0.name = newValue } }
    }
    package var attributes: SpanAttributes {
        get { state.withLock { $0.attributes } }
        set { if isRecording { state.withLock { $0.attributes = newValue } } }
    }
    package func setStatus(_ status: SpanStatus) { state.withLock { $0.failed = status.code == .error } }
    package func addEvent(_ event: SpanEvent) {}
    package func addLink(_ link: SpanLink) {}
    package func recordError<Instant: TracerInstant>(_ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant)
    {
        state.withLock { $0.failed = true }
    }

    package func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        guard let export, let trace = context.traceParent else { return }
        let end = instant().nanosecondsSinceEpoch
        let finished: Finished? = state.withLock { state in
            if state.ended { return nil }
            state.ended = true
            return Finished(
                name: state.name, kind: kind, trace: trace, parentID: parentID, start: start, end: end, attributes: state.attributes,
                failed: state.failed)
        }
        if let finished { export(finished) }
    }
}

/// The JSON of OTLP 1.x, as far as spans need it.
enum OTLP {
    static func body(service: String, spans: [RecordedSpan.Finished]) -> JSONValue {
        .object([
            "resourceSpans": .array([
                .object([
                    "resource": .object(["attributes": .array([attribute("service.name", .string(service))])]),
                    "scopeSpans": .array([.object(["scope": .object(["name": .string("trionex")]), "spans": .array(spans.map(span))])]),
                ])
            ])
        ])
    }

    private static func span(_ span: RecordedSpan.Finished) -> JSONValue {
        var attributes: [JSONValue] = []
        span.attributes.forEach { key, value in
            switch value {
            case .string(let text): attributes.append(attribute(key, .string(text)))
            case .int64(let number): attributes.append(attribute(key, .integer(Int(number))))
            case .int32(let number): attributes.append(attribute(key, .integer(Int(number))))
            case .bool(let flag): attributes.append(attribute(key, .bool(flag)))
            default: break
            }
        }
        var object: [String: JSONValue] = [
            "traceId": .string(span.trace.traceID), "spanId": .string(span.trace.spanID), "name": .string(span.name),
            "kind": .integer(kind(span.kind)), "startTimeUnixNano": .string(String(span.start)),
            "endTimeUnixNano": .string(String(span.end)), "attributes": .array(attributes),
            "status": .object(["code": .integer(span.failed ? 2 : 0)]),
        ]
        if let parent = span.parentID { object["parentSpanId"] = .string(parent) }
        return .object(object)
    }

    private static func attribute(_ key: String, _ value: JSONValue) -> JSONValue {
        let wrapped: JSONValue =
            switch value {
            case .integer(let number): .object(["intValue": .string(String(number))])
            case .bool: .object(["boolValue": value])
            default: .object(["stringValue": value])
            }
        return .object(["key": .string(key), "value": wrapped])
    }

    /// The numbers of `SpanKind` in opentelemetry-proto.
    private static func kind(_ kind: SpanKind) -> Int {
        switch kind {
        case .server: 2
        case .client: 3
        case .producer: 4
        case .consumer: 5
        default: 1
        }
    }
}
