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

    let values: [String: JSONValue]

    static var schema: Schema { .map(.any) }
    static var placeholder: EventProperties { EventProperties(values: [:]) }

    init(values: [String: JSONValue]) { self.values = values }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        values = try container.decode([String: JSONValue].self)
        do throws(TextProblem) {
            try check()
        } catch {
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: error.detail, underlyingError: error))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(values)
    }

    private func check() throws(TextProblem) {
        if values.count > Self.maximumCount {
            throw TextProblem("too-many", "must have at most \(Self.maximumCount) properties")
        }
        guard try Self.size(of: .object(values), depth: 0) <= Self.maximumBytes else {
            throw TextProblem("too-large", "must have at most \(Self.maximumBytes) bytes")
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
