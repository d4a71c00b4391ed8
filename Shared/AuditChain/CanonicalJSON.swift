package import Contracts
package import Foundation

/// JSON in the one form that RFC 8785 gives it: members sorted by their names' UTF-16 units, no white space, numbers as
/// ECMAScript writes them. Equal values are equal bytes, in any language.
///
/// One addition: integers that a double cannot hold are written with all their digits.
package enum CanonicalJSON {
    package static func data(_ value: JSONValue) -> Data {
        var bytes: [UInt8] = []
        append(value, to: &bytes)
        return Data(bytes)
    }

    package static func text(_ value: JSONValue) -> String { String(decoding: data(value), as: UTF8.self) }

    private static func append(_ value: JSONValue, to bytes: inout [UInt8]) {
        switch value {
        case .null: bytes += "null".utf8
        case .bool(let flag): bytes += (flag ? "true" : "false").utf8
        case .integer(let number): bytes += String(number).utf8
        case .number(let number): bytes += self.number(number).utf8
        case .string(let text): append(text, to: &bytes)
        case .array(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let members):
            bytes.append(UInt8(ascii: "{"))
            for (index, name) in members.keys.sorted(by: { $0.utf16.lexicographicallyPrecedes($1.utf16) }).enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(name, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                append(members[name] ?? .null, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    private static func append(_ text: String, to bytes: inout [UInt8]) {
        let hexadecimal = Array("0123456789abcdef".utf8)
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += #"\""#.utf8
            case UInt8(ascii: "\\"): bytes += #"\\"#.utf8
            case 0x08: bytes += #"\b"#.utf8
            case 0x09: bytes += #"\t"#.utf8
            case 0x0A: bytes += #"\n"#.utf8
            case 0x0C: bytes += #"\f"#.utf8
            case 0x0D: bytes += #"\r"#.utf8
            case 0..<0x20: bytes += #"\u00"#.utf8 + [hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// Number::toString of ECMA-262, section 6.1.6.1.20. JSON has no infinities and no NaN: they become `null`.
    static func number(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        if value == 0 { return "0" }
        // Swift writes the same shortest digits, only laid out otherwise.
        let parts = "\(value.magnitude)".split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let fraction = mantissa.count > 1 ? mantissa[1] : ""
        var digits = Array(mantissa[0].utf8) + Array(fraction.utf8)
        var point = mantissa[0].utf8.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        let zero = UInt8(ascii: "0")
        while digits.first == zero {
            digits.removeFirst()
            point -= 1
        }
        while digits.last == zero { digits.removeLast() }
        return (value < 0 ? "-" : "") + layOut(digits, point: point)
    }

    private static func layOut(_ digits: [UInt8], point: Int) -> String {
        func text(_ slice: some Sequence<UInt8>) -> String { String(decoding: Array(slice), as: UTF8.self) }
        if digits.count <= point, point <= 21 { return text(digits) + String(repeating: "0", count: point - digits.count) }
        if 0 < point, point <= 21 { return text(digits[..<point]) + "." + text(digits[point...]) }
        if -6 < point, point <= 0 { return "0." + String(repeating: "0", count: -point) + text(digits) }
        let exponent = point - 1
        let tail = "e" + (exponent < 0 ? "-" : "+") + String(exponent.magnitude)
        return text(digits.prefix(1)) + (digits.count > 1 ? "." + text(digits.dropFirst()) : "") + tail
    }
}
