import Contracts
import Foundation
import Postgres

/// Answers custom questions from the raw rows.
struct QuestionStore {
    let tx: Transaction

    /// At most one row more than the question's limit, so that it is known whether there are more.
    func rows(_ question: Question) throws -> [[JSONValue]] {
        try tx.query(Self.query(question)).map { row in (row.bucket.map { [.string(Timestamp.text($0))] } ?? []) + row.cells }
    }

    struct Answered: Sendable {
        let bucket: Date?
        let cells: [JSONValue]
    }

    /// Groups the rows by bucket and dimensions (`d1` …), measures each group (`m1` …), then orders and cuts.
    static func query(_ question: Question) -> Query<Answered> {
        let grouping = (question.granularity == nil ? [] : [SQL("bucket")]) + dimensionNames.prefix(question.dimensions.count)
        let measured = zip(measureNames, question.measures.indices).map { name, index -> SQL in
            "\(fragment: measure(question, index)) AS \(fragment: name)"
        }
        var groups: SQL =
            """
            SELECT \(fragment: (grouping + measured).joined(separator: ", "))
            FROM (\(fragment: source(question))) AS occurrences
            """
        if !grouping.isEmpty { groups += " GROUP BY \(fragment: grouping.joined(separator: ", "))" }
        let cells = Array(dimensionNames.prefix(question.dimensions.count)) + measureNames.prefix(question.measures.count)
        let bucket: SQL = question.granularity == nil ? "NULL::timestamptz" : "bucket"
        return Query(
            """
            SELECT \(fragment: bucket) AS bucket, jsonb_build_array(\(fragment: cells.joined(separator: ", "))) AS cells
            FROM (\(fragment: groups)) AS groups
            ORDER BY \(fragment: order(question))
            LIMIT \(question.limit + 1)
            """
        ) { row in
            let cells: JSONB<[JSONValue]> = try row("cells")
            return Answered(bucket: try row("bucket"), cells: cells.value)
        }
    }

    private static let dimensionNames: [SQL] = ["d1", "d2", "d3", "d4"]
    private static let measureNames: [SQL] = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10"]
    /// What is calculated with, beside each measure.
    private static let operandNames: [SQL] = ["o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9", "o10"]

    /// The rows that any of the measures is about, each with what is asked of it.
    private static func source(_ question: Question) -> SQL {
        let kinds = OccurrenceKind.allCases.filter { kind in question.measures.contains { concerns($0, kind) } }
        return OccurrenceSource.rows(kinds, from: question.period.from, to: question.period.to, where: question.filters) { kind in
            var columns: [SQL] = []
            if let granularity = question.granularity {
                columns.append("date_trunc(\(granularity.rawValue)::text, occurred_at, 'UTC') AS bucket")
            }
            for (name, field) in zip(dimensionNames, question.dimensions) {
                columns.append("\(fragment: OccurrenceSource.group(field, of: kind)) AS \(fragment: name)")
            }
            columns.append(kind == .event ? "true AS is_event" : "false AS is_event")
            if question.measures.contains(.uniqueUsers) { columns.append("user_id") }
            if question.measures.contains(.sessions) { columns.append("session_id") }
            for (name, measure) in zip(operandNames, question.measures) {
                guard case .calculated(let calculation, let field) = measure else { continue }
                let operand =
                    calculation == .distinct ? OccurrenceSource.group(field, of: kind) : OccurrenceSource.number(field, of: kind)
                columns.append("\(fragment: operand) AS \(fragment: name)")
            }
            return columns.joined(separator: ", ")
        }
    }

    private static func concerns(_ measure: Measure, _ kind: OccurrenceKind) -> Bool {
        switch measure {
        case .events: kind == .event
        case .pageViews: kind == .pageView
        case .uniqueUsers, .sessions: true
        case .calculated(_, let field): OccurrenceSource.has(field, kind)
        }
    }

    private static func measure(_ question: Question, _ index: Int) -> SQL {
        let operand = operandNames[index]
        switch question.measures[index] {
        case .events: return "count(*) FILTER (WHERE is_event)"
        case .pageViews: return "count(*) FILTER (WHERE NOT is_event)"
        case .uniqueUsers: return "count(DISTINCT user_id)"
        case .sessions: return "count(DISTINCT session_id)"
        case .calculated(.sum, _): return "sum(\(fragment: operand))"
        case .calculated(.average, _): return "avg(\(fragment: operand))::float8"
        case .calculated(.minimum, _): return "min(\(fragment: operand))"
        case .calculated(.maximum, _): return "max(\(fragment: operand))"
        case .calculated(.median, _): return "percentile_cont(0.5) WITHIN GROUP (ORDER BY (\(fragment: operand))::float8)"
        case .calculated(.p95, _): return "percentile_cont(0.95) WITHIN GROUP (ORDER BY (\(fragment: operand))::float8)"
        case .calculated(.distinct, _): return "count(DISTINCT \(fragment: operand))"
        }
    }

    /// Texts in the order of their code points, whatever the database's language; what is not there comes last.
    private static func order(_ question: Question) -> SQL {
        let names =
            (question.granularity == nil ? [] : [SQL("bucket")])
            + zip(dimensionNames, question.dimensions).map { name, field -> SQL in
                field.type == .text ? "\(fragment: name) COLLATE \"C\"" : name
            } + measureNames
        let parts = question.sort.map { order -> SQL in
            "\(fragment: names[order.column]) \(fragment: order.descending ? "DESC" : "ASC") NULLS LAST"
        }
        return parts.isEmpty ? "1" : parts.joined(separator: ", ")
    }
}
