import Contracts
import Foundation

/// What can be found.
enum DocumentType: String, CaseIterable, Codable, Sendable {
    case article
}

enum DocumentKind {}

/// The id of the object itself, such as an article's; ids are unique across types.
typealias DocumentID = TypedID<DocumentKind>

/// The source text of one object, as the events of its owner tell it. The index is derived from it alone.
struct Document: Equatable, Sendable {
    let type: DocumentType
    let id: DocumentID
    /// Counts the writes of the object: an event older than what is known changes nothing.
    let version: Int
    let title: String
    let slug: String
    let excerpt: String?
    let category: String?
    let tags: [String]
    /// Plain text.
    let body: String
    let authorID: UserID?
    let publishedAt: Date

    init(_ event: ArticlePublished) {
        type = .article
        id = DocumentID(event.articleID.uuid)
        version = event.version
        title = event.title
        slug = event.slug
        excerpt = event.excerpt
        category = event.category
        tags = event.tags
        body = PlainText.read(html: event.content)
        authorID = event.authorID
        publishedAt = event.publishedAt
    }

    /// Nil for a draft. `time` stands in for the publication when the event does not tell it.
    init?(_ event: ArticleUpdated, at time: Date) {
        guard event.published else { return nil }
        type = .article
        id = DocumentID(event.articleID.uuid)
        version = event.version
        title = event.title
        slug = event.slug
        excerpt = event.excerpt
        category = event.category
        tags = event.tags
        body = PlainText.read(html: event.content)
        authorID = event.authorID
        publishedAt = event.publishedAt ?? time
    }
}
