import Contracts
import Foundation
import Postgres

/// The rows of articles. Takes a transaction, never the pool: only a transaction carries a caller, and without a caller
/// row-level security shows no rows. What is read alone is handed out as a `Query`.
struct ArticleStore {
    let tx: Transaction
    /// More than one, in case another request takes the first between the look and the insert.
    static let freeSlugs = 5

    init(_ tx: Transaction) { self.tx = tx }

    // MARK: - Reading

    static func find(_ key: ArticleKey, for audience: Audience) -> Query<Article> {
        Query(
            "SELECT \(fragment: columns) FROM articles WHERE \(fragment: key.condition)\(fragment: audience.condition)",
            Article.init(row:))
    }

    /// Holds the article until the transaction ends, so that two edits come one after the other.
    func lock(_ key: ArticleKey) throws -> Article {
        let found = try tx.first(
            Query("SELECT \(fragment: Self.columns) FROM articles WHERE \(fragment: key.condition) FOR UPDATE", Article.init(row:)))
        guard let found else { throw ArticleFailure.notFound }
        return found
    }

    /// Those of the slugs that no article has, in the same order, at most `freeSlugs`.
    func free(_ slugs: [Slug]) throws -> [Slug] {
        try tx.query(
            Query(
                """
                SELECT choice FROM unnest(\(slugs)::text[]) WITH ORDINALITY AS choices (choice, place)
                WHERE NOT EXISTS (SELECT FROM articles WHERE slug = choice)
                ORDER BY place LIMIT \(Self.freeSlugs)
                """, column: "choice"))
    }

    // MARK: - Writing

    /// False when the slug is taken; a request that is just taking it is waited for.
    func insert(_ article: Article) throws -> Bool {
        let fields = article.fields
        let inserted = try tx.execute(
            """
            INSERT INTO articles (
                tenant_id, id, author_id, title, slug, content, excerpt, category, tags, featured,
                meta_title, meta_description, canonical_url, og_image, published_at, created_at, updated_at, version)
            VALUES (
                \(tx.caller.tenant), \(article.id), \(article.authorID), \(fields.title), \(fields.slug), \(fields.content),
                \(fields.excerpt), \(fields.category), \(fields.tags.labels)::text[], \(fields.featured), \(fields.metaTitle),
                \(fields.metaDescription), \(fields.canonicalURL), \(fields.ogImage), \(article.publishedAt), \(article.createdAt),
                \(article.updatedAt), \(article.version))
            ON CONFLICT ON CONSTRAINT articles_slug_unique DO NOTHING
            """)
        return inserted == 1
    }

    func save(_ article: Article) throws {
        let fields = article.fields
        do {
            try tx.execute(
                """
                UPDATE articles SET
                    title = \(fields.title), slug = \(fields.slug), content = \(fields.content), excerpt = \(fields.excerpt),
                    category = \(fields.category), tags = \(fields.tags.labels)::text[], featured = \(fields.featured),
                    meta_title = \(fields.metaTitle), meta_description = \(fields.metaDescription),
                    canonical_url = \(fields.canonicalURL), og_image = \(fields.ogImage), published_at = \(article.publishedAt),
                    updated_at = \(article.updatedAt), version = \(article.version)
                WHERE id = \(article.id)
                """)
        } catch let failure as PostgresFailure where failure.constraint == "articles_slug_unique" {
            throw ArticleFailure.slugTaken
        }
    }

    /// Its revisions go with it.
    func delete(_ id: ArticleID) throws {
        try tx.execute("DELETE FROM articles WHERE id = \(id)")
    }

    // MARK: - Rows

    /// The columns that `ArticleFields.init(row:)` reads; revisions have them too.
    static let fieldColumns: SQL = """
        title, slug, content, excerpt, category, tags, featured, meta_title, meta_description, canonical_url, og_image
        """

    private static let columns: SQL = """
        id, author_id, \(fragment: fieldColumns), published_at, created_at, updated_at, version, view_count, like_count, comment_count
        """
}

extension ArticleKey {
    var condition: SQL {
        switch self {
        case .id(let id): "id = \(id)"
        case .slug(let slug): "slug = \(slug)"
        }
    }
}

extension Audience {
    /// What is added to a condition, to show drafts to nobody who may not edit them.
    var condition: SQL {
        switch self {
        case .readers: " AND published_at IS NOT NULL"
        case .editors: .empty
        }
    }
}

extension Article {
    init(row: Row) throws {
        self.init(
            id: try row("id"), authorID: try row("author_id"), createdAt: try row("created_at"),
            counts: ArticleCounts(views: try row("view_count"), likes: try row("like_count"), comments: try row("comment_count")),
            fields: try ArticleFields(row: row), publishedAt: try row("published_at"), updatedAt: try row("updated_at"),
            version: try row("version"))
    }
}

extension ArticleFields {
    init(row: Row) throws {
        self.init(
            title: try row("title"), slug: try row("slug"), content: try row("content"), excerpt: try row("excerpt"),
            category: try row("category"), tags: TagList(stored: try row("tags")), featured: try row("featured"),
            metaTitle: try row("meta_title"), metaDescription: try row("meta_description"), canonicalURL: try row("canonical_url"),
            ogImage: try row("og_image"))
    }
}

extension SafeHTML: SQLBindable, SQLDecodable {}
extension MetaTitle: SQLBindable, SQLDecodable {}
extension FilterText: SQLBindable {}
extension ArticleStatus: SQLBindable, SQLDecodable {}
