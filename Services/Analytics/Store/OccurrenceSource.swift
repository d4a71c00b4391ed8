import Contracts
import Foundation
import Postgres

/// The raw rows of events and page views, read as one relation.
///
/// Both tables are asked with the same fields and conditions, each in its own columns; a table that cannot have any row for
/// the conditions is not asked. Bots are in no figure. The text of every column and operator stands here, as a literal; what comes
/// from outside is bound.
enum OccurrenceSource {
    /// `columns` gives what is selected of each table; its rows are those within the time that meet all conditions.
    static func rows(
        _ kinds: [OccurrenceKind] = OccurrenceKind.allCases, from: Date, to: Date, where filters: [Filter] = [],
        _ columns: (OccurrenceKind) -> SQL
    ) -> SQL {
        rows(kinds, from: from, to: to, whereAny: [filters], columns)
    }

    /// The same, of the rows that meet all conditions of any of the lists.
    static func rows(
        _ kinds: [OccurrenceKind] = OccurrenceKind.allCases, from: Date, to: Date, whereAny lists: [[Filter]],
        _ columns: (OccurrenceKind) -> SQL
    ) -> SQL {
        let branches = kinds.filter { kind in lists.contains { $0.allSatisfy { canMatch($0, kind) } } }
        // No table at all: no rows, but with the columns that the statement around it names.
        guard !branches.isEmpty else { return branch(.event, from, to, lists, columns) + " AND false" }
        return branches.map { branch($0, from, to, lists, columns) }.joined(separator: "\nUNION ALL\n")
    }

    private static func branch(
        _ kind: OccurrenceKind, _ from: Date, _ to: Date, _ lists: [[Filter]], _ columns: (OccurrenceKind) -> SQL
    ) -> SQL {
        let table: SQL =
            switch kind {
            case .event: "analytics_events"
            case .pageView: "page_views"
            }
        let sql: SQL =
            """
            SELECT \(fragment: columns(kind)) FROM \(fragment: table)
            WHERE NOT is_bot AND occurred_at >= \(from) AND occurred_at < \(to)
            """
        if lists.contains(where: \.isEmpty) { return sql }
        return sql + " AND (" + lists.map { all($0, of: kind) }.joined(separator: " OR ") + ")"
    }

    /// All of the conditions; true without any.
    static func all(_ filters: [Filter], of kind: OccurrenceKind) -> SQL {
        guard filters.allSatisfy({ canMatch($0, kind) }) else { return "false" }
        return filters.isEmpty ? "true" : "(" + filters.map { condition($0, of: kind) }.joined(separator: " AND ") + ")"
    }

    /// Whether rows of this kind can meet the condition at all.
    static func canMatch(_ filter: Filter, _ kind: OccurrenceKind) -> Bool {
        switch (filter.field, filter.test) {
        case (.known(.kind), .equal(let values)): return values.contains(.text(kind.rawValue))
        case (.known(.kind), .notEqual(let values)): return !values.contains(.text(kind.rawValue))
        case (_, .notEqual), (_, .exists(false)): return true
        default: return has(filter.field, kind)
        }
    }

    /// Whether rows of this kind have the field.
    static func has(_ field: Field, _ kind: OccurrenceKind) -> Bool {
        switch field {
        case .known(.eventName), .known(.eventCategory), .property: kind == .event
        case .known(.durationSeconds), .known(.bounce): kind == .pageView
        case .known: true
        }
    }

    // MARK: - Expressions

    /// A field of one table. Properties are `jsonb`, and a JSON null is none.
    static func expression(_ field: Field, of kind: OccurrenceKind) -> SQL {
        guard has(field, kind) else { return nothing(field.type) }
        switch field {
        case .known(let known): return column(known, of: kind)
        case .property(let path):
            let steps = path.steps
            if steps.count == 1 { return "nullif(event_properties -> \(path.name)::text, 'null'::jsonb)" }
            return "nullif(coalesce(event_properties -> \(path.name)::text, event_properties #> \(steps)), 'null'::jsonb)"
        }
    }

    private static func column(_ field: KnownField, of kind: OccurrenceKind) -> SQL {
        switch field {
        case .kind: kind == .event ? "'event'::text" : "'pageView'::text"
        case .eventName: "event_name::text"
        case .eventCategory: "event_category::text"
        case .url: "url::text"
        case .path: "path::text"
        case .referrer: "referrer::text"
        case .referrerHost: "referrer_host::text"
        case .userId: "user_id"
        case .sessionId: "session_id::text"
        case .country: "location ->> 'country'"
        case .deviceType: "device_info ->> 'type'"
        case .browser: "device_info ->> 'browser'"
        case .os: "device_info ->> 'os'"
        case .durationSeconds: "duration_seconds"
        case .bounce: "bounce"
        }
    }

    private static func nothing(_ type: FieldType) -> SQL {
        switch type {
        case .text: "NULL::text"
        case .uuid: "NULL::uuid"
        case .number: "NULL::integer"
        case .flag: "NULL::boolean"
        case .json: "NULL::jsonb"
        }
    }

