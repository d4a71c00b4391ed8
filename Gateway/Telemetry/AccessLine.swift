import Contracts
import Foundation

/// Writes the one log event of a request, in the field names and the order in which `JSONLog` writes all others.
///
/// An event loop has one of its own: it remembers what comes again in the next line.
struct AccessLine {
    /// Bytes of a route's label that are logged.
    static let maximumLabel = 512
    /// Of addresses, ids, codes and names.
    static let maximumShort = 256
    /// The longest line: label, agent and seven shorter texts, each byte an escape of six, and what stands between them.
    static let maximum = AgentMemory.maximumEscaped + 6 * (maximumLabel + 7 * maximumShort) + 1_024

    private let service: [UInt8]
    private var agents = AgentMemory()
    /// `"label"`, by `Route.id`.
    private var labels: [[UInt8]] = []
    private var second = UInt64.max
    /// `"2026-11-21T05:28:02.`
    private var secondText: [UInt8] = []

    init(service: String) { self.service = Self.quoted(service, Self.maximumShort) }

    /// `wall` is the time in nanoseconds since 1970.
    mutating func write(_ record: borrowing AccessRecord, level: StaticString, wall: UInt64, to line: inout LineWriter) {
        line.put(#"{"action":"#)
        writeAction(record, to: &line)
        line.put(#","duration":"#)
        line.put(record.duration / 1_000_000)
        if let address = record.address {
            line.put(#","ip":""#)
            line.put(escaped: address, limit: Self.maximumShort)
            line.put(UInt8(ascii: "\""))
        }
        line.put(#","level":""#)
        line.put(level)
        line.put(#"","message":"request","metadata":{"#)
        writeMetadata(record, to: &line)
        line.put(#"},"requestId":""#)
        Self.write(plain: record.requestID, to: &line)
        line.put(#"","service":"#)
        line.put(service)
        line.put(#","statusCode":"#)
        line.put(UInt64(max(0, record.status)))
        if let identity = record.identity {
            line.put(#","tenantId":""#)
            line.put(escaped: identity.tenantText, limit: Self.maximumShort)
            line.put(UInt8(ascii: "\""))
        }
        line.put(#","timestamp":"#)
        writeTime(wall, to: &line)
        if let trace = record.trace {
            line.put(#","traceId":""#)
            line.put(trace.traceID)
            line.put(UInt8(ascii: "\""))
        }
        if !record.agent.isEmpty {
            line.put(#","userAgent":"#)
            agents.write(record.agent, to: &line)
        }
        if let identity = record.identity {
            line.put(#","userId":""#)
            line.put(escaped: identity.principalText, limit: Self.maximumShort)
            line.put(UInt8(ascii: "\""))
        }
        line.put("}\n")
    }

    private mutating func writeAction(_ record: borrowing AccessRecord, to line: inout LineWriter) {
        guard let route = record.route else {
            line.put(UInt8(ascii: "\""))
            line.put(record.action ?? AccessRecord.unrouted)
            line.put(UInt8(ascii: "\""))
            return
        }
        while labels.count <= route.id { labels.append([]) }
        if labels[route.id].isEmpty { labels[route.id] = Self.quoted(route.label, Self.maximumLabel) }
        line.put(labels[route.id])
    }

    private func writeMetadata(_ record: borrowing AccessRecord, to line: inout LineWriter) {
        line.put(#""bytesIn":"#)
        line.put(UInt64(max(0, record.received)))
        line.put(#","bytesOut":"#)
        line.put(UInt64(max(0, record.sent)))
        if let cache = record.cache {
            line.put(#","cache":""#)
            line.put(cache)
            line.put(UInt8(ascii: "\""))
        }
        line.put(#","microseconds":"#)
        line.put(record.duration / 1_000)
        if let problem = record.problem {
            line.put(#","problem":""#)
            line.put(escaped: problem, limit: Self.maximumShort)
            line.put(UInt8(ascii: "\""))
        }
        if let version = record.version {
            line.put(#","protocol":""#)
            line.put(version)
            line.put(UInt8(ascii: "\""))
        }
        if record.tries > 1 {
            line.put(#","tries":"#)
            line.put(UInt64(record.tries))
        }
        guard let replica = record.replica else { return }
        line.put(#","upstream":""#)
        line.put(escaped: replica.authority, limit: Self.maximumShort)
        line.put(UInt8(ascii: "\""))
        if let duration = record.upstreamDuration {
            line.put(#","upstreamMicroseconds":"#)
            line.put(duration / 1_000)
        }
    }

    private mutating func writeTime(_ wall: UInt64, to line: inout LineWriter) {
        let seconds = wall / 1_000_000_000
        if seconds != second {
            second = seconds
            // The whole second with its fraction, less the fraction.
            secondText = Array("\"\(Timestamp.text(Date(timeIntervalSince1970: TimeInterval(seconds))).dropLast(4))".utf8)
        }
        line.put(secondText)
        line.put(milliseconds: wall / 1_000_000 % 1_000)
        line.put(#"Z""#)
    }

    /// A request's id is sane, but the client may have put a token of its own into it.
    private static func write(plain text: UnsafeRawBufferPointer, to line: inout LineWriter) {
        if JSONText.mayHoldSecret(text) { line.put("[hidden]") } else { line.put(escaped: text) }
    }

    private static func quoted(_ text: String, _ limit: Int) -> [UInt8] {
        let scratch = ScratchBytes(limit * 6 + 2)
        var writer = LineWriter(scratch.base, capacity: scratch.count)
        writer.put(UInt8(ascii: "\""))
        Array(text.utf8).withUnsafeBytes { writer.put(escaped: JSONText.prefix($0, limit)) }
        writer.put(UInt8(ascii: "\""))
        return Array(UnsafeBufferPointer(start: scratch.base, count: writer.count))
    }
}
