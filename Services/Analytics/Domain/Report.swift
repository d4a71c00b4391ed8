import Contracts
import Foundation

/// The reports there are: tables for people and their spreadsheets.
enum ReportType: String, Sendable, CaseIterable, LosslessStringConvertible {
    /// Over time.
    case activity, users, content, assistant, sessions, revenue, satisfaction
    /// Ranked.
    case pages, referrers, events, categories, countries, devices, features
    /// Who came back.
    case retention

    var description: String { rawValue }
    init?(_ description: String) { self.init(rawValue: description) }

    /// Rows of a ranked report.
    static let ranked = 1_000
}

/// A report: what it is about, and its table.
struct Report: Sendable {
    let type: ReportType
    let from: Date
    let to: Date
    let table: Table
    let approximate: [String: Double]?
    /// Nil when all of the period is in it.
    let keptFrom: Date?

    init(_ type: ReportType, _ period: Period, _ table: Table, approximate: [String: Double]? = nil, keptFrom: Date? = nil) {
        self.keptFrom = keptFrom
        self.type = type
        from = period.from
        to = period.to
        self.table = table
        self.approximate = approximate
    }
}

extension JSONValue {
    /// A figure that there may not be.
    static func figure(_ number: Double?) -> JSONValue { number.map(JSONValue.number) ?? .null }
    static func time(_ date: Date) -> JSONValue { .string(Timestamp.text(date)) }
    static func text(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }
}
