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

/// What results are narrowed to.
struct SearchFilter: Sendable, Equatable {
    var type: DocumentType?
    var tag: Label?
    var category: Label?
    var author: UserID?
    /// From this time on.
    var from: Date?
    /// Before this time.
    var to: Date?

    /// Keys that the index has beside words.
    var keys: [String] {
        [
            type.map { "#type:\($0.rawValue)" }, tag.map { "#tag:\($0.rawValue)" }, category.map { "#category:\($0.rawValue)" },
            author.map { "#author:\($0)" },
        ].compactMap { $0 }
    }
}

/// What a caller may find: the types they may read, and what is theirs alone.
struct Sight: Sendable, Equatable {
    let permissions: [String]
    let person: UserID?

    init(_ caller: Caller) {
        permissions = DocumentType.allCases.map(\.needs).filter(caller.may).map(\.description)
        person = caller.user
    }

    /// The keys that every document they may find has one of.
    var keys: [String] { permissions.map { "#needs:\($0)" } }
}

/// The place of the last result shown, and what the first page was ranked by, so that later pages go on as it began.
struct SearchPlace: Sendable, Equatable {
    let mode: SearchMode
    /// Typing errors were looked for in words that are known, too.
    let isSpelled: Bool
    /// When the first page was asked for: what recency counts from.
    let moment: Date
    let averageLength: Double
    let weights: [Double]
    let score: Double
    let id: DocumentID

    private static let leastKeys = 6

    init(_ ranking: Ranking, after hit: SearchHit) {
        mode = ranking.mode
        isSpelled = ranking.isSpelled
        moment = ranking.moment
        averageLength = ranking.averageLength
        weights = ranking.weights
        score = hit.score
        id = hit.id
    }

    /// Nil unless the keys are those that `keys` gave.
    init?(keys: [String]) {
        guard (Self.leastKeys...Self.leastKeys + SearchPlan.maximumScored).contains(keys.count), let mode = SearchMode(rawValue: keys[0]),
            let seconds = Int(keys[2]), (0...253_402_300_799).contains(seconds), let length = Double(keys[3]), (0...1e9).contains(length),
            let score = Double(keys[4]), score.isFinite, let id = DocumentID(keys[5])
        else { return nil }
        let weights = keys[Self.leastKeys...].compactMap(Double.init).filter { (0...100).contains($0) }
        guard weights.count == keys.count - Self.leastKeys else { return nil }
        self.mode = mode
        isSpelled = keys[1] == "1"
        moment = Date(timeIntervalSince1970: Double(seconds))
        averageLength = length
        self.weights = weights
        self.score = score
        self.id = id
    }

    var keys: [String] {
        [
            mode.rawValue, isSpelled ? "1" : "0", String(Int(moment.timeIntervalSince1970)), String(averageLength), String(score),
            id.description,
        ] + weights.map { String($0) }
    }
}

/// What the results of one search are ranked by, beside the query.
struct Ranking: Sendable, Equatable {
    var mode: SearchMode
    var isSpelled: Bool
    let moment: Date
    let averageLength: Double
    var weights: [Double] = []
}

/// One result. Property names are the JSON's.
struct SearchHit: Codable, Equatable, Sendable {
    let type: DocumentType
    let id: DocumentID
    let title: String
    /// HTML: the escaped title, with the words that were found in `<mark>`.
    var highlightedTitle: String
    let slug: String?
    /// HTML: escaped text, with the words that were found in `<mark>`.
    var snippet: String
    /// From 0 to 1, within one search only.
    let score: Double
    let category: String?
    let tags: [String]
    let authorID: UserID?
    let publishedAt: Date

    enum CodingKeys: String, CodingKey {
        case type, id, title, highlightedTitle, slug, snippet, score, category, tags, authorID = "authorId", publishedAt
    }
}

/// How many of all results there are by type, tag, category and author (the most frequent ones).
struct Facets: Codable, Equatable, Sendable {
    /// Of each but the type.
    static let maximumValues = 20
    let type: [String: Int]
    let tag: [String: Int]
    let category: [String: Int]
    let author: [String: Int]
}

/// The answer of one search, before it is cut to a page.
struct SearchOutcome: Sendable {
    /// Results are counted, and facets made, up to so many: the best.
    static let maximumCounted = 10_000

    var hits: [SearchHit]
    let facets: Facets
    let total: Int
    /// False: there are more than `total`.
    let totalIsExact: Bool
}

/// A completion. Property names are the JSON's.
struct Suggestion: Codable, Equatable, Sendable {
    static let maximumCount = 10
    let text: String
    let type: DocumentType
    let id: DocumentID
    let slug: String?
}

/// Turns the marked text of the database into HTML that holds nothing but text and `<mark>`.
enum Snippet {
    /// Control characters, which no stored text has, stand around the words that were found until the text is escaped.
    static let start: Unicode.Scalar = "\u{2}"
    static let end: Unicode.Scalar = "\u{3}"

    /// Scalar by scalar: some letters, such as U+0600, make one character with the sign after them, which is then none of these.
    static func html(marked text: String) -> String {
        var html = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case start: html += "<mark>".unicodeScalars
            case end: html += "</mark>".unicodeScalars
            case "&": html += "&amp;".unicodeScalars
            case "<": html += "&lt;".unicodeScalars
            case ">": html += "&gt;".unicodeScalars
            case "\"": html += "&quot;".unicodeScalars
            default: html.append(scalar)
            }
        }
        return String(html)
    }
}
