import Contracts
import ServiceKit
import Tracing

/// Tells the collector of a request, under the span that the services were told of. Costs nothing where there is no collector.
struct SpanRecorder {
    private let exporter: TraceExporter

    /// Nil where there is nowhere to send spans to.
    init?(_ exporter: TraceExporter? = Telemetry.spans) {
        guard let exporter, exporter.isExporting else { return nil }
        self.exporter = exporter
    }

    /// `wall` is the time of the end in nanoseconds since 1970.
    func record(_ record: borrowing AccessRecord, wall: UInt64) {
        guard let trace = record.trace, trace.isSampled else { return }
        var attributes = SpanAttributes()
        attributes["http.response.status_code"] = record.status
        if !record.method.isEmpty { attributes["http.request.method"] = String(decoding: record.method, as: UTF8.self) }
        if let route = record.route { attributes["http.route"] = route.label }
        if let replica = record.replica { attributes["server.address"] = replica.authority }
        if let problem = record.problem { attributes["trionex.problem"] = problem }
        exporter.record(
            record.route?.label ?? "\(record.action ?? AccessRecord.unrouted)", .server,
            TraceParent(
                traceID: String(decoding: trace.traceID, as: UTF8.self), spanID: String(decoding: trace.spanID, as: UTF8.self),
                sampled: true),
            parentID: trace.isContinued ? String(decoding: trace.parentID, as: UTF8.self) : nil,
            start: wall &- min(wall, record.duration), end: wall, attributes: attributes, failed: record.status >= 500)
    }
}
