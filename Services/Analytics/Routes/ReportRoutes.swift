import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

/// Tables for people: as JSON, or as CSV for their spreadsheets.
struct ReportRoutes {
    let engine: any AnalyticsEngine

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("reports", "The reports there are", may: "analytics:read", list)
            Endpoint.get("reports/:type", "A report, as JSON or (Accept: text/csv, or format=csv) as CSV", may: "analytics:read", report)
        }
    }

    func list(_ request: CallerRequest) async throws -> ReportListView {
        ReportListView(data: ReportType.allCases.map { ReportListView.Entry(type: $0.rawValue) })
    }

    /// A report that there is not answers 404.
    func report(_ request: CallerRequest, _ query: ReportQuery) async throws -> ReportView {
        let type = try request.path("type", as: ReportType.self)
        let period = try Period(from: query.from?.date, to: query.to?.date, granularity: query.granularity ?? .day, now: request.now)
        return ReportView(try await engine.report(type, period, as: request.caller), format: query.format)
    }
}

struct ReportQuery: Decodable, Sendable {
    let from: Moment?
    let to: Moment?
    let granularity: Granularity?
    /// Without it the `Accept` header decides.
    let format: ReportFormat?
}

enum ReportFormat: String, Codable, Sendable, CaseIterable {
    case json, csv
}

struct ReportListView: View {
    struct Entry: Codable, Sendable {
        let type: String
    }

    let data: [Entry]
}

/// A report with its rows in the order of its columns.
struct ReportView: View {
    let type: String
    let from: Date
    let to: Date
    let columns: [String]
    let rows: [[JSONValue]]
    let approximate: [String: Double]?
    /// What was before is no longer kept, and in no figure but numbers of answers and ratings; left out when all of the period is there.
    /// Cells of which nothing is known for that are null, and whole buckets of it are left out where there is nothing else in their row.
    let keptFrom: Date?
    private var format: ReportFormat?

    private enum CodingKeys: CodingKey { case type, from, to, columns, rows, approximate, keptFrom }

    init(_ report: Report, format: ReportFormat?) {
        type = report.type.rawValue
        from = report.from
        to = report.to
        columns = report.table.columns
        rows = report.table.rows
        approximate = report.approximate
        keptFrom = report.keptFrom
        self.format = format
    }

    func response(to request: PublicRequest) throws -> Response {
        guard (format ?? Self.format(accepted: request.headers[.accept])) == .csv else {
            var response = Response(
                status: .ok, headers: [.contentType: "application/json"],
                body: .init(byteBuffer: ByteBuffer(bytes: try JSON.encode(self))))
            response.headers[.vary] = "Accept"
            return response
        }
        let day = { (date: Date) in String(Timestamp.text(date).prefix(10)) }
        let name = "\(type)-\(day(from))-\(day(to)).csv"
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/csv; charset=utf-8; header=present", .contentDisposition: "attachment; filename=\"\(name)\"",
                .xContentTypeOptions: "nosniff", .vary: "Accept",
            ],
            body: .init(byteBuffer: ByteBuffer(string: Table(columns: columns, rows: rows).csv)))
    }

    /// CSV if it is named, and JSON not before it with as much weight.
    static func format(accepted header: String?) -> ReportFormat {
        var best: (format: ReportFormat, weight: Double)?
        for part in (header ?? "").split(separator: ",") {
            let pieces = part.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
            let weight = pieces.dropFirst().first { $0.hasPrefix("q=") }.flatMap { Double($0.dropFirst(2)) } ?? 1
            let format: ReportFormat? =
                switch pieces.first {
                case "text/csv": .csv
                case "application/json", "*/*", "application/*": .json
                default: nil
                }
            if let format, weight > best?.weight ?? 0 { best = (format, weight) }
        }
        return best?.format ?? .json
    }
}
