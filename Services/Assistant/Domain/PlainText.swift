import Foundation

/// The text of an article's HTML: paragraphs without markup, scripts, styles and comments.
///
/// Content is sanitized when it is written; this reads whatever comes and never fails.
enum PlainText {
    private static let hidden: Set<String> = ["script", "style", "template", "noscript", "head", "svg", "iframe", "object", "textarea"]
    private static let inline: Set<String> = [
        "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd", "mark", "q", "s",
        "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr",
    ]
    /// Cells of one row stay in one paragraph.
    private static let cells: Set<String> = ["td", "th"]

    static func paragraphs(ofHTML html: String) -> [String] {
        var scanner = Scanner(bytes: Array(html.utf8))
        var paragraphs: [String] = []
        var current: [UInt8] = []
        func finish() {
            let text = decodeEntities(String(decoding: current, as: UTF8.self))
            let words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            if !words.isEmpty { paragraphs.append(words) }
            current = []
        }
        while let token = scanner.next() {
            switch token {
            case .text(let bytes): current += bytes
            case .tag(let name, let isClosing):
                if !isClosing, hidden.contains(name) {
                    scanner.skip(toEndOf: name)
                } else if cells.contains(name) {
                    current.append(UInt8(ascii: " "))
                } else if !inline.contains(name) {
                    finish()
                }
            }
        }
        finish()
        return paragraphs
    }

    private enum Token {
        case text(ArraySlice<UInt8>)
        case tag(String, isClosing: Bool)
    }

    private struct Scanner {
        let bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func next() -> Token? {
            while index < bytes.count {
                if bytes[index] != UInt8(ascii: "<") { return text() }
                if bytes[index...].starts(with: "<!--".utf8) {
                    skip(past: "-->")
                } else if let tag = tag() {
                    return tag
                } else {
                    // A lone angle bracket is text.
                    index += 1
                    return .text(bytes[index - 1..<index])
                }
            }
            return nil
        }

        private mutating func text() -> Token {
            let end = bytes[index...].firstIndex(of: UInt8(ascii: "<")) ?? bytes.count
            defer { index = end }
            return .text(bytes[index..<end])
        }

        /// `<name …>`, `</name>` or `<!…>`; quotation marks in attributes hide a closing bracket.
        private mutating func tag() -> Token? {
            var at = index + 1
            let isClosing = at < bytes.count && bytes[at] == UInt8(ascii: "/")
            if isClosing { at += 1 }
            guard at < bytes.count, isLetter(bytes[at]) || bytes[at] == UInt8(ascii: "!") else { return nil }
            let start = at
            while at < bytes.count, isLetter(bytes[at]) || (48...57).contains(bytes[at]) { at += 1 }
            let name = String(decoding: bytes[start..<at], as: UTF8.self).lowercased()
            var quote: UInt8?
            while at < bytes.count {
                let byte = bytes[at]
                at += 1
                if let open = quote {
                    if byte == open { quote = nil }
                } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                    quote = byte
                } else if byte == UInt8(ascii: ">") {
                    break
                }
            }
            index = at
            return .tag(name, isClosing: isClosing)
        }

        mutating func skip(past end: String) {
            let wanted = Array(end.utf8)
            while index < bytes.count, !bytes[index...].starts(with: wanted) { index += 1 }
            index = min(bytes.count, index + wanted.count)
        }

        mutating func skip(toEndOf name: String) {
            let wanted = Array("</\(name)".utf8)
            while index < bytes.count {
                if bytes[index] == UInt8(ascii: "<"), bytes[index...].prefix(wanted.count).elementsEqual(wanted, by: { $0 | 32 == $1 | 32 })
                {
                    break
                }
                index += 1
            }
            _ = tag()
        }

        private func isLetter(_ byte: UInt8) -> Bool { (97...122).contains(byte | 32) }
    }

    private static let entities: [String: String] = [
        "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": " ", "ndash": "–", "mdash": "—", "hellip": "…", "lsquo": "‘",
        "rsquo": "’", "ldquo": "“", "rdquo": "”", "copy": "©", "reg": "®", "euro": "€", "auml": "ä", "ouml": "ö", "uuml": "ü", "Auml": "Ä",
        "Ouml": "Ö", "Uuml": "Ü", "szlig": "ß", "eacute": "é", "egrave": "è", "agrave": "à", "ccedil": "ç", "ntilde": "ñ",
    ]
    private static let longestEntity = 10

    /// Named entities that writers use and numeric ones; anything else stays as it is.
    static func decodeEntities(_ text: String) -> String {
        guard text.contains("&") else { return text }
        var result = ""
        var rest = text[...]
        while let start = rest.firstIndex(of: "&") {
            result += rest[..<start]
            rest = rest[start...]
            let window = rest.dropFirst().prefix(longestEntity)
            if let end = window.firstIndex(of: ";"), let character = character(of: rest[rest.index(after: start)..<end]) {
                result += character
                rest = rest[rest.index(after: end)...]
            } else {
                result += "&"
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }

    private static func character(of entity: Substring) -> String? {
        guard entity.first == "#" else { return entities[String(entity)] }
        let digits = entity.dropFirst()
        let code = digits.first == "x" || digits.first == "X" ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
        guard let scalar = code.flatMap(Unicode.Scalar.init), scalar.properties.generalCategory != .control else { return nil }
        return String(Character(scalar))
    }
}
