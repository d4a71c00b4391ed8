import Contracts
import Foundation

/// Text made of bytes of which nobody knows how they were written, and never more of it than may be answered.
enum LenientText {
    /// Of what is text, less than one code point in so many is a control character.
    static let controlsAmong = 10

    /// UTF-16 where a byte order mark says so, else UTF-8. Where most of what is not ASCII is no UTF-8 it is read as Windows-1252, which
    /// is what such files are most often; single broken bytes become U+FFFD.
    static func decode(_ bytes: Data) -> String {
        if bytes.starts(with: [0xFF, 0xFE]) { return utf16(bytes.dropFirst(2)) { UInt16($1) << 8 | UInt16($0) } }
        if bytes.starts(with: [0xFE, 0xFF]) { return utf16(bytes.dropFirst(2)) { UInt16($0) << 8 | UInt16($1) } }
        let content = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes
        let text = String(decoding: content, as: UTF8.self)
        var broken = 0, sound = 0
        for scalar in text.unicodeScalars where !scalar.isASCII {
            if scalar == "\u{FFFD}" { broken += 1 } else { sound += 1 }
        }
        return broken > sound ? windows1252(content) : text
    }

    /// What may be answered of a text: line ends as line feeds, other control characters as spaces. What has too many of these is none.
    ///
    /// - Parameter isCut: whether there is more in the file than `text`.
    static func answer(_ text: String, isCut: Bool) -> FileText {
        var answer = String.UnicodeScalarView()
        var length = 0, controls = 0
        var afterReturn = false
        for scalar in text.unicodeScalars {
            if length == FileText.maximumLength { return made(answer, controls, length, isCut: true) }
            defer { afterReturn = scalar == "\r" }
            switch scalar {
            case "\n" where afterReturn: continue
            case "\r", "\n", "\u{0C}", "\u{85}", "\u{2028}", "\u{2029}": answer.append("\n")
            case "\t": answer.append(scalar)
            case _ where scalar.properties.generalCategory == .control:
                controls += 1
                answer.append(" ")
            default: answer.append(scalar)
            }
            length += 1
        }
        return made(answer, controls, length, isCut: isCut)
    }

    private static func made(_ text: String.UnicodeScalarView, _ controls: Int, _ length: Int, isCut: Bool) -> FileText {
        controls * controlsAmong > length ? FileText(text: "", isCut: false) : FileText(text: String(text), isCut: isCut)
    }

    /// JSON with the escapes of its strings resolved (RFC 8259, section 7), so that the words in it are words. Whether it is well formed
    /// makes no difference.
    static func resolvingEscapes(json: String) -> String {
        var units: [UInt16] = []
        units.reserveCapacity(json.utf16.count)
        var rest = json.utf16.makeIterator()
        while let unit = rest.next() {
            guard unit == backslash, let escaped = rest.next() else {
                units.append(unit)
                continue
            }
            switch Unicode.Scalar(escaped) {
            case "b", "f", "n", "r", "t": units.append(space)
            case "u":
                var value: UInt16 = 0
                for _ in 0..<4 {
                    let digit = rest.next().flatMap(Unicode.Scalar.init).flatMap { Character($0).hexDigitValue } ?? 0
                    value = value << 4 | UInt16(digit)
                }
                // An escaped control character is no sign of a binary file.
                units.append(value < space ? space : value)
            default: units.append(escaped)
            }
        }
        return String(decoding: units, as: UTF16.self)
    }

    private static let backslash = UInt16(UInt8(ascii: "\\"))
    private static let space = UInt16(UInt8(ascii: " "))

    private static func utf16(_ bytes: Data, _ unit: (UInt8, UInt8) -> UInt16) -> String {
        let bytes = [UInt8](bytes)
        return String(decoding: stride(from: 0, to: bytes.count - 1, by: 2).map { unit(bytes[$0], bytes[$0 + 1]) }, as: UTF16.self)
    }

    /// The WHATWG's index of windows-1252: Latin-1 but for these 32.
    private static let from0x80: [UInt16] = [
        0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D, 0x017D, 0x8F,
        0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D, 0x017E, 0x0178,
    ]

    private static func windows1252(_ bytes: Data) -> String {
        String(decoding: bytes.map { (0x80...0x9F).contains($0) ? from0x80[Int($0) - 0x80] : UInt16($0) }, as: UTF16.self)
    }
}
