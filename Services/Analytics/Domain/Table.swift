import Contracts
import Foundation

/// Figures in rows and columns: what a report is, as JSON or as CSV.
struct Table: Sendable, Equatable {
    let columns: [String]
    let rows: [[JSONValue]]

    /// RFC 4180: CRLF after each row, the names of the columns first, quotes where they are needed.
    ///
    /// A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection), because names and
    /// pages are whatever the customers' visitors sent.
    var csv: String {
        var text = ""
        for row in [columns.map(JSONValue.string)] + rows {
            text += row.map(Self.cell).joined(separator: ",")
            text += "\r\n"
        }
        return text
    }

    private static let formulas: Set<Character> = ["=", "+", "-", "@", "\t", "\r", "\u{FF1D}", "\u{FF0B}", "\u{FF0D}", "\u{FF20}"]

    private static func cell(_ value: JSONValue) -> String {
        switch value {
        case .null: ""
        case .bool(let flag): flag ? "true" : "false"
        case .integer(let number): String(number)
        case .number(let number): String(number)
        case .string(let text): quoted(text.first.map(formulas.contains) == true ? "'" + text : text)
        case .array, .object: quoted((try? JSON.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "")
        }
    }

    private static func quoted(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0 == "," || $0 == "\"" || $0 == "\r" || $0 == "\n" }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }
}
