import Contracts
import Foundation

/// A custom question, checked: what to measure, over which rows, how they are grouped, ordered and cut.
struct Question: Sendable {
    static let maximumMeasures = 10
    static let maximumDimensions = 4
    /// Rows of an answer, at most and when nothing is said.
    static let maximumRows = 10_000
    static let standardRows = 1_000

    let period: Period
    /// With one, the first column is the beginning of the bucket, and there is a row for each bucket that has any.
    let granularity: Granularity?
    let measures: [Measure]
    let dimensions: [Field]
    let filters: [Filter]
    let sort: [Order]
    let limit: Int

    /// A column of the answer by its place, and which way.
    struct Order: Hashable, Sendable {
        let column: Int
        let descending: Bool
    }

    static let timeColumn = "start"

    /// The names of the columns, in their order: the bucket, the dimensions, the measures.
    var columns: [String] {
        (granularity == nil ? [] : [Self.timeColumn]) + dimensions.map(\.name) + measures.map(\.name)
    }

    /// The same question about another time.
    func about(_ period: Period) -> Question {
        Question(
            period: period, granularity: granularity, measures: measures, dimensions: dimensions, filters: filters, sort: sort, limit: limit
        )
    }
}

/// What is answered to a question.
struct QuestionAnswer: Sendable {
    /// As it was answered: of a period a little longer than the one asked for, where roll-ups are all there is of it.
    let question: Question
    /// At most one row more than the question's limit, so that it is known whether there are more.
    let rows: [[JSONValue]]
    /// Whether distinct counts are estimates, from sketches.
    let isEstimated: Bool
    /// Nil when all of the period is in it.
    let keptFrom: Date?
}

/// A question as it is asked.
struct QuestionDraft: Decodable, Sendable {
    let measures: [MeasureName]
    let dimensions: [FieldName]?
    let filters: [FilterDraft]?
    let from: Moment?
    let to: Moment?
    let granularity: Granularity?
    /// Names of columns of the answer, `-` in front for descending: `["-events", "path"]`.
    let sort: [String]?
    let limit: RowLimit?

    /// Everything that is wrong with it is named at once.
    func question(now: Date) throws -> Question {
        var problems: [FieldError] = []
        func take<T>(_ fallback: T, _ body: () throws(ValidationFailure) -> T) -> T {
            do throws(ValidationFailure) { return try body() } catch {
                problems += error.fields
                return fallback
            }
        }
        let measures = self.measures.map(\.measure)
        let dimensions = (self.dimensions ?? []).map(\.field)
        Self.check(measures, "/measures", 1...Question.maximumMeasures, &problems)
        Self.check(dimensions, "/dimensions", 0...Question.maximumDimensions, &problems)
        for (index, field) in dimensions.enumerated() where field.type == .number {
            problems.append(
                FieldError(pointer: "/dimensions/\(index)", code: "wrong-type", detail: "a number is measured, not grouped by"))
        }
        let filters = take([]) { () throws(ValidationFailure) in try FilterDraft.filters(self.filters ?? [], at: "/filters") }
        // Without buckets the coarsest ones: they are not shown, and so do not limit the period.
        let period: Period? = take(nil) { () throws(ValidationFailure) in
            do throws(ValidationFailure) {
                return try Period(from: from?.date, to: to?.date, granularity: granularity ?? .month, now: now)
            } catch {
                throw error.inBody
            }
        }
        let columns = (granularity == nil ? [] : [Question.timeColumn]) + dimensions.map(\.name) + measures.map(\.name)
        let sort = Self.order(self.sort, columns, granularity != nil, firstMeasure: columns.count - measures.count, &problems)
        guard problems.isEmpty, let period else { throw ValidationFailure(problems) }
        return Question(
            period: period, granularity: granularity, measures: measures, dimensions: dimensions, filters: filters, sort: sort,
            limit: limit?.value ?? Question.standardRows)
    }

    private static func check<T: Hashable>(_ list: [T], _ pointer: String, _ count: ClosedRange<Int>, _ problems: inout [FieldError]) {
        if list.count < count.lowerBound {
            problems.append(FieldError(pointer: pointer, code: "missing", detail: "must have at least \(count.lowerBound)"))
        } else if list.count > count.upperBound {
            problems.append(FieldError(pointer: pointer, code: "too-many", detail: "must have at most \(count.upperBound)"))
        } else if Set(list).count < list.count {
            problems.append(FieldError(pointer: pointer, code: "repeated", detail: "must not name the same twice"))
        }
    }

    /// What was asked for; without it by time, and within a time, or without times, by the first measure, the largest first.
    /// Columns that are not named follow in their own order, so that equal rows have an order too.
    private static func order(
        _ names: [String]?, _ columns: [String], _ hasTime: Bool, firstMeasure: Int, _ problems: inout [FieldError]
    ) -> [Question.Order] {
        var order: [Question.Order] = []
        for (index, name) in (names ?? []).enumerated() {
            let descending = name.hasPrefix("-")
            guard let column = columns.firstIndex(of: descending ? String(name.dropFirst()) : name) else {
                problems.append(
                    FieldError(
                        pointer: "/sort/\(index)", code: "unknown-column",
                        detail: "must be one of \(columns.joined(separator: ", ")), with - in front for descending"))
                continue
            }
            guard !order.contains(where: { $0.column == column }) else {
                problems.append(FieldError(pointer: "/sort/\(index)", code: "repeated", detail: "must not name the same twice"))
                continue
            }
            order.append(Question.Order(column: column, descending: descending))
        }
        if order.isEmpty {
            if hasTime { order.append(Question.Order(column: 0, descending: false)) }
            if columns.indices.contains(firstMeasure) { order.append(Question.Order(column: firstMeasure, descending: true)) }
        }
        let named = Set(order.map(\.column))
        return order + columns.indices.prefix(firstMeasure).filter { !named.contains($0) }.map { .init(column: $0, descending: false) }
    }
}

/// How many rows an answer may have: 1 to 10,000.
struct RowLimit: Sendable, Codable, Described {
    let value: Int
    static var schema: Schema { .integer(minimum: 1, maximum: Question.maximumRows) }
    static var placeholder: RowLimit { RowLimit(value: Question.standardRows) }

    init(value: Int) { self.value = value }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        value = try container.decode(Int.self)
        guard (1...Question.maximumRows).contains(value) else {
            let problem = TextProblem("out-of-range", "must be from 1 to \(Question.maximumRows)")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}
