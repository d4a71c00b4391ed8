import Contracts
import Foundation
import ServiceKit

/// An article as clients see it. Property names are the JSON's.
struct ArticleView: View {
    let id: ArticleID
    let title: Title
    let slug: Slug
    let content: SafeHTML
    let excerpt: ShortText?
    let authorId: UserID?
    let status: ArticleStatus
    let publishedAt: Date?
    let featured: Bool
    let category: Label?
    let tags: TagList
    let metaTitle: MetaTitle?
    let metaDescription: ShortText?
    let canonicalUrl: WebAddress?
    let ogImage: WebAddress?
    let viewCount: Int
    let likeCount: Int
    let commentCount: Int
    let version: Int
    let createdAt: Date
    let updatedAt: Date

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ article: Article) {
        let fields = article.fields
        id = article.id
        title = fields.title
        slug = fields.slug
        content = fields.content
        excerpt = fields.excerpt
        authorId = article.authorID
        status = article.status
        publishedAt = article.publishedAt
        featured = fields.featured
        category = fields.category
        tags = fields.tags
        metaTitle = fields.metaTitle
        metaDescription = fields.metaDescription
        canonicalUrl = fields.canonicalURL
        ogImage = fields.ogImage
        viewCount = article.counts.views
        likeCount = article.counts.likes
        commentCount = article.counts.comments
        version = article.version
        createdAt = article.createdAt
        updatedAt = article.updatedAt
    }
}

/// An article as it was before an edit. Property names are the JSON's.
struct RevisionView: View {
    let version: Int
    let title: Title
    let slug: Slug
    let content: SafeHTML
    let excerpt: ShortText?
    let category: Label?
    let tags: TagList
    let featured: Bool
    let metaTitle: MetaTitle?
    let metaDescription: ShortText?
    let canonicalUrl: WebAddress?
    let ogImage: WebAddress?
    let replacedAt: Date
    let replacedBy: String

    init(_ revision: Revision) {
        let fields = revision.fields
        version = revision.version
        title = fields.title
        slug = fields.slug
        content = fields.content
        excerpt = fields.excerpt
        category = fields.category
        tags = fields.tags
        featured = fields.featured
        metaTitle = fields.metaTitle
        metaDescription = fields.metaDescription
        canonicalUrl = fields.canonicalURL
        ogImage = fields.ogImage
        replacedAt = revision.replacedAt
        replacedBy = revision.replacedBy
    }
}
