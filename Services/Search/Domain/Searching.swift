import Contracts
import Foundation

/// What somebody looks for: 1 to 200 characters, any white space between words taken for one space.
struct SearchText: ValidatedText {
    static let maximumLength = 200
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let text = try Title.check(text.split(whereSeparator: \.isWhitespace).joined(separator: " "))
        guard text.unicodeScalars.count <= maximumLength else {
            throw TextProblem("too-long", "must have at most \(maximumLength) characters")
        }
        return text
    }
}

/// How documents are matched.
enum SearchMode: String, Sendable {
    /// By words, with the operators of web search.
    case words
    /// By resemblance of the title, for when no document has the words: typing errors, beginnings of words.
    case resemblance
}

/// The place of the last result shown. The mode is part of it, so that later pages go on as the first began.
struct SearchPlace: Sendable {
    let mode: SearchMode
    let score: Double
    let id: DocumentID

    init(mode: SearchMode, after hit: SearchHit) {
        self.mode = mode
        score = hit.score
        id = hit.id
    }

    /// Nil unless the keys are those that `keys` gave.
    init?(keys: [String]) {
        guard keys.count == 3, let mode = SearchMode(rawValue: keys[0]), let score = Double(keys[1]), score.isFinite,
            let id = DocumentID(keys[2])
        else { return nil }
        self.mode = mode
        self.score = score
        self.id = id
    }

    var keys: [String] { [mode.rawValue, String(score), id.description] }
}

/// One result. Property names are the JSON's.
struct SearchHit: Codable, Equatable, Sendable {
    let type: DocumentType
    let id: DocumentID
    let title: String
    let slug: String
    /// HTML: escaped text, with the words that were found in `<mark>`.
    let snippet: String
    /// From 0 to 1, within one search only.
    let score: Double
    let category: String?
    let tags: [String]
    let publishedAt: Date
}

/// How many of all results there are by type and by tag (the most frequent ones).
struct Facets: Codable, Equatable, Sendable {
    static let maximumTags = 20
    let type: [String: Int]
    let tag: [String: Int]
}

/// The answer of one search, before it is cut to a page.
struct SearchOutcome: Sendable {
    let hits: [SearchHit]
    let facets: Facets
    let total: Int
}

/// A completion. Property names are the JSON's.
struct Suggestion: Codable, Equatable, Sendable {
    static let maximumCount = 10
    let text: String
    let type: DocumentType
    let id: DocumentID
    let slug: String
}

/// Turns the marked text of the database into HTML that holds nothing but text and `<mark>`.
enum Snippet {
    /// Control characters, which no stored text has, stand around the words that were found until the text is escaped.
    static let start: Character = "\u{2}"
    static let end: Character = "\u{3}"

    static func html(marked text: String) -> String {
        var html = ""
        for character in text {
            switch character {
            case start: html += "<mark>"
            case end: html += "</mark>"
            case "&": html += "&amp;"
            case "<": html += "&lt;"
            case ">": html += "&gt;"
            case "\"": html += "&quot;"
            default: html.append(character)
            }
        }
        return html
    }
}
