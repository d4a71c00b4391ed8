import Foundation

/// Plain text, of HTML (tags taken out, character references resolved) or of text as it is; white space reduced.
///
/// It is for finding and for snippets, which are escaped when they are shown; it makes nothing safe and need not.
enum PlainText {
    /// What lies beyond is not found. A text of this size stays below the 1 MB that PostgreSQL allows a tsvector.
    static let maximumBytes = 250_000
    /// Longer than any reference that is resolved.
    private static let maximumReference = 10

    /// Inside a line of text; every other tag separates words.
    private static let inline: Set<String> = ["a", "b", "strong", "i", "em", "u", "s", "span", "code"]
    private static let references: [String: Character] = [
        "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": " ",
    ]

    static func read(html: String) -> String {
        var text = ""
        var rest = Substring(html)
        while let next = rest.firstIndex(where: { $0 == "<" || $0 == "&" }) {
            text += rest[..<next]
            rest = rest[next...]
            if rest.first == "<" {
                guard let end = rest.firstIndex(of: ">") else { break }
                if !inline.contains(name(of: rest[..<end])) { text += " " }
                rest = rest[rest.index(after: end)...]
            } else if let (character, after) = reference(in: rest) {
                text.append(character)
                rest = after
            } else {
                text += "&"
                rest = rest.dropFirst()
            }
        }
        if rest.first != "<" { text += rest }
        return cut(text.split(whereSeparator: \.isWhitespace).joined(separator: " "))
    }

    /// Text as it is, without control characters: snippets use two of them to mark what was found.
    static func read(plain text: String) -> String {
        var kept = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { kept.append(scalar.properties.generalCategory == .control ? " " : scalar) }
        return cut(String(kept).split(whereSeparator: \.isWhitespace).joined(separator: " "))
    }

    /// `h2` of `<h2 class="x">` and of `</h2>`.
    private static func name(of tag: Substring) -> String {
        tag.drop { $0 == "<" || $0 == "/" }.prefix { $0.isLetter || $0.isNumber }.lowercased()
    }

    private static func reference(in text: Substring) -> (Character, Substring)? {
        guard let end = text.prefix(maximumReference).firstIndex(of: ";") else { return nil }
        let name = text[text.index(after: text.startIndex)..<end]
        let after = text[text.index(after: end)...]
        if let known = references[String(name)] { return (known, after) }
        guard name.hasPrefix("#") else { return nil }
        let digits = name.dropFirst()
        let code = digits.hasPrefix("x") || digits.hasPrefix("X") ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
        guard let scalar = code.flatMap(Unicode.Scalar.init), scalar.value >= 0x20 else { return nil }
        return (Character(scalar), after)
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > maximumBytes else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: maximumBytes)
        while end > text.startIndex, String.Index(end, within: text) == nil { end = text.utf8.index(before: end) }
        return String(text[..<end])
    }
}
