/// An answer of Redis (RESP 2).
package enum RedisValue: Sendable, Hashable {
    case null
    case integer(Int)
    /// A bulk string: any bytes.
    case bytes([UInt8])
    /// A simple string, such as `OK`.
    case status(String)
    /// An error inside an array; an error as the whole answer is thrown as `RedisFailure.server`.
    case error(String)
    case array([RedisValue])

    /// The text of a status, or of bytes taken as UTF-8 (repaired where they are not).
    package var text: String? {
        switch self {
        case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text): text
        case .null, .integer, .error, .array: nil
        }
    }

    /// An integer, or bytes that spell one in decimal.
    package var integer: Int? {
        switch self {
        case .integer(let number): number
        case .bytes, .status: text.flatMap { Int($0) }
        case .null, .error, .array: nil
        }
    }

    package var bytes: [UInt8]? {
        if case .bytes(let bytes) = self { bytes } else { nil }
    }

    package var array: [RedisValue]? {
        if case .array(let values) = self { values } else { nil }
    }

    package var isNull: Bool { self == .null }
}
