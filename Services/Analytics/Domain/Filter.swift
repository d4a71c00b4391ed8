import Contracts
import Foundation

/// How a field is compared.
enum FilterOperator: String, Codable, Sendable, CaseIterable {
    /// Equal and not equal; a row without the field is not equal to anything.
    case eq, ne
    /// One of a list, or none of it.
    case `in`, notIn
    /// Numbers by size; text in the order of its code points, which is that of times in ISO 8601.
    case gt, gte, lt, lte
    /// Part of a text, and its beginning; upper and lower case differ.
    case contains, startsWith
    /// Whether the row has the field at all: `value` is true or false.
    case exists
}

/// A condition that a row has to meet. Made only by checking a `FilterDraft`, so its value fits its field and operator.
struct Filter: Hashable, Sendable {
    enum Test: Hashable, Sendable {
        case equal([FilterValue])
        case notEqual([FilterValue])
        case compare(Comparison, FilterValue)
        case contains(String)
        case startsWith(String)
        case exists(Bool)
    }

    enum Comparison: Hashable, Sendable { case greater, greaterOrEqual, less, lessOrEqual }

    let field: Field
    let test: Test
}

/// A value to compare with, of the kind that the field has.
enum FilterValue: Hashable, Sendable {
    case text(String)
    case number(Double)
    case integer(Int)
    case flag(Bool)
    case uuid(UUID)
}

/// One filter as it is written: `{"field": "properties.plan", "op": "eq", "value": "pro"}`.
struct FilterDraft: Codable, Sendable {
    let field: FieldName
    let op: FilterOperator
    let value: JSONValue?

    /// Values in one list.
    static let maximumValues = 100
    /// Characters of one text.
    static let maximumText = 1_000

    /// The condition, or what is wrong with it; `pointer` is where it stands in the request.
    func filter(at pointer: String) throws(ValidationFailure) -> Filter {
        let field = field.field
        func wrong(_ code: String, _ detail: String) -> ValidationFailure { ValidationFailure("\(pointer)/value", code, detail) }
        do throws(TextProblem) {
            switch op {
            case .exists:
                guard let flag = value?.bool else { throw TextProblem("wrong-type", "must be true or false") }
                return Filter(field: field, test: .exists(flag))
            case .eq: return Filter(field: field, test: .equal([try Self.value(value, field.type)]))
            case .ne: return Filter(field: field, test: .notEqual([try Self.value(value, field.type)]))
            case .in: return Filter(field: field, test: .equal(try list(field.type)))
            case .notIn: return Filter(field: field, test: .notEqual(try list(field.type)))
            case .gt: return Filter(field: field, test: .compare(.greater, try ordered(field.type)))
            case .gte: return Filter(field: field, test: .compare(.greaterOrEqual, try ordered(field.type)))
            case .lt: return Filter(field: field, test: .compare(.less, try ordered(field.type)))
            case .lte: return Filter(field: field, test: .compare(.lessOrEqual, try ordered(field.type)))
            case .contains: return Filter(field: field, test: .contains(try text(field.type)))
            case .startsWith: return Filter(field: field, test: .startsWith(try text(field.type)))
            }
        } catch {
            throw wrong(error.code, error.detail)
        }
    }

    private func list(_ type: FieldType) throws(TextProblem) -> [FilterValue] {
        guard case .array(let values) = value, !values.isEmpty else {
            throw TextProblem("wrong-type", "must be a list of values, because op is \(op.rawValue)")
        }
        guard values.count <= Self.maximumValues else { throw TextProblem("too-many", "must have at most \(Self.maximumValues) values") }
        var result: [FilterValue] = []
        for value in values { result.append(try Self.value(value, type)) }
        return result
    }

    private func ordered(_ type: FieldType) throws(TextProblem) -> FilterValue {
        guard type == .number || type == .json || type == .text else {
            throw TextProblem("wrong-operator", "\(op.rawValue) compares numbers and texts, not \(field.rawValue)")
        }
        let value = try Self.value(value, type)
        if case .flag = value { throw TextProblem("wrong-type", "must be a number or a text, because op is \(op.rawValue)") }
        return value
    }

    private func text(_ type: FieldType) throws(TextProblem) -> String {
        guard type == .text || type == .json, case .text(let text) = try Self.value(value, type), !text.isEmpty else {
            throw TextProblem("wrong-type", "\(op.rawValue) takes a text that is not empty, and a field that is text")
        }
        return text
    }

    private static func value(_ value: JSONValue?, _ type: FieldType) throws(TextProblem) -> FilterValue {
        switch (value, type) {
        case (nil, _), (.null, _): throw TextProblem("missing", "is required; whether a field is there at all is asked with exists")
        case (.string(let text), .text), (.string(let text), .json):
            guard text.unicodeScalars.count <= maximumText else {
                throw TextProblem("too-long", "must have at most \(maximumText) characters")
            }
            guard !text.utf8.contains(0) else { throw TextProblem("control-character", "must not contain the NUL character") }
            return .text(text)
        case (.string(let text), .uuid):
            guard let id = UUID(uuidString: text) else { throw TextProblem("wrong-type", "must be a UUID") }
            return .uuid(id)
        case (.integer(let number), .number), (.integer(let number), .json): return .integer(number)
        case (.number(let number), .number), (.number(let number), .json): return .number(number)
        case (.bool(let flag), .flag), (.bool(let flag), .json): return .flag(flag)
        case (_, .text): throw TextProblem("wrong-type", "must be a text")
        case (_, .uuid): throw TextProblem("wrong-type", "must be a UUID")
        case (_, .number): throw TextProblem("wrong-type", "must be a number")
        case (_, .flag): throw TextProblem("wrong-type", "must be true or false")
        case (_, .json): throw TextProblem("wrong-type", "must be a text, a number, true or false")
        }
    }
}

extension FilterDraft {
    /// Conditions of one question.
    static let maximumFilters = 20

    /// All the conditions, or everything that is wrong with any of them. Every one of them has to be met.
    static func filters(_ drafts: [FilterDraft], at pointer: String) throws(ValidationFailure) -> [Filter] {
        guard drafts.count <= maximumFilters else {
            throw ValidationFailure(pointer, "too-many", "must have at most \(maximumFilters) filters")
        }
        var filters: [Filter] = []
        var problems: [FieldError] = []
        for (index, draft) in drafts.enumerated() {
            do throws(ValidationFailure) {
                filters.append(try draft.filter(at: "\(pointer)/\(index)"))
            } catch {
                problems += error.fields
            }
        }
        guard problems.isEmpty else { throw ValidationFailure(problems) }
        return filters
    }
}
