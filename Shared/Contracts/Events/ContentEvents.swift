package import Foundation

/// A draft was written.
package struct ArticleCreated: Event {
    package static let topic = Topic.content
    package static let name = "article.created"
    package static let summary = "A draft was written."

    package let articleID: ArticleID
    package let slug: String
    package let title: String
    package let authorID: UserID?

    package var aggregateID: String { articleID.description }

    package init(articleID: ArticleID, slug: String, title: String, authorID: UserID?) {
        self.articleID = articleID
        self.slug = slug
        self.title = title
        self.authorID = authorID
    }

    package static let example = ArticleCreated(
        articleID: ArticleID(.example(4)), slug: "analytical-engines",
        title: "Notes on the engine", authorID: UserID(.example(1)))
}

/// An article changed; carries what readers see of a published one.
package struct ArticleUpdated: Event {
    package static let topic = Topic.content
    package static let name = "article.updated"
    package static let summary = "An article changed; carries what readers see of a published one."

    package let articleID: ArticleID
    package let slug: String
    package let title: String
    package let content: String
    package let excerpt: String?
    package let category: String?
    package let tags: [String]
    package let authorID: UserID?
    package let version: Int
    package let published: Bool
    /// Since when readers see it; nil for a draft.
    package let publishedAt: Date?

    package var aggregateID: String { articleID.description }

    package init(
        articleID: ArticleID, slug: String, title: String, content: String, excerpt: String?,
        category: String?, tags: [String], authorID: UserID?, version: Int, published: Bool,
        publishedAt: Date? = nil
    ) {
        self.articleID = articleID
        self.slug = slug
        self.title = title
        self.content = content
        self.excerpt = excerpt
        self.category = category
        self.tags = tags
        self.authorID = authorID
        self.version = version
        self.published = published
        self.publishedAt = publishedAt
    }

    package static let example = ArticleUpdated(
        articleID: ArticleID(.example(4)), slug: "analytical-engines", title: "Notes on the engine",
        content: "<p>The engine weaves patterns.</p>",
        excerpt: "The engine weaves patterns.", category: "history", tags: ["swift", "linux"], authorID: UserID(.example(1)),
        version: 3, published: true, publishedAt: .example)
}

/// An article became visible to its readers.
package struct ArticlePublished: Event {
    package static let topic = Topic.content
    package static let name = "article.published"
    package static let summary = "An article became visible to its readers."

    package let articleID: ArticleID
    package let slug: String
    package let title: String
    package let content: String
    package let excerpt: String?
    package let category: String?
    package let tags: [String]
    package let authorID: UserID?
    package let version: Int
    package let publishedAt: Date

    package var aggregateID: String { articleID.description }

    package init(
        articleID: ArticleID, slug: String, title: String, content: String, excerpt: String?,
        category: String?, tags: [String], authorID: UserID?, version: Int, publishedAt: Date
    ) {
        self.articleID = articleID
        self.slug = slug
        self.title = title
        self.content = content
        self.excerpt = excerpt
        self.category = category
        self.tags = tags
        self.authorID = authorID
        self.version = version
        self.publishedAt = publishedAt
    }

    package static let example = ArticlePublished(
        articleID: ArticleID(.example(4)), slug: "analytical-engines", title: "Notes on the engine",
        content: "<p>The engine weaves patterns.</p>",
        excerpt: "The engine weaves patterns.", category: "history", tags: ["swift", "linux"], authorID: UserID(.example(1)),
        version: 3, publishedAt: .example)
}

/// An article is a draft again.
package struct ArticleUnpublished: Event {
    package static let topic = Topic.content
    package static let name = "article.unpublished"
    package static let summary = "An article is a draft again."

    package let articleID: ArticleID
    package let version: Int

    package var aggregateID: String { articleID.description }

    package init(articleID: ArticleID, version: Int) {
        self.articleID = articleID
        self.version = version
    }

    package static let example = ArticleUnpublished(
        articleID: ArticleID(.example(4)),
        version: 3)
}

/// An article is gone.
package struct ArticleDeleted: Event {
    package static let topic = Topic.content
    package static let name = "article.deleted"
    package static let summary = "An article is gone."

    package let articleID: ArticleID
    package let version: Int

    package var aggregateID: String { articleID.description }

    package init(articleID: ArticleID, version: Int) {
        self.articleID = articleID
        self.version = version
    }

    package static let example = ArticleDeleted(
        articleID: ArticleID(.example(4)),
        version: 3)
}
