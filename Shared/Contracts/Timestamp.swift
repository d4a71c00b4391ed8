package import Foundation

/// RFC 3339 in UTC with milliseconds: the one form in which times leave and enter the platform.
package enum Timestamp {
    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    private static let plain = Date.ISO8601FormatStyle()

    /// `2026-11-21T05:28:02.123Z`.
    package static func text(_ date: Date) -> String {
        // The style cuts off what is below a millisecond, and .123 as a Double may lie a hair below it: round first, then step off the edge.
        let milliseconds = (date.timeIntervalSince1970 * 1000).rounded()
        return Date(timeIntervalSince1970: milliseconds / 1000 + 0.0001).formatted(style)
    }

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
