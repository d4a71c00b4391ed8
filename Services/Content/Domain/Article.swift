import Contracts
import Foundation

/// An article and the rules of its life: written as a draft, edited, published, unpublished, deleted.
///
/// A method that changes it returns the event that tells of the change, so nobody can change an article and forget to
/// announce it. `version` counts the writes: it is the entity tag, and it lets consumers drop an event older than one they know.
struct Article: Equatable, Sendable {
    let id: ArticleID
    /// Nil once the author's account is gone.
    let authorID: UserID?
    let createdAt: Date
    let counts: ArticleCounts
    private(set) var fields: ArticleFields
    /// Nil for a draft.
    private(set) var publishedAt: Date?
    private(set) var updatedAt: Date
    private(set) var version: Int

    var status: ArticleStatus { publishedAt == nil ? .draft : .published }

    static func write(_ id: ArticleID, _ fields: ArticleFields, by author: UserID, at now: Date) -> (Article, ArticleCreated) {
        let article = Article(
            id: id, authorID: author, createdAt: now, counts: .none, fields: fields, publishedAt: nil, updatedAt: now, version: 1)
        return (article, ArticleCreated(articleID: id, slug: fields.slug.rawValue, title: fields.title.rawValue, authorID: author))
    }

    /// Nil when nothing is different: then there is nothing to save or to announce.
    mutating func edit(_ new: ArticleFields, at now: Date) -> ArticleUpdated? {
        guard new != fields else { return nil }
        fields = new
        advance(to: now)
        return ArticleUpdated(
            articleID: id, slug: fields.slug.rawValue, title: fields.title.rawValue, content: fields.content.rawValue,
            excerpt: fields.excerpt?.rawValue, category: fields.category?.rawValue, tags: fields.tags.texts, authorID: authorID,
            version: version, published: publishedAt != nil, publishedAt: publishedAt)
    }

    mutating func publish(at now: Date) throws(ArticleFailure) -> ArticlePublished {
        guard publishedAt == nil else { throw .alreadyPublished }
        publishedAt = now
        advance(to: now)
        return ArticlePublished(
            articleID: id, slug: fields.slug.rawValue, title: fields.title.rawValue, content: fields.content.rawValue,
            excerpt: fields.excerpt?.rawValue, category: fields.category?.rawValue, tags: fields.tags.texts, authorID: authorID,
            version: version, publishedAt: now)
    }

    mutating func unpublish(at now: Date) throws(ArticleFailure) -> ArticleUnpublished {
        guard publishedAt != nil else { throw .notPublished }
        publishedAt = nil
        advance(to: now)
        return ArticleUnpublished(articleID: id, version: version)
    }

    /// The deletion counts as a write, so it is newer than everything that was said of the article before.
    func delete() -> ArticleDeleted { ArticleDeleted(articleID: id, version: version + 1) }

    private mutating func advance(to now: Date) {
        updatedAt = now
        version += 1
    }
}

/// The refusals of articles.
enum ArticleFailure: String, Failure {
    case notFound = "article-not-found"
    case slugTaken = "slug-taken"
    case alreadyPublished = "article-already-published"
    case notPublished = "article-not-published"

    var kind: FailureKind {
        switch self {
        case .notFound: .notFound
        case .slugTaken, .alreadyPublished, .notPublished: .conflict
        }
    }

    var detail: String? {
        switch self {
        case .notFound: "There is no such article."
        case .slugTaken: "Another article has this slug: choose another one, or leave it out to have one made from the title."
        case .alreadyPublished: "The article is published already."
        case .notPublished: "The article is a draft already."
        }
    }
}

enum ArticleStatus: String, CaseIterable, Codable, Sendable {
    case draft, published
}

/// What readers have done with an article.
struct ArticleCounts: Equatable, Sendable {
    let views: Int
    let likes: Int
    let comments: Int

    static let none = ArticleCounts(views: 0, likes: 0, comments: 0)
}

/// Who is reading: drafts are shown to those who may edit, and to nobody else.
enum Audience: Sendable {
    case readers, editors

    init(_ caller: Caller) { self = caller.may("content:write") ? .editors : .readers }
}

/// How a client names an article: its id, or its slug.
enum ArticleKey: LosslessStringConvertible, Equatable, Sendable {
    case id(ArticleID)
    case slug(Slug)

    init?(_ text: String) {
        if let id = ArticleID(text) {
            self = .id(id)
        } else if let slug = Slug(rawValue: text) {
            self = .slug(slug)
        } else {
            return nil
        }
    }

    var description: String {
        switch self {
        case .id(let id): id.description
        case .slug(let slug): slug.rawValue
        }
    }
}