    /// A number of a property beyond it is none: sums of these are still numbers that an answer can have.
    private static let largestNumber: SQL = "1e100"

    /// The field as a number: what is none is NULL. Exact, so that sums do not depend on the order of the rows.
    static func number(_ field: Field, of kind: OccurrenceKind) -> SQL {
        let value = expression(field, of: kind)
        switch field.type {
        case .json:
            return """
                CASE WHEN jsonb_typeof(\(fragment: value)) = 'number' THEN
                    CASE WHEN abs((\(fragment: value))::numeric) <= \(fragment: largestNumber) THEN (\(fragment: value))::numeric END END
                """
        case .number: return "(\(fragment: value))::numeric"
        case .text, .uuid, .flag: return "NULL::numeric"
        }
    }

    /// The field as something to group by: of properties texts, numbers and flags, not whole objects.
    static func group(_ field: Field, of kind: OccurrenceKind) -> SQL {
        let value = expression(field, of: kind)
        guard field.type == .json else { return value }
        return "CASE WHEN jsonb_typeof(\(fragment: value)) IN ('string', 'number', 'boolean') THEN \(fragment: value) END"
    }

    // MARK: - Conditions

    static func condition(_ filter: Filter, of kind: OccurrenceKind) -> SQL {
        let value = expression(filter.field, of: kind)
        switch filter.test {
        case .equal(let values): return equality(value, filter.field.type, values)
        case .notEqual(let values): return "(\(fragment: equality(value, filter.field.type, values))) IS NOT TRUE"
        case .exists(true): return "(\(fragment: value)) IS NOT NULL"
        case .exists(false): return "(\(fragment: value)) IS NULL"
        case .contains(let text): return textual(value, filter.field.type) { "strpos(\(fragment: $0), \(text)) > 0" }
        case .startsWith(let text): return textual(value, filter.field.type) { "starts_with(\(fragment: $0), \(text))" }
        case .compare(let comparison, .text(let text)):
            return textual(value, filter.field.type) {
                "(\(fragment: $0)) COLLATE \"C\" \(fragment: sign(comparison)) \(text)"
            }
        case .compare(let comparison, let other): return numeric(value, filter.field.type, sign(comparison), other)
        }
    }

    private static func sign(_ comparison: Filter.Comparison) -> SQL {
        switch comparison {
        case .greater: ">"
        case .greaterOrEqual: ">="
        case .less: "<"
        case .lessOrEqual: "<="
        }
    }

    /// Typed: the text "1" is not the number 1; the numbers 1 and 1.0 are one.
    private static func equality(_ value: SQL, _ type: FieldType, _ values: [FilterValue]) -> SQL {
        switch type {
        case .text: "(\(fragment: value)) = ANY(\(values.compactMap(\.text)))"
        case .uuid: "(\(fragment: value)) = ANY(\(values.compactMap(\.uuid)))"
        case .number: "(\(fragment: value))::float8 = ANY(\(values.compactMap(\.double)))"
        case .flag: "(\(fragment: value)) = ANY(\(values.compactMap(\.flag)))"
        case .json: "(\(fragment: value)) = ANY(\(values.compactMap(\.json).map(JSONB.init)))"
        }
    }

    /// The test of a text; of a property only if it is one.
    private static func textual(_ value: SQL, _ type: FieldType, _ test: (SQL) -> SQL) -> SQL {
        guard type == .json else { return test(value) }
        let text: SQL = "(\(fragment: value)) #>> '{}'"
        return "CASE WHEN jsonb_typeof(\(fragment: value)) = 'string' THEN \(fragment: test(text)) ELSE false END"
    }

    private static func numeric(_ value: SQL, _ type: FieldType, _ sign: SQL, _ other: FilterValue) -> SQL {
        let test: SQL =
            if case .integer(let number) = other {
                "(\(fragment: value))::numeric \(fragment: sign) \(number)::numeric"
            } else {
                "(\(fragment: value))::float8 \(fragment: sign) \(other.double ?? 0)"
            }
        guard type == .json else { return test }
        return "CASE WHEN jsonb_typeof(\(fragment: value)) = 'number' THEN \(fragment: test) ELSE false END"
    }
}

extension FilterValue {
    fileprivate var text: String? { if case .text(let text) = self { text } else { nil } }
    fileprivate var uuid: UUID? { if case .uuid(let id) = self { id } else { nil } }
    fileprivate var flag: Bool? { if case .flag(let flag) = self { flag } else { nil } }
    fileprivate var double: Double? {
        switch self {
        case .number(let number): number
        case .integer(let number): Double(number)
        case .text, .flag, .uuid: nil
        }
    }
    fileprivate var json: JSONValue? {
        switch self {
        case .text(let text): .string(text)
        case .number(let number): .number(number)
        case .integer(let number): .integer(number)
        case .flag(let flag): .bool(flag)
        case .uuid: nil
        }
    }
}
