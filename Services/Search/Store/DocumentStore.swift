import Contracts
import Foundation
import Postgres

/// The rows of documents: source text, and the index derived from it; with them the vocabulary that they make up.
struct DocumentStore {
    let tx: Transaction

    init(_ tx: Transaction) { self.tx = tx }

    /// While an index is being built anew from the events, the version that is known is taken again, once; so is that of a document
    /// which the end of a rebuild hid.
    private static let isConfirmed: SQL = """
        (known.version = excluded.version AND (known.unconfirmed_at IS NOT NULL OR known.indexed_at < (
            SELECT started_at FROM reindex_runs WHERE finished_at IS NULL AND source = 'events')))
        """
    /// When its event came again; what is newer tells of a document without confirming that its owner publishes what was there.
    private static let confirmation: SQL =
        "CASE WHEN known.version = excluded.version THEN excluded.indexed_at ELSE known.confirmed_at END"
    /// A row without its text.
    private static let emptied: SQL = """
        title = NULL, slug = NULL, keywords = NULL, excerpt = NULL, category = NULL, tags = '{}', body = NULL, author_id = NULL,
        published_at = NULL, title_key = NULL, words = NULL, length = NULL, only_for = NULL, embedding = NULL, embedding_model = NULL,
        unconfirmed_at = NULL
        """

    /// Takes the document in, unless a newer version of it is known. False then.
    @discardableResult
    func index(_ document: Document) throws -> Bool {
        let language = document.language(or: try standardLanguage())
        let needs = document.needs.description
        let row = try tx.first(
            """
            INSERT INTO documents AS known (
                tenant_id, id, type, version, searchable, language, needs, only_for, title, slug, keywords, excerpt, category, tags, body,
                author_id, published_at, title_key, words, length, indexed_at)
            SELECT
                \(tx.caller.tenant), \(document.id), \(document.type), \(document.version), true, \(language)::text, \(needs),
                \(document.onlyFor), \(document.title)::text, \(document.slug), \(document.keywords), \(document.excerpt),
                \(document.category), \(document.tags)::text[], \(document.body), \(document.authorID), \(document.publishedAt),
                title_key(\(document.title)), words, words_in(words), \(tx.now)
            FROM document_words(
                \(language)::text, \(document.title), \(document.keywords), \(document.excerpt), \(document.category),
                \(document.tags)::text[], \(document.body)) AS words
            ON CONFLICT (tenant_id, id) DO UPDATE SET
                version = excluded.version, searchable = true, language = excluded.language, needs = excluded.needs,
                only_for = excluded.only_for, title = excluded.title, slug = excluded.slug, keywords = excluded.keywords,
                excerpt = excluded.excerpt, category = excluded.category, tags = excluded.tags, body = excluded.body,
                author_id = excluded.author_id, published_at = excluded.published_at, title_key = excluded.title_key,
                words = excluded.words, length = excluded.length, embedding = NULL, embedding_model = NULL,
                indexed_at = excluded.indexed_at, confirmed_at = \(fragment: Self.confirmation), unconfirmed_at = NULL
            WHERE known.version < excluded.version OR \(fragment: Self.isConfirmed)
            RETURNING \(fragment: VocabularyStore.isAlone(tx.caller.tenant)) AS alone
            """)
        guard let row else { return false }
        try VocabularyStore(tx).take([document.id], alone: try row("alone"))
        return true
    }

    /// The text that is kept of this version, also of one that the end of a rebuild hid; held until the transaction ends.
    func text(of id: DocumentID, version: Int) throws -> String? {
        let row = try tx.first("SELECT body FROM documents WHERE id = \(id) AND version = \(version) FOR UPDATE")
        return try row.flatMap { try $0("body") }
    }

    /// Takes in the text of a document that was found without it so far. False when that is known, or the document is gone or another.
    func complete(_ id: DocumentID, version: Int, with body: String) throws -> Bool {
        let known = try tx.first(
            Query(
                """
                SELECT id, type, concat_ws(' ', title, excerpt, left(\(body), 4000)) AS text FROM documents
                WHERE id = \(id) AND version = \(version) AND searchable AND body <> \(body) FOR UPDATE
                """, Source.init(row:)))
        guard !body.isEmpty, let known else { return false }
        let language = Language.of(known.text, standard: try standardLanguage())
        let row = try tx.first(
            """
            WITH derived AS MATERIALIZED (
                SELECT document_words(\(language)::text, title, keywords, excerpt, category, tags, \(body)) AS words
                FROM documents WHERE id = \(id))
            UPDATE documents AS d SET
                body = \(body), language = \(language)::text, words = derived.words, length = words_in(derived.words), embedding = NULL,
                embedding_model = NULL
            FROM derived WHERE d.id = \(id)
            RETURNING \(fragment: VocabularyStore.isAlone(tx.caller.tenant)) AS alone
            """)
        try VocabularyStore(tx).take([id], alone: try row?("alone") ?? false)
        return true
    }

