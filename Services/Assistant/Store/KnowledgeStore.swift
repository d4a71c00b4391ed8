import Contracts
import Foundation
import Postgres

/// A passage that has words of a question.
struct FoundPassage: Sendable, Equatable {
    let article: ArticleID
    let title: String
    let slug: String
    let text: String
    /// Different words of the question that the passage or its title has, of `wanted`.
    let matched: Int
    let wanted: Int
}

/// What the assistant knows of an organization's articles: `articles` and `passages`.
struct KnowledgeStore {
    /// Candidates of which an answer is made.
    static let searchLimit = 12
    let tx: Transaction

    /// The passages that have most of the question's words; of equals, those where the words are nearer to each other.
    /// Words are stemmed as English; stop words do not count.
    static func search(_ question: String) -> Query<FoundPassage> {
        Query(
            """
            WITH q AS (
                SELECT to_tsvector('english', \(question)::text) AS words,
                       replace(plainto_tsquery('english', \(question)::text)::text, ' & ', ' | ')::tsquery AS any_word
            )
            SELECT p.article_id, a.title, a.slug, p.text, length(q.words) AS wanted,
                   (SELECT count(*) FROM unnest(tsvector_to_array(q.words)) AS w (word)
                    WHERE w.word = ANY (tsvector_to_array(p.search))) AS matched
            FROM q CROSS JOIN passages p JOIN articles a ON a.tenant_id = p.tenant_id AND a.id = p.article_id
            WHERE p.search @@ q.any_word
            ORDER BY matched DESC, ts_rank_cd(p.search, q.any_word, 1) DESC, p.article_id, p.position
            LIMIT \(searchLimit)
            """
        ) { row in
            FoundPassage(
                article: try row("article_id"), title: try row("title"), slug: try row("slug"), text: try row("text"),
                matched: try row("matched"), wanted: try row("wanted"))
        }
    }

    /// Replaces what is known of an article, unless a newer version of it is known already.
    func learn(_ id: ArticleID, version: Int, title: String, slug: String, html: String) throws {
        guard try keep(id, version: version, published: true, title: title, slug: slug) else { return }
        try removePassages(id)
        let passages = Passages.of(html: html)
        guard !passages.isEmpty else { return }
        try tx.execute(
            """
            INSERT INTO passages (tenant_id, article_id, position, text, search)
            SELECT \(tx.caller.tenant), \(id), t.position, t.text,
                   setweight(to_tsvector('english', \(title)::text), 'C') || setweight(to_tsvector('english', t.text), 'A')
            FROM unnest(\(passages)) WITH ORDINALITY AS t (text, position)
            """)
    }

    /// Forgets the text, and remembers the version against late events.
    func forget(_ id: ArticleID, version: Int) throws {
        guard try keep(id, version: version, published: false, title: "", slug: "") else { return }
        try removePassages(id)
    }

    /// False when a newer version is known.
    private func keep(_ id: ArticleID, version: Int, published: Bool, title: String, slug: String) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO articles (tenant_id, id, version, published, title, slug, updated_at)
            VALUES (\(tx.caller.tenant), \(id), \(version), \(published), \(title), \(slug), \(tx.now))
            ON CONFLICT (tenant_id, id) DO UPDATE
            SET version = excluded.version, published = excluded.published, title = excluded.title, slug = excluded.slug,
                updated_at = excluded.updated_at
            WHERE articles.version <= excluded.version
            """) == 1
    }

    private func removePassages(_ id: ArticleID) throws { try tx.execute("DELETE FROM passages WHERE article_id = \(id)") }
}
