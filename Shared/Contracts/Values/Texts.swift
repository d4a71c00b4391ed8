import Foundation

/// Length and character rules that several texts share.
enum TextRule {
    /// Trims white space, then holds the text to a length in Unicode scalars and refuses control characters but tab and line ends.
    static func bounded(_ text: String, _ lengths: ClosedRange<Int>, multiline: Bool = false) throws(TextProblem) -> String {
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        let count = trimmed.unicodeScalars.count
        if count < lengths.lowerBound {
            throw TextProblem(count == 0 ? "empty" : "too-short", "must have at least \(lengths.lowerBound) character(s)")
        }
        if count > lengths.upperBound { throw TextProblem("too-long", "must have at most \(lengths.upperBound) characters") }
        let allowed: Set<Unicode.Scalar> = multiline ? ["\t", "\n", "\r"] : []
        if trimmed.unicodeScalars.contains(where: { $0.properties.generalCategory == .control && !allowed.contains($0) }) {
            throw TextProblem("control-character", "must not contain control characters")
        }
        return trimmed
    }
}

/// An e-mail address, lowercased (requirement 1: unique, at most 255 characters).
package struct EmailAddress: ValidatedText {
    package let rawValue: String
    package init(checked: String) { rawValue = checked }
    package static var schema: Schema { .string(format: "email", minLength: 3, maxLength: 255) }

    package static func check(_ text: String) throws(TextProblem) -> String {
        let address = text.trimmingCharacters(in: .whitespaces).lowercased()
        let parts = address.split(separator: "@", omittingEmptySubsequences: false)
        guard address.utf8.count <= 255, parts.count == 2, isLocalPart(parts[0]), isDomain(parts[1]) else {
            throw TextProblem("invalid-email", "must be an e-mail address such as name@example.org")
        }
        return address
    }

    /// RFC 5321, section 4.1.2, the dot-atom form; quoted local parts are refused on purpose.
    private static func isLocalPart(_ part: Substring) -> Bool {
        let extra = Set("!#$%&'*+-/=?^_`{|}~.".unicodeScalars)
        guard (1...64).contains(part.utf8.count), part.first != ".", part.last != ".", !part.contains("..") else { return false }
        return part.unicodeScalars.allSatisfy {
            $0.isASCII && ($0.properties.isAlphabetic || $0.properties.numericType != nil || extra.contains($0))
        }
    }

    private static func isDomain(_ part: Substring) -> Bool {
        let labels = part.split(separator: ".", omittingEmptySubsequences: false)
        guard labels.count >= 2 else { return false }
        return labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.unicodeScalars.allSatisfy {
                    $0.isASCII && ($0.properties.isAlphabetic || $0.properties.numericType != nil || $0 == "-")
                }
        }
    }
}

/// A part of a URL: lowercase letters, digits and single hyphens.
package struct Slug: ValidatedText {
    package let rawValue: String
    package init(checked: String) { rawValue = checked }
    package static let maximumLength = 200
    package static var schema: Schema { .string(minLength: 1, maxLength: maximumLength, pattern: "^[a-z0-9]+(-[a-z0-9]+)*$") }

    package static func check(_ text: String) throws(TextProblem) -> String {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        let good = parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) } }
        guard (1...maximumLength).contains(text.utf8.count), good else {
            throw TextProblem("invalid-slug", "must be lowercase letters and digits, joined by single hyphens, at most \(maximumLength)")
        }
        return text
    }

    /// A slug made from a title: diacritics folded, everything else turned into hyphens. `fallback` when nothing is left.
    package static func make(from title: String, fallback: String = "untitled") -> Slug {
        let folded = title.folding(options: [.diacriticInsensitive, .caseInsensitive], locale: Locale(identifier: "en_US_POSIX"))
            .lowercased()
        let words = folded.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
        var slug = ""
        for word in words {
            let next = slug.isEmpty ? String(word) : slug + "-" + word
            if next.utf8.count > maximumLength - 12 { break }
            slug = next
        }
        return Slug(checked: slug.isEmpty ? fallback : slug)
    }
}

/// A name of a person, organization, role …: 1 to 255 characters on one line.
package struct Name: ValidatedText {
    package let rawValue: String
    package init(checked: String) { rawValue = checked }
    package static var schema: Schema { .string(minLength: 1, maxLength: 255) }
    package static func check(_ text: String) throws(TextProblem) -> String { try TextRule.bounded(text, 1...255) }
}

/// A title of an article or a document: 1 to 500 characters on one line.
package struct Title: ValidatedText {
    package let rawValue: String
    package init(checked: String) { rawValue = checked }
    package static var schema: Schema { .string(minLength: 1, maxLength: 500) }
    package static func check(_ text: String) throws(TextProblem) -> String { try TextRule.bounded(text, 1...500) }
}

/// A short label such as a tag or a category: 1 to 100 characters on one line.
package struct Label: ValidatedText {
    package let rawValue: String
    package init(checked: String) { rawValue = checked }
    package static var schema: Schema { .string(minLength: 1, maxLength: 100) }
    package static func check(_ text: String) throws(TextProblem) -> String { try TextRule.bounded(text, 1...100) }
}

/// A paragraph or two: up to 5,000 characters, several lines.
package struct ShortText: ValidatedText {
    package let rawValue: String
    package init(checked: String) { rawValue = checked }
    package static var schema: Schema { .string(maxLength: 5000) }
    package static func check(_ text: String) throws(TextProblem) -> String { try TextRule.bounded(text, 0...5000, multiline: true) }
}

/// An absolute `http` or `https` URL of at most 1,000 characters.
package struct WebAddress: ValidatedText {
    package let rawValue: String
    package init(checked: String) { rawValue = checked }
    package static var schema: Schema { .string(format: "uri", maxLength: 1000) }
    package static func check(_ text: String) throws(TextProblem) -> String {
        // Foundation would percent-encode what must not be there, and the text is kept as it came.
        let never = Set("\"<>\\^`{|}".unicodeScalars)
        guard text.utf8.count <= 1000,
            text.unicodeScalars.allSatisfy({ $0.value > 0x20 && !(0x7F...0x9F).contains($0.value) && !never.contains($0) }),
            let url = URL(string: text), let scheme = url.scheme?.lowercased(),
            scheme == "https" || scheme == "http", let host = url.host, !host.isEmpty
        else { throw TextProblem("invalid-url", "must be an absolute http or https URL of at most 1000 characters") }
        return text
    }
}
