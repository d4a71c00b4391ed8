import Contracts
import Foundation

/// What a customer adds to an event: an object of any JSON, bounded in number and size.
struct EventProperties: Sendable, Codable, Described {
    /// Properties of one event.
    static let maximumCount = 100
    /// Bytes of all names and texts, with eight for any other value.
    static let maximumBytes = 16_384
    /// Deeper objects are refused.
    static let maximumDepth = 8

    private enum Form: Sendable {
        case values([String: JSONValue])
        /// An object as it came, known to be one and within the bounds.
        case text(String)
    }

    private let form: Form

    static var schema: Schema { .map(.any) }
    static var placeholder: EventProperties { EventProperties(values: [:]) }

    init(values: [String: JSONValue]) { form = .values(values) }

    /// `text` is a JSON object that keeps to the bounds.
    init(checked text: String) { form = .text(text) }

    func values() throws -> [String: JSONValue] {
        switch form {
        case .values(let values): values
        case .text(let text): try JSON.decode([String: JSONValue].self, from: Data(text.utf8))
        }
    }

    /// The object as JSON.
    func json() throws -> String {
        switch form {
        case .values(let values): String(decoding: try JSON.encode(values), as: UTF8.self)
        case .text(let text): text
        }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let values = try container.decode([String: JSONValue].self)
        form = .values(values)
        do throws(TextProblem) {
            try Self.check(values)
        } catch {
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: error.detail, underlyingError: error))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(values())
    }

    private static func check(_ values: [String: JSONValue]) throws(TextProblem) {
        if values.count > maximumCount {
            throw TextProblem("too-many", "must have at most \(maximumCount) properties")
        }
        guard try size(of: .object(values), depth: 0) <= maximumBytes else {
            throw TextProblem("too-large", "must have at most \(maximumBytes) bytes")
        }
    }

    private static func size(of value: JSONValue, depth: Int) throws(TextProblem) -> Int {
        guard depth <= maximumDepth else { throw TextProblem("too-deep", "must be nested at most \(maximumDepth) deep") }
        switch value {
        case .string(let text): return try size(of: text)
        case .array(let values):
            var sum = 0
            for value in values { sum += try size(of: value, depth: depth + 1) }
            return sum
        case .object(let object):
            var sum = 0
            for (name, value) in object { sum += try size(of: name) + size(of: value, depth: depth + 1) }
            return sum
        case .null, .bool, .integer, .number: return 8
        }
    }

    /// NUL is the one character of JSON that PostgreSQL does not keep.
    private static func size(of text: String) throws(TextProblem) -> Int {
        guard !text.utf8.contains(0) else { throw TextProblem("control-character", "must not contain the NUL character") }
        return text.utf8.count
    }
}
