import Contracts

/// What a question may name: a column that every tenant has, or a property of their own events.
///
/// This list is all there is. Whatever else stands in a question is refused when it is decoded, and no text of a question
/// ever becomes text of a statement.
enum Field: Hashable, Sendable {
    case known(KnownField)
    /// The name as the customer gives it: a property of just this name, else the way through nested objects.
    case property(PropertyPath)

    /// Of which kind its values are: it decides which operators make sense.
    var type: FieldType {
        switch self {
        case .known(let field): field.type
        case .property: .json
        }
    }

    var name: String {
        switch self {
        case .known(let field): field.rawValue
        case .property(let path): PropertyPath.prefix + path.name
        }
    }
}

enum FieldType: Sendable, Hashable {
    case text, uuid, number, flag
    /// Whatever the customer put there: text, numbers and flags, compared with those of their own kind.
    case json
}

/// The columns, by the names that they have in questions.
enum KnownField: String, Sendable, CaseIterable {
    /// `event` or `pageView`.
    case kind
    case eventName, eventCategory
    case url, path, referrer, referrerHost
    case userId, sessionId
    case country, deviceType, browser, os
    case durationSeconds, bounce

    var type: FieldType {
        switch self {
        case .userId: .uuid
        case .durationSeconds: .number
        case .bounce: .flag
        case .kind, .eventName, .eventCategory, .url, .path, .referrer, .referrerHost, .sessionId, .country, .deviceType, .browser, .os:
            .text
        }
    }
}

/// `plan`, or `order.total`: first a property that has the dots in its own name, as those of OpenTelemetry do, then a path.
struct PropertyPath: Hashable, Sendable {
    static let prefix = "properties."
    /// Characters of the whole name.
    static let maximumLength = 200
    /// Objects within objects.
    static let maximumDepth = 5

    let name: String

    var steps: [String] { name.split(separator: ".", omittingEmptySubsequences: false).map(String.init) }

    init(_ name: String) throws(TextProblem) {
        guard !name.isEmpty else { throw TextProblem("invalid-field", "must name a property, such as properties.plan") }
        guard name.unicodeScalars.count <= Self.maximumLength else {
            throw TextProblem("too-long", "must have at most \(Self.maximumLength) characters")
        }
        guard !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw TextProblem("control-character", "must not contain control characters")
        }
        guard name.utf8.count(where: { $0 == 0x2E }) < Self.maximumDepth else {
            throw TextProblem("too-deep", "must be nested at most \(Self.maximumDepth) deep")
        }
        self.name = name
    }
}

/// A field as it is written in a question: `eventName`, `path`, `properties.plan`.
struct FieldName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }

    static var schema: Schema { .string(minLength: 1, maxLength: PropertyPath.prefix.count + PropertyPath.maximumLength) }
    static var placeholder: FieldName { FieldName(checked: KnownField.eventName.rawValue) }

    static func check(_ text: String) throws(TextProblem) -> String { try parse(text).name }

    /// What it names; the text was checked when it was made.
    var field: Field { (try? Self.parse(rawValue)) ?? .known(.eventName) }

    static func parse(_ text: String) throws(TextProblem) -> Field {
        if let known = KnownField(rawValue: text) { return .known(known) }
        guard text.hasPrefix(PropertyPath.prefix) else {
            let names = KnownField.allCases.map(\.rawValue).joined(separator: ", ")
            throw TextProblem("unknown-field", "must be properties.<name> or one of \(names)")
        }
        return .property(try PropertyPath(String(text.dropFirst(PropertyPath.prefix.count))))
    }
}
