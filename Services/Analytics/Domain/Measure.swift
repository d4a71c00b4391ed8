import Contracts

/// What is counted or calculated over the rows of a group.
enum Measure: Hashable, Sendable {
    case events, pageViews
    /// Different people, and different visits.
    case uniqueUsers, sessions
    case calculated(Calculation, Field)

    var name: String {
        switch self {
        case .events: "events"
        case .pageViews: "pageViews"
        case .uniqueUsers: "uniqueUsers"
        case .sessions: "sessions"
        case .calculated(let calculation, let field): "\(calculation.rawValue)(\(field.name))"
        }
    }

    /// The field that has to be read for it.
    var field: Field? {
        if case .calculated(_, let field) = self { return field }
        return nil
    }
}

/// Over the numbers that a field has; whatever is no number is left out. `distinct` counts the different values of any kind.
enum Calculation: String, Sendable, CaseIterable {
    case sum, average, minimum, maximum, median, p95, distinct
}

/// A measure as it is written in a question: `events`, `uniqueUsers`, `sum(properties.total)`.
struct MeasureName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }

    static var schema: Schema { .string(minLength: 1, maxLength: 250) }
    static var placeholder: MeasureName { MeasureName(checked: Measure.events.name) }

    static func check(_ text: String) throws(TextProblem) -> String { try parse(text).name }

    /// What it measures; the text was checked when it was made.
    var measure: Measure { (try? Self.parse(rawValue)) ?? .events }

    static func parse(_ text: String) throws(TextProblem) -> Measure {
        switch text {
        case "events": return .events
        case "pageViews": return .pageViews
        case "uniqueUsers": return .uniqueUsers
        case "sessions": return .sessions
        default: break
        }
        guard let open = text.firstIndex(of: "("), text.hasSuffix(")"),
            let calculation = Calculation(rawValue: String(text[..<open]))
        else {
            let names = Calculation.allCases.map(\.rawValue).joined(separator: ", ")
            throw TextProblem(
                "unknown-measure",
                "must be events, pageViews, uniqueUsers, sessions, or a calculation such as sum(properties.total): \(names)")
        }
        let field = try FieldName.parse(String(text[text.index(after: open)...].dropLast()))
        if calculation != .distinct, field.type != .number, field.type != .json {
            throw TextProblem("wrong-type", "\(calculation.rawValue) takes numbers: durationSeconds or a property")
        }
        return .calculated(calculation, field)
    }
}
