import Foundation

/// What OpenAPI and AsyncAPI say of a type: a JSON Schema (draft 2020-12), as far as we use it.
package indirect enum Schema: Sendable, Equatable {
    case string(format: String? = nil, minLength: Int? = nil, maxLength: Int? = nil, pattern: String? = nil)
    case choice([String])
    case integer(minimum: Int? = nil, maximum: Int? = nil)
    case number
    case boolean
    case array(Schema, maxItems: Int? = nil)
    /// An object whose keys are not known beforehand.
    case map(Schema)
    case object([Property])
    /// The same, or null.
    case nullable(Schema)
    /// Any JSON.
    case any
    /// A file or another stream of bytes.
    case binary

    package struct Property: Sendable, Equatable {
        package let name: String
        package let schema: Schema
        package let required: Bool
        package init(_ name: String, _ schema: Schema, required: Bool) {
            self.name = name
            self.schema = schema
            self.required = required
        }
    }
}

/// A value that checks itself when it is decoded and describes itself to OpenAPI.
///
/// `placeholder` stands in for a value that failed, so that decoding can go on and name the other bad fields too;
/// it never reaches a handler.
package protocol Described {
    static var schema: Schema { get }
    static var placeholder: Self { get }
}

/// A text that checks itself. Conformers state the rule once, in `check`.
package protocol ValidatedText: Described, RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible where RawValue == String {
    /// The text in its stored form (trimmed, lowercased …), or what is wrong with it.
    static func check(_ text: String) throws(TextProblem) -> String
    /// Takes a text that `check` returned.
    init(checked: String)
}

/// Why a text was refused: a stable code and a sentence.
package struct TextProblem: Error, Equatable {
    package let code: String
    package let detail: String
    package init(_ code: String, _ detail: String) {
        self.code = code
        self.detail = detail
    }
}

extension ValidatedText {
    package init(_ text: String) throws(TextProblem) { self.init(checked: try Self.check(text)) }
    package init?(rawValue: String) {
        guard let checked = try? Self.check(rawValue) else { return nil }
        self.init(checked: checked)
    }
    package var description: String { rawValue }
    package static var placeholder: Self { Self(checked: "") }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        do {
            self = try Self(text)
        } catch {
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: error.detail, underlyingError: error))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

extension TypedID: Described {
    package static var schema: Schema { .string(format: "uuid") }
    package static var placeholder: TypedID { TypedID(.init(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))) }
}

extension Permission: Described {
    package static var schema: Schema { .string(pattern: "^(\\*|[^:]+:[^:]+)$") }
    package static var placeholder: Permission { "*" }
}
