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

    /// What the audit trail keeps of an edit: each changed field with its old and new value. Of the content only the sizes,
    /// because the revision has the text.
    func changes(to new: ArticleFields) -> [String: JSONValue] {
        func pair(_ old: JSONValue, _ new: JSONValue) -> JSONValue? {
            old == new ? nil : .object(["from": old, "to": new])
        }
        func pair(_ old: String?, _ new: String?) -> JSONValue? {
            pair(old.map(JSONValue.string) ?? .null, new.map(JSONValue.string) ?? .null)
        }
        var changes: [String: JSONValue] = [:]
        changes["title"] = pair(title.rawValue, new.title.rawValue)
        changes["slug"] = pair(slug.rawValue, new.slug.rawValue)
        if content != new.content {
            changes["contentBytes"] = .object([
                "from": .integer(content.rawValue.utf8.count), "to": .integer(new.content.rawValue.utf8.count),
            ])
        }
        changes["excerpt"] = pair(excerpt?.rawValue, new.excerpt?.rawValue)
        changes["category"] = pair(category?.rawValue, new.category?.rawValue)
        changes["tags"] = pair(.array(tags.texts.map(JSONValue.string)), .array(new.tags.texts.map(JSONValue.string)))
        changes["featured"] = pair(.bool(featured), .bool(new.featured))
        changes["metaTitle"] = pair(metaTitle?.rawValue, new.metaTitle?.rawValue)
        changes["metaDescription"] = pair(metaDescription?.rawValue, new.metaDescription?.rawValue)
        changes["canonicalUrl"] = pair(canonicalURL?.rawValue, new.canonicalURL?.rawValue)
        changes["ogImage"] = pair(ogImage?.rawValue, new.ogImage?.rawValue)
        return changes
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
