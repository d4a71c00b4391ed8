import Contracts
import Foundation
import Postgres

/// The rows of documents: source text, and the index derived from it.
struct DocumentStore {
    let tx: Transaction

    init(_ tx: Transaction) { self.tx = tx }

    /// Takes the document in, unless a newer version of it is known. False then.
    @discardableResult
    func index(_ document: Document) throws -> Bool {
        let changed = try tx.execute(
            """
            INSERT INTO documents AS known (
                tenant_id, id, type, version, searchable, title, slug, excerpt, category, tags, body, author_id, published_at,
                title_key, words, indexed_at)
            VALUES (
                \(tx.caller.tenant), \(document.id), \(document.type), \(document.version), true, \(document.title), \(document.slug),
                \(document.excerpt), \(document.category), \(document.tags)::text[], \(document.body), \(document.authorID),
                \(document.publishedAt), title_key(\(document.title)),
                document_words(\(document.title), \(document.excerpt), \(document.category), \(document.tags)::text[], \(document.body)),
                \(tx.now))
            ON CONFLICT (tenant_id, id) DO UPDATE SET
                version = excluded.version, searchable = true, title = excluded.title, slug = excluded.slug,
                excerpt = excluded.excerpt, category = excluded.category, tags = excluded.tags, body = excluded.body,
                author_id = excluded.author_id, published_at = excluded.published_at, title_key = excluded.title_key,
                words = excluded.words, indexed_at = excluded.indexed_at
            WHERE known.version < excluded.version
            """)
        return changed == 1
    }

    /// Forgets the text and keeps the version, also of a document that was never known: an older event may still come.
    @discardableResult
    func hide(_ type: DocumentType, _ id: DocumentID, version: Int) throws -> Bool {
        let changed = try tx.execute(
            """
            INSERT INTO documents AS known (tenant_id, id, type, version, searchable, indexed_at)
            VALUES (\(tx.caller.tenant), \(id), \(type), \(version), false, \(tx.now))
            ON CONFLICT (tenant_id, id) DO UPDATE SET
                version = excluded.version, searchable = false, title = NULL, slug = NULL, excerpt = NULL, category = NULL,
                tags = '{}', body = NULL, author_id = NULL, published_at = NULL, title_key = NULL, words = NULL,
                indexed_at = excluded.indexed_at
            WHERE known.version < excluded.version
            """)
        return changed == 1
    }

    func count() throws -> Int {
        try tx.first(Query("SELECT count(*) AS count FROM documents WHERE searchable", column: "count")) ?? 0
    }

    /// Derives the index anew from the source text, for the next documents in the order of their ids; returns these.
    func derive(after position: DocumentID?, limit: Int) throws -> [DocumentID] {
        let later: SQL = position.map { "AND id > \($0)" } ?? .empty
        let ids: [DocumentID] = try tx.query(
            Query("SELECT id FROM documents WHERE searchable \(fragment: later) ORDER BY id LIMIT \(limit)", column: "id"))
        try tx.execute(
            """
            UPDATE documents SET
                title_key = title_key(title), words = document_words(title, excerpt, category, tags, body)
            WHERE id = ANY (\(ids)) AND searchable
            """)
        return ids
    }
}

extension DocumentType: SQLBindable, SQLDecodable {}
