import Contracts
import Foundation

/// What an editor writes: the fields that PUT replaces and PATCH changes.
struct ArticleFields: Equatable, Sendable {
    var title: Title
    var slug: Slug
    var content: SafeHTML
    var excerpt: ShortText?
    var category: Label?
    var tags: TagList
    var featured: Bool
    var metaTitle: MetaTitle?
    var metaDescription: ShortText?
    var canonicalURL: WebAddress?
    var ogImage: WebAddress?

    /// What the audit log keeps of an edit: of each changed field the old and the new value. Of the content only the sizes, because
    /// the revision has the text.
    func changes(to new: ArticleFields) -> (was: [String: JSONValue], changed: [String: JSONValue]) {
        let (old, now) = (audited, new.audited)
        var names = Set(old.keys.filter { old[$0] != now[$0] })
        // Another text may be as long as the one before.
        if content != new.content { names.insert("contentBytes") }
        return (old.filter { names.contains($0.key) }, now.filter { names.contains($0.key) })
    }

    private var audited: [String: JSONValue] {
        func text(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }
        return [
            "title": .string(title.rawValue), "slug": .string(slug.rawValue), "contentBytes": .integer(content.rawValue.utf8.count),
            "excerpt": text(excerpt?.rawValue), "category": text(category?.rawValue),
            "tags": .array(tags.texts.map(JSONValue.string)), "featured": .bool(featured), "metaTitle": text(metaTitle?.rawValue),
            "metaDescription": text(metaDescription?.rawValue), "canonicalUrl": text(canonicalURL?.rawValue),
            "ogImage": text(ogImage?.rawValue),
        ]
    }
}

/// The tags of an article, in the editor's order, each once.
struct TagList: Described, Codable, Equatable, Sendable {
    static let maximumCount = 30
    let labels: [Label]

    static let empty = TagList(labels: [])
    static var schema: Schema { .array(Label.schema, maxItems: maximumCount) }
    static var placeholder: TagList { .empty }

    var texts: [String] { labels.map(\.rawValue) }

    private init(labels: [Label]) { self.labels = labels }

    /// Takes labels that were checked before, as those in the database were.
    init(stored labels: [Label]) { self.labels = labels }

    init(from decoder: any Decoder) throws {
        var seen = Set<Label>()
        labels = try [Label](from: decoder).filter { seen.insert($0).inserted }
        guard labels.count <= Self.maximumCount else {
            let problem = TextProblem("too-many", "must have at most \(Self.maximumCount) tags")
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
    }

    func encode(to encoder: any Encoder) throws { try labels.encode(to: encoder) }
}

/// The title that search engines show: 1 to 255 characters on one line.
struct MetaTitle: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { Name.schema }
    static func check(_ text: String) throws(TextProblem) -> String { try Name.check(text) }
}

/// The words of the list's `q`: 1 to 200 characters on one line.
struct FilterText: ValidatedText {
    static let maximumLength = 200
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let text = try Title.check(text)
        guard text.unicodeScalars.count <= maximumLength else {
            throw TextProblem("too-long", "must have at most \(maximumLength) characters")
        }
        return text
    }
}
