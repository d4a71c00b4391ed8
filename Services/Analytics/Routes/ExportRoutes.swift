import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Messaging
import NIOCore
import Postgres
import ServiceKit
import Synchronization

/// Raw rows for those who take them elsewhere: a spreadsheet, a warehouse, a column store.
struct ExportRoutes {
    let database: Database
    let exports = RunningExports()

    /// Days of one export: a longer time is several exports.
    static let maximumDays = 366.0

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("export", "Take out raw events, page views or facts, as NDJSON or CSV", may: "analytics:export", export)
        }
    }

    /// In the order of time, streamed as it is read, `to` not included. What arrives late during the export may be missed: a warehouse
    /// asks again for the last days, and knows rows by `eventId`. Bots are in it, marked.
    func export(_ request: CallerRequest, _ query: ExportQuery) async throws -> StreamedResult {
        let to = query.to?.date ?? request.now
        guard query.from.date < to else { throw ValidationFailure("?from", "out-of-range", "from must be earlier than to") }
        guard to.timeIntervalSince(query.from.date) <= Self.maximumDays * BucketCalendar.daySeconds else {
            throw ValidationFailure("?from", "out-of-range", "an export has at most \(Int(Self.maximumDays)) days")
        }
        let (source, format, from) = (query.source ?? .events, query.format ?? .ndjson, query.from.date)
        let (caller, database) = (request.caller, database)
        let seat = try exports.take(caller.tenant)
        try await database.transaction(as: caller) { tx in
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID).record(
                "analytics.export", "events", source.rawValue,
                changed: [
                    "from": .string(Timestamp.text(from)), "to": .string(Timestamp.text(to)), "format": .string(format.rawValue),
                ])
        }
        let writer = ExportWriter(columns: ExportStore.columns(source), format: format)
        let body = ResponseBody { output in
            defer { withExtendedLifetime(seat) {} }
            if !writer.head.isEmpty { try await output.write(ByteBuffer(bytes: writer.head)) }
            var place = ExportStore.Place(from: from)
            while true {
                let rows = try await database.query(
                    ExportStore.page(source, after: place, until: to, rows: ExportStore.pageRows), as: caller, slow: true)
                if !rows.isEmpty { try await output.write(ByteBuffer(bytes: try writer.lines(rows))) }
                guard rows.count == ExportStore.pageRows, let last = rows.last else { break }
                place = ExportStore.Place(after: last)
            }
            try await output.finish(nil)
        }
        let name = "analytics-\(source.rawValue)-\(Timestamp.text(from).prefix(10)).\(format.rawValue)"
        return StreamedResult(
            Response(
                status: .ok,
                headers: [
                    .contentType: format.mediaType, .cacheControl: "no-store",
                    .contentDisposition: "attachment; filename=\"\(name)\"",
                ], body: body))
    }
}

struct ExportQuery: Decodable, Sendable {
    let from: Moment
    let to: Moment?
    let source: ExportSource?
    let format: ExportFormat?
}

/// Exports under way: each reads its organization's rows as fast as the client takes them, so they are few.
final class RunningExports: Sendable {
    static let perTenant = 2
    static let altogether = 8

    /// Given back when nobody holds it any more: also when the body is never asked for, as with HEAD, or the client is gone before it.
    final class Seat: Sendable {
        private let exports: RunningExports
        private let tenant: TenantID

        fileprivate init(_ exports: RunningExports, _ tenant: TenantID) {
            self.exports = exports
            self.tenant = tenant
        }

        deinit { exports.end(tenant) }
    }

    private let running = Mutex<[TenantID: Int]>([:])

    func take(_ tenant: TenantID) throws(ExportFailure) -> Seat {
        let isFree = running.withLock { running in
            guard running[tenant, default: 0] < Self.perTenant, running.values.reduce(0, +) < Self.altogether else { return false }
            running[tenant, default: 0] += 1
            return true
        }
        guard isFree else { throw .tooMany }
        return Seat(self, tenant)
    }

    private func end(_ tenant: TenantID) {
        running.withLock { running in
            running[tenant, default: 1] -= 1
            if running[tenant] == 0 { running[tenant] = nil }
        }
    }
}

enum ExportFailure: String, Failure {
    case tooMany = "too-many-exports"

    var kind: FailureKind { .limited(retryAfter: 10) }
    var detail: String? { "Other exports of this organization are under way." }
}