    /// Forgets the text and keeps the version, also of a document that was never known: an older event may still come.
    @discardableResult
    func hide(_ type: DocumentType, _ id: DocumentID, version: Int) throws -> Bool {
        let changed = try tx.execute(
            """
            INSERT INTO documents AS known (tenant_id, id, type, version, searchable, needs, indexed_at)
            VALUES (\(tx.caller.tenant), \(id), \(type), \(version), false, \(type.needs.description), \(tx.now))
            ON CONFLICT (tenant_id, id) DO UPDATE SET
                version = excluded.version, searchable = false, \(fragment: Self.emptied), indexed_at = excluded.indexed_at
            WHERE known.version < excluded.version OR \(fragment: Self.isConfirmed)
            """)
        if changed == 1 { try VocabularyStore(tx).markStale(nil) }
        return changed == 1
    }

    func count() throws -> Int {
        try tx.first(Query("SELECT count(*) AS count FROM documents WHERE searchable", column: "count")) ?? 0
    }

    /// How far a rebuild from the events is: documents that were there before then and whose events have come again, and documents that no
    /// event has told of since.
    static func progress(since start: Date) -> Query<(confirmed: Int, untold: Int)> {
        Query(
            """
            SELECT count(*) FILTER (WHERE confirmed_at >= \(start)) AS confirmed, count(*) FILTER (WHERE indexed_at < \(start)) AS untold
            FROM documents WHERE searchable
            """
        ) { row in (try row("confirmed"), try row("untold")) }
    }

    /// Hides what no event has told of since then. Text and index are kept, until an event tells of it or it is emptied.
    func hideUntold(since start: Date) throws {
        let hidden = try tx.execute(
            "UPDATE documents SET searchable = false, unconfirmed_at = \(tx.now) WHERE searchable AND indexed_at < \(start)")
        if hidden > 0 { try VocabularyStore(tx).markStale(nil) }
    }

    /// Forgets the texts of some that the ends of rebuilds hid until then; returns how many.
    func emptyHidden(until time: Date, limit: Int) throws -> Int {
        try tx.execute(
            """
            UPDATE documents SET \(fragment: Self.emptied)
            WHERE NOT searchable AND id IN (
                SELECT id FROM documents WHERE NOT searchable AND unconfirmed_at <= \(time) ORDER BY id LIMIT \(limit))
            """)
    }

    /// The documents after this one, in the order of their ids: so many at most, and no more once their texts have so many bytes.
    func next(after position: DocumentID?, limit: Int, bytes: Int) throws -> [DocumentID] {
        let later: SQL = position.map { "AND id > \($0)" } ?? .empty
        return try tx.query(
            Query(
                """
                SELECT id FROM (
                    SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM (
                        SELECT id, octet_length(body) AS size FROM documents
                        WHERE searchable \(fragment: later) ORDER BY id LIMIT \(limit)) AS following
                ) AS sized WHERE before < \(bytes) ORDER BY id
                """, column: "id"))
    }

    /// Derives the index of these anew from the source text. Texts of files that are missing are asked for.
    func derive(_ ids: [DocumentID]) throws {
        guard !ids.isEmpty else { return }
        let sources = try tx.query(
            Query(
                """
                SELECT id, type, concat_ws(' ', title, excerpt, left(body, 4000)) AS text FROM documents
                WHERE searchable AND id = ANY (\(ids)) ORDER BY id
                """, Source.init(row:)))
        let standard = try standardLanguage()
        let languages = sources.map { $0.type == .person ? Language.simple : Language.of($0.text, standard: standard) }
        try tx.execute(
            """
            UPDATE documents AS d SET
                language = chosen.language, title_key = title_key(d.title),
                (words, length) = (
                    SELECT words, words_in(words)
                    FROM document_words(chosen.language, d.title, d.keywords, d.excerpt, d.category, d.tags, d.body) AS words)
            FROM unnest(\(sources.map(\.id)), \(languages)::text[]) AS chosen (id, language)
            WHERE d.id = chosen.id AND d.searchable
            """)
        try AwaitedTextStore(tx).addMissing(among: ids)
        let alone =
            try tx.first(
                Query<Bool>("SELECT \(fragment: VocabularyStore.isAlone(tx.caller.tenant)) AS alone", column: "alone")) ?? false
        try VocabularyStore(tx).take(ids, alone: alone)
    }

    private struct Source: Sendable {
        let id: DocumentID
        let type: DocumentType
        let text: String

        init(row: Row) throws {
            (id, type, text) = (try row("id"), try row("type"), try row("text"))
        }
    }

    /// What the organization says, of texts that do not show their language.
    private func standardLanguage() throws -> Language {
        let said: Language? = try tx.first(Query(SettingsStore.language, { try $0("language") })) ?? nil
        return said ?? SearchSettings.standardLanguage
    }
}

extension DocumentType: SQLBindable, SQLDecodable {}
