import Contracts
import Foundation

/// Which raw rows are taken out.
enum ExportSource: String, Codable, Sendable, CaseIterable {
    case events, pageViews, facts
}

enum ExportFormat: String, Codable, Sendable, CaseIterable {
    case ndjson, csv

    var mediaType: String {
        switch self {
        case .ndjson: "application/x-ndjson"
        case .csv: "text/csv; charset=utf-8; header=present"
        }
    }
}

/// One row on its way out: its fields in the order of the columns.
struct ExportRow: Sendable {
    let time: Date
    let id: UUID
    let fields: [JSONValue]
}

/// How rows are written.
struct ExportWriter: Sendable {
    let columns: [String]
    let format: ExportFormat

    /// What comes before the first row.
    var head: [UInt8] {
        switch format {
        case .ndjson: []
        case .csv: Array((columns.joined(separator: ",") + "\r\n").utf8)
        }
    }

    func lines(_ rows: [ExportRow]) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(rows.count * 300)
        for row in rows {
            switch format {
            case .ndjson:
                let object = zip(columns, row.fields).reduce(into: [String: JSONValue]()) { $0[$1.0] = $1.1 }
                bytes += try JSON.encode(object)
                bytes.append(UInt8(ascii: "\n"))
            case .csv:
                for (index, field) in row.fields.enumerated() {
                    if index > 0 { bytes.append(UInt8(ascii: ",")) }
                    bytes += Self.cell(try Self.text(field)).utf8
                }
                bytes += "\r\n".utf8
            }
        }
        return bytes
    }

    private static func text(_ value: JSONValue) throws -> String {
        switch value {
        case .null: ""
        case .string(let text): guarded(text)
        case .bool(let flag): flag ? "true" : "false"
        case .integer(let number): String(number)
        case .number(let number): String(number)
        case .array, .object: String(decoding: try JSON.encode(value), as: UTF8.self)
        }
    }

    /// Spreadsheets run what begins like this, and what is exported was written by strangers (OWASP, "CSV injection").
    private static func guarded(_ text: String) -> String {
        guard let first = text.unicodeScalars.first, ["=", "+", "-", "@", "\t", "\r"].contains(first) else { return text }
        return "'" + text
    }

    /// RFC 4180, section 2.
    private static func cell(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\"") || $0 == 10 || $0 == 13 }) else {
            return text
        }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }
}
