package import Foundation

/// RFC 3339 in UTC with milliseconds: the one form in which times leave and enter the platform.
package enum Timestamp {
    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    private static let plain = Date.ISO8601FormatStyle()

    /// `2026-11-21T05:28:02.123Z`.
    package static func text(_ date: Date) -> String { date.formatted(style) }

    /// Takes an offset or `Z`, with or without a fraction. Nil otherwise.
    package static func date(_ text: String) -> Date? {
        guard (20...40).contains(text.utf8.count) else { return nil }
        return (try? style.parse(text)) ?? (try? plain.parse(text))
    }
}

/// The JSON of the platform: camelCase as the types say, times as RFC 3339, keys sorted so that equal values are equal bytes.
package enum JSON {
    package static func encoder() -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(Timestamp.text(date))
        }
        return encoder
    }

    package static func decoder() -> JSONDecoder {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            guard let date = Timestamp.date(try container.decode(String.self)) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "must be a time as in RFC 3339")
            }
            return date
        }
        return decoder
    }

    package static func encode(_ value: some Encodable) throws -> Data { try encoder().encode(value) }
    package static func decode<T: Decodable>(_ type: T.Type, from data: Data) throws -> T { try decoder().decode(type, from: data) }
}

/// Any JSON, for what customers name themselves: event properties, template data.
package enum JSONValue: Sendable, Hashable, Codable, Described {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package static var schema: Schema { .any }
    package static var placeholder: JSONValue { .null }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode([String: JSONValue].self) {
            self = .object(value)
        } else {
            self = .array(try container.decode([JSONValue].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}
