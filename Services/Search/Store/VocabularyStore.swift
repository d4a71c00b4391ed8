import Contracts
import Foundation
import Postgres

/// The words of an organization's documents, as people write them, and what ranking knows of them.
struct VocabularyStore {
    let tx: Transaction

    /// Of a text the beginning tells its vocabulary, and so many words at most.
    static let readBytes: Int32 = 60_000
    static let maximumWords: Int32 = 3_000
    /// Words are counted again so long after a change at the soonest, which is how long the first ones of an organization wait.
    static let pause: Duration = .seconds(10)
    /// When a count has not ended after so long, another begins: the program that was at it is gone.
    static let lease: Duration = .seconds(300)
    /// Counting may take this share of the time of one core, no matter how often documents change.
    static let workShare = 0.05
    /// Of larger organizations, about so many documents are counted and the rest inferred.
    static let counted = 20_000

    init(_ tx: Transaction) { self.tx = tx }

    /// Whether no other transaction learns words of the organization; if so, none does until this one ends. Nobody ever waits for it.
    static func isAlone(_ tenant: TenantID) -> SQL {
        "pg_try_advisory_xact_lock(hashtextextended('vocabulary ' || \(tenant.description), 0))"
    }

    /// Learns the words of these documents, or leaves that to the worker.
    func take(_ ids: [DocumentID], alone: Bool) throws {
        guard !alone else { return try learn(ids) }
        try tx.execute(
            "INSERT INTO unread (tenant_id, id) SELECT \(tx.caller.tenant), id FROM unnest(\(ids)) AS id ORDER BY id ON CONFLICT DO NOTHING"
        )
    }

    /// Organizations with documents that were left to the worker. Runs as the platform.
    static func tenantsToRead(limit: Int) -> Query<TenantID> {
        Query("SELECT DISTINCT tenant_id FROM unread LIMIT \(limit)", column: "tenant_id")
    }

    /// Learns the words of some of them; returns how many documents. None while somebody else learns.
    func learnLeft(limit: Int) throws -> Int {
        guard try tx.first(Query<Bool>("SELECT \(fragment: Self.isAlone(tx.caller.tenant)) AS alone", column: "alone")) ?? false else {
            return 0
        }
        let ids: [DocumentID] = try tx.query(
            Query(
                "DELETE FROM unread WHERE id IN (SELECT id FROM unread ORDER BY id LIMIT \(limit)) RETURNING id",
                column: "id"))
        if !ids.isEmpty { try learn(ids) }
        return ids.count
    }

    /// Takes in the words of these documents.
    private func learn(_ ids: [DocumentID]) throws {
        try tx.execute(
            """
            WITH spoken AS (
                SELECT DISTINCT needs, language, word FROM documents d, LATERAL (
                    SELECT unnest(tsvector_to_array(to_tsvector(
                        'simple_words', left(concat_ws(' ', title, keywords, category, array_to_string(tags, ' '), excerpt, body),
                        \(Self.readBytes))))) AS word LIMIT \(Self.maximumWords)) AS words
                WHERE d.id = ANY (\(ids)) AND searchable AND only_for IS NULL
                    AND length(word) BETWEEN 2 AND 40 AND word !~ '[-./@:_]'
            ), revived AS (
                UPDATE terms t SET documents = 1 FROM spoken s
                WHERE t.term = s.word AND t.needs = s.needs AND t.language = s.language AND t.documents = 0
            )
            INSERT INTO terms (tenant_id, needs, language, term, stem, documents)
            SELECT \(tx.caller.tenant), needs, language, word, stem(language, word), 1 FROM spoken s
            WHERE NOT EXISTS (
                SELECT FROM terms t WHERE t.term = s.word AND t.needs = s.needs AND t.language = s.language)
            ORDER BY word, needs, language
            ON CONFLICT DO NOTHING
            """)
        let languages: [String] = try tx.query(
            Query("SELECT DISTINCT language FROM documents WHERE id = ANY (\(ids)) AND searchable", column: "language"))
        for language in languages.isEmpty ? [nil] : languages.map(Optional.some) { try markStale(language) }
    }

