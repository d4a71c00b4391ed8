import DevStack
import Foundation

/// Articles in the search index, written by the server itself: four words of title and sixty of text, of twenty thousand made-up words of
/// which some are in every text and most in few. Words, vocabulary and statistics are derived by the index's own functions.
struct GeneratedDocuments: Sendable {
    let psql: Psql

    static let vocabulary = 20_000
    private static let syllables = ["ba", "ke", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo", "mu", "ha"]
    /// Rows written in one statement.
    private static let chunk = 25_000
    /// From so many rows on, the index is made after them, which is faster.
    private static let bulk = 50_000

    init(database: String) { psql = Psql(database: database) }

    /// Writes the articles of these numbers, and returns the seconds that it took. `tenant` is an expression of SQL, which may depend on the
    /// number `n`.
    @discardableResult
    func write(_ numbers: Range<Int>, tenant: String) async throws -> Double {
        let start = ContinuousClock.now
        let index = try await psql.run("SELECT pg_get_indexdef('search.documents_by_key'::regclass)")
        let isBulk = numbers.count >= Self.bulk
        if isBulk { try await psql.run("DROP INDEX search.documents_by_key") }
        let chunks = stride(from: numbers.lowerBound, to: numbers.upperBound, by: Self.chunk).map { first in
            first..<min(first + Self.chunk, numbers.upperBound)
        }
        _ = try await Lanes.map(chunks.count, in: 2) { number in
            try await psql.run(Self.statement(chunks[number], tenant))
            if chunks.count > 4 { FigureBook.say("\(chunks[number].upperBound) documents") }
        }
        if isBulk { try await psql.run("SET maintenance_work_mem = '1GB'; \(index)") }
        try await psql.run(Self.vocabulary(numbers, tenant))
        try await psql.run("VACUUM ANALYZE search.documents, search.terms, search.statistics")
        return (ContinuousClock.now - start) / .seconds(1)
    }

    /// The word of this rank; the least are the most frequent.
    static func word(_ rank: Int) -> String {
        let letters = rank < 256 ? 2 : rank < 4_096 ? 3 : 4
        return (0..<letters).map { syllables[(rank >> (4 * $0)) & 15] }.joined()
    }

    private static func statement(_ numbers: Range<Int>, _ tenant: String) -> String {
        """
        SET synchronous_commit = off;
        CREATE TEMP TABLE vocabulary AS
        SELECT rank, string_agg(substr('\(syllables.joined())', 1 + 2 * ((rank >> 4 * place) & 15), 2), '' ORDER BY place) AS word
        FROM generate_series(0, \(vocabulary)) AS rank, generate_series(0, 3) AS place
        WHERE place < CASE WHEN rank < 256 THEN 2 WHEN rank < 4096 THEN 3 ELSE 4 END GROUP BY rank;
        CREATE TEMP TABLE made AS
        SELECT n, \(tenant) AS tenant_id, string_agg(word, ' ') FILTER (WHERE k <= 4) AS title, string_agg(word, ' ') FILTER (WHERE k > 4) AS body,
            'category' || n % 7 AS category, ARRAY['tag' || n % 20, 'tag' || n % 21] AS tags
        FROM (
            SELECT n, k, (power((hashint8extended(n * 100 + k, 1) & 1048575) / 1048576.0::float8, 4) * \(vocabulary))::int AS rank
            FROM generate_series(\(numbers.lowerBound)::bigint, \(numbers.upperBound - 1)::bigint) AS n, generate_series(1, 64) AS k
        ) AS chosen JOIN vocabulary USING (rank) GROUP BY n;
        INSERT INTO search.documents (tenant_id, id, type, version, searchable, language, needs, title, slug, category, tags, body,
            published_at, title_key, words, length, indexed_at)
        SELECT tenant_id, gen_random_uuid(), 'article', 1, true, 'english', 'content:read', title, 'bench-' || n, category, tags, body,
            now() - n % 365 * interval '1 day', search.title_key(title), words, search.words_in(words), now()
        FROM (SELECT *, search.document_words('english', title, NULL, NULL, category, tags, body) AS words FROM made OFFSET 0) AS derived;
        """
    }

    /// What the service's worker would count: a tenth of the documents of a large organization are enough for it.
    private static func vocabulary(_ numbers: Range<Int>, _ tenant: String) -> String {
        """
        SET synchronous_commit = off;
        CREATE TEMP TABLE changed AS
        SELECT DISTINCT \(tenant) AS tenant_id FROM generate_series(\(numbers.lowerBound)::bigint, \(numbers.upperBound - 1)::bigint) AS n;
        INSERT INTO search.statistics (tenant_id, documents, length, languages, stale, counted_at, count_after)
        SELECT tenant_id, count(*), avg(length), '{english}', false, now(), now()
        FROM search.documents JOIN changed USING (tenant_id) GROUP BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET documents = excluded.documents, length = excluded.length;
        INSERT INTO search.terms (tenant_id, needs, language, term, stem, documents)
        SELECT tenant_id, 'content:read', 'english', word, word, count(*) * max(step)
        FROM (
            SELECT d.tenant_id, unnest(tsvector_to_array(words)) AS word, greatest(1, s.documents / 20000) AS step
            FROM search.documents d JOIN changed USING (tenant_id) JOIN search.statistics s USING (tenant_id)
            WHERE s.documents < 40000 OR get_byte(uuid_send(d.id), 15) % greatest(1, s.documents / 20000) = 0
        ) AS spoken
        GROUP BY tenant_id, word
        ON CONFLICT (tenant_id, term, needs, language) DO UPDATE SET documents = excluded.documents;
        """
    }
}
