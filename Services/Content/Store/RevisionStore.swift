import Contracts
import Foundation
import Postgres

/// The rows of revisions: what articles were before their edits.
struct RevisionStore {
    let tx: Transaction
    /// How many are kept of one article; the oldest go first.
    let kept: Int

    /// Copies the article as it is stored now. Call it before `ArticleStore.save`.
    func keep(_ id: ArticleID) throws {
        try tx.execute(
            """
            INSERT INTO article_revisions (
                tenant_id, article_id, version, replaced_at, replaced_by, title, slug, content, excerpt, category, tags, featured,
                meta_title, meta_description, canonical_url, og_image)
            SELECT tenant_id, id, version, \(tx.now), \(tx.caller.principalText), title, slug, content, excerpt, category, tags, featured,
                meta_title, meta_description, canonical_url, og_image
            FROM articles WHERE id = \(id)
            """)
        try tx.execute(
            """
            DELETE FROM article_revisions WHERE article_id = \(id) AND version <= (
                SELECT version FROM article_revisions WHERE article_id = \(id) ORDER BY version DESC OFFSET \(kept) LIMIT 1)
            """)
    }

    /// The newest first. `before` is the version of the last one shown.
    static func list(of id: ArticleID, before: Int?, limit: Int) -> Query<RevisionSummary> {
        let older: SQL = before.map { "AND version < \($0)" } ?? .empty
        return Query(
            """
            SELECT version, title, slug, replaced_at, replaced_by FROM article_revisions
            WHERE article_id = \(id) \(fragment: older) ORDER BY version DESC LIMIT \(limit)
            """
        ) { row in
            RevisionSummary(
                version: try row("version"), title: try row("title"), slug: try row("slug"), replacedAt: try row("replaced_at"),
                replacedBy: try row("replaced_by"))
        }
    }

    static func find(_ version: Int, of id: ArticleID) -> Query<Revision> {
        Query(
            """
            SELECT version, replaced_at, replaced_by, \(fragment: ArticleStore.fieldColumns) FROM article_revisions
            WHERE article_id = \(id) AND version = \(version)
            """
        ) { row in
            Revision(
                version: try row("version"), fields: try ArticleFields(row: row), replacedAt: try row("replaced_at"),
                replacedBy: try row("replaced_by"))
        }
    }
}