    /// Says that there is something to count. Where that is said already, nothing is written and nobody waits.
    func markStale(_ language: String?) throws {
        let languages = language.map { [$0] } ?? []
        try tx.execute(
            """
            INSERT INTO statistics AS known (tenant_id, languages, stale, counted_at, count_after)
            SELECT \(tx.caller.tenant), \(languages)::text[], true, \(tx.now), \(tx.now.addingTimeInterval(Self.pause / .seconds(1)))
            WHERE NOT EXISTS (SELECT FROM statistics WHERE stale AND languages @> \(languages)::text[])
            ON CONFLICT (tenant_id) DO UPDATE SET
                stale = true, languages = ARRAY(SELECT DISTINCT unnest(known.languages || excluded.languages) ORDER BY 1)
            """)
    }

    // MARK: - Counting

    /// Organizations whose documents have changed, the longest waiting first. Runs as the platform.
    static func tenantsToCount(at now: Date, limit: Int) -> Query<TenantID> {
        Query(
            """
            SELECT tenant_id FROM statistics WHERE (stale OR counting) AND count_after <= \(now) ORDER BY count_after LIMIT \(limit)
            """, column: "tenant_id")
    }

    /// Nothing is stale any more from here on, and a count that does not end is begun again; false when another replica is at it.
    func begin(at now: Date) throws -> Bool {
        try tx.first(
            Query<Bool>(
                """
                UPDATE statistics
                SET stale = false, counting = true, count_after = \(now.addingTimeInterval(Self.lease / .seconds(1)))
                WHERE tenant_id = (
                    SELECT tenant_id FROM statistics
                    WHERE (stale OR counting) AND count_after <= \(now) FOR UPDATE SKIP LOCKED)
                RETURNING true AS begun
                """, column: "begun")) ?? false
    }

    /// Counts documents and, by permission, the documents of each stem; forgets words that nobody uses any more: at once counted as none,
    /// and removed by the next count.
    func count(_ needs: [String]) throws {
        let (total, length) =
            try tx.first(
                Query<(Int, Double)>(
                    "SELECT count(*) AS documents, coalesce(avg(length), 0)::float8 AS length FROM documents WHERE searchable"
                ) { row in (try row("documents"), try row("length")) }) ?? (0, 0)
        // One of `step` documents, told by a byte of their random ids.
        let step = min(256, max(1, total / Self.counted))
        for permission in needs {
            try tx.execute(
                """
                WITH counted AS MATERIALIZED (
                    SELECT word, ndoc FROM ts_stat(format(
                        'SELECT words FROM documents WHERE searchable AND needs = %L AND get_byte(uuid_send(id), 15) %% %s = 0',
                        \(permission)::text, \(step)::bigint))
                ), known AS MATERIALIZED (
                    SELECT t.term, t.language, t.documents, coalesce(c.ndoc, 0) * \(step)::bigint AS found
                    FROM terms t LEFT JOIN counted c ON c.word = t.stem WHERE t.needs = \(permission)
                ), removed AS (
                    DELETE FROM terms t USING known k
                    WHERE t.needs = \(permission) AND t.term = k.term AND t.language = k.language
                        AND t.documents = 0 AND k.found = 0 AND \(step)::bigint = 1
                )
                UPDATE terms t SET documents = k.found FROM known k
                WHERE t.needs = \(permission) AND t.term = k.term AND t.language = k.language
                    AND k.documents <> k.found AND (k.found > 0 OR \(step)::bigint = 1)
                """)
        }
        // Last, as whoever indexes may have to say that this is stale again, and would wait.
        try tx.execute(
            """
            INSERT INTO statistics (tenant_id, documents, length, stale, counted_at, count_after)
            VALUES (\(tx.caller.tenant), \(total), \(length), false, \(tx.now), \(tx.now))
            ON CONFLICT (tenant_id) DO UPDATE SET documents = excluded.documents, length = excluded.length
            """)
    }

    /// When it may be counted again, by how long it took.
    func end(after took: Duration, at now: Date) throws {
        let wait = max(Self.pause / .seconds(1), (took / .seconds(1)) / Self.workShare)
        try tx.execute(
            """
            UPDATE statistics SET counting = false, counted_at = \(now), count_after = \(now.addingTimeInterval(wait))
            WHERE tenant_id = \(tx.caller.tenant)
            """)
    }
}
