import Contracts
import Foundation
import Postgres

/// The statements that answer searches. The whole of an answer is one row: one round trip, one snapshot.
struct SearchQueries: Sendable {
    let filter: SearchFilter
    let sight: Sight

    /// Of long texts, a snippet is looked for in the beginning.
    static let snippetSource: Int32 = 20_000

    // MARK: - What a query means

    /// What an organization says of its searches, and what is known of its documents.
    static let context = Query<(SearchSettings, Corpus)>(
        """
        SELECT coalesce(s.version, 0) AS version, s.language, coalesce(s.synonyms, '[]') AS synonyms,
            coalesce(s.stop_words, '{}') AS stop_words, coalesce(c.documents, 0) AS documents, coalesce(c.length, 0) AS length
        FROM (SELECT) AS one LEFT JOIN settings s ON true LEFT JOIN statistics c ON true
        """
    ) { row in
        (try SearchSettings(row: row), Corpus(documents: try row("documents"), averageLength: try row("length")))
    }

    /// `known`: what the words mean as they stand. Typing errors are then looked for in words that are known, too: in the rarest.
    func meanings(of question: Question, correcting known: [Meaning]?) -> Query<Meaning> {
        Query(
            """
            SELECT word::bigint AS word, kind, stem, documents, reading::bigint AS reading, piece::bigint AS piece
            FROM understand(
                \(question.words)::text[], \(Int32(question.openWord)), \(question.correctable(knowing: known).map(Int32.init))::integer[],
                \(known != nil), \(sight.permissions)::text[])
            """
        ) { row in
            Meaning(
                word: try row("word"), kind: try row("kind"), stem: try row("stem"), documents: try row("documents"),
                reading: try row("reading"), piece: try row("piece"))
        }
    }

    // MARK: - Finding

    func outcome(_ plan: SearchPlan, typed: SearchText, _ ranking: Ranking, after place: SearchPlace?, limit: Int) -> Query<SearchOutcome> {
        let stems = plan.scored.flatMap { $0.exact + $0.loose } + plan.phrases.flatMap(\.stems)
        return outcome(
            ranked(plan, typed, ranking, also: [], most: SearchOutcome.maximumCounted + 1), marking: stems,
            plan.phrases.flatMap(\.compounds), after: place, limit: limit)
    }

    /// Titles that have the text as it stands.
    func titles(with typed: SearchText, after place: SearchPlace?, limit: Int) -> Query<SearchOutcome> {
        outcome(
            """
            SELECT id, CASE WHEN starts_with(title_key, title_key(\(typed))) THEN 0.9 ELSE 0.5 END::float8 AS score
            FROM documents
            WHERE searchable AND strpos(title_key, title_key(\(typed))) > 0 AND needs = ANY (\(sight.permissions)::text[])
                AND (only_for IS NULL OR only_for = \(sight.person)) AND \(fragment: filterByColumn)
            LIMIT \(SearchOutcome.maximumCounted + 1)
            """, marking: [], after: place, limit: limit)
    }

    /// Completions: documents whose titles have every word.
    func completions(_ plan: SearchPlan, typed: SearchText, _ ranking: Ranking) -> Query<Suggestion> {
        let inTitle =
            plan.groups.compactMap { TSQuery.anyOf($0, in: "A") }
            + plan.phrases.filter { !$0.compounds.isEmpty && $0.phrases.isEmpty }
            .compactMap { TSQuery.anyOf($0.stems, $0.compounds, in: "A") }
        return Query(
            """
            SELECT title, type, id, slug
            FROM (\(fragment: ranked(plan, typed, ranking, also: inTitle, most: Suggestion.maximumCount))) AS found
            JOIN documents USING (id) ORDER BY score DESC, id DESC
            """, Suggestion.init(row:))
    }

    func titleCompletions(of typed: SearchText) -> Query<Suggestion> {
        Query(
            """
            SELECT title, type, id, slug FROM documents
            WHERE searchable AND strpos(title_key, title_key(\(typed))) > 0 AND needs = ANY (\(sight.permissions)::text[])
                AND (only_for IS NULL OR only_for = \(sight.person))
            ORDER BY starts_with(title_key, title_key(\(typed))) DESC, title, id LIMIT \(Suggestion.maximumCount)
            """, Suggestion.init(row:))
    }

    // MARK: - Parts

    /// Ids and scores, the best first.
    private func ranked(_ plan: SearchPlan, _ typed: SearchText, _ ranking: Ranking, also: [String], most: Int) -> SQL {
        let groups = plan.groups.map { Array(Set($0)).sorted() } + filter.keys.map { [$0] } + [sight.keys]
        let phrases = (plan.phrases.map(Self.either) + also.map { "\($0)::tsquery" }).joined(separator: ", ")
        let neighbours = plan.neighbours.compactMap { TSQuery.beside($0.first, $0.second) }
        return """
            SELECT id, score FROM ranked(
                \(JSONB(groups)), array_remove(ARRAY[\(fragment: phrases)]::tsquery[], NULL), \(fragment: Self.either(plan.excluded)), \(sight.permissions)::text[],
                \(sight.person), \(filter.from), \(filter.to),
                \(plan.scored.map { TSQuery.anyOf($0.exact) })::text[]::tsquery[],
                \(plan.scored.map { TSQuery.anyOf($0.loose) })::text[]::tsquery[],
                \(plan.scored.map(\.weight)), \(neighbours.isEmpty ? nil : neighbours.joined(separator: " | "))::tsquery,
                title_key(\(typed)), \(max(1, ranking.averageLength)), \(ranking.moment), \(plan.mode == .some), \(Int32(most)))
            """
    }

    private static func either(_ checked: SearchPlan.Checked) -> SQL {
        "phrase_query(\(checked.phrases)::text[], \(TSQuery.anyOf(checked.stems, checked.compounds))::tsquery)"
    }

    private var filterByColumn: SQL {
        var conditions: [SQL] = ["true"]
        if let type = filter.type { conditions.append("type = \(type)") }
        if let tag = filter.tag { conditions.append("\(tag) = ANY (tags)") }
        if let category = filter.category { conditions.append("category = \(category)") }
        if let author = filter.author { conditions.append("author_id = \(author)") }
        if let from = filter.from { conditions.append("published_at >= \(from)") }
        if let to = filter.to { conditions.append("published_at < \(to)") }
        return conditions.joined(separator: " AND ")
    }

    /// `found` gives ids and scores: at most one more than are counted. Everything else is read under row-level security.
    private func outcome(
        _ found: SQL, marking stems: [String], _ compounds: [Compound] = [], after place: SearchPlace?, limit: Int
    ) -> Query<SearchOutcome> {
        let later: SQL = place.map { "WHERE (score, id) < (\($0.score), \($0.id))" } ?? .empty
        let marks = TSQuery.anyOf(stems, compounds)
        return Query(
            """
            WITH found AS MATERIALIZED (\(fragment: found)),
            matches AS MATERIALIZED (
                SELECT d.id, score, type, tags, category, author_id FROM found JOIN documents d USING (id) WHERE searchable),
            page AS (SELECT id, score FROM matches \(fragment: later) ORDER BY score DESC, id DESC LIMIT \(limit))
            SELECT
                (SELECT count(*) FROM matches) AS total,
                (SELECT coalesce(jsonb_object_agg(type, number), '{}') FROM
                    (SELECT type, count(*) AS number FROM matches GROUP BY type) AS counted) AS types,
                (SELECT coalesce(jsonb_object_agg(tag, number), '{}') FROM
                    (SELECT tag, count(*) AS number FROM matches, unnest(tags) AS tag
                     GROUP BY tag ORDER BY number DESC, tag LIMIT \(Facets.maximumValues)) AS counted) AS tags,
                (SELECT coalesce(jsonb_object_agg(category, number), '{}') FROM
                    (SELECT category, count(*) AS number FROM matches WHERE category IS NOT NULL
                     GROUP BY category ORDER BY number DESC, category LIMIT \(Facets.maximumValues)) AS counted) AS categories,
                (SELECT coalesce(jsonb_object_agg(author_id, number), '{}') FROM
                    (SELECT author_id, count(*) AS number FROM matches WHERE author_id IS NOT NULL
                     GROUP BY author_id ORDER BY number DESC, author_id LIMIT \(Facets.maximumValues)) AS counted) AS authors,
                (SELECT coalesce(jsonb_agg(jsonb_build_object(
                        'type', type, 'id', id, 'title', title, 'slug', slug, 'score', score, 'category', category, 'tags', tags,
                        'authorId', author_id, 'publishedAt', published_at,
                        'highlightedTitle', marked(language, title, \(marks)::tsquery, true),
                        'snippet', marked(
                            language, passage(excerpt, body, \(stems)::text[], \(Self.snippetSource)), \(marks)::tsquery, false))
                        ORDER BY score DESC, id DESC), '[]')
                    FROM page JOIN documents USING (id)) AS hits
            """
        ) { row in
            let types: JSONB<[String: Int]> = try row("types")
            let tags: JSONB<[String: Int]> = try row("tags")
            let categories: JSONB<[String: Int]> = try row("categories")
            let authors: JSONB<[String: Int]> = try row("authors")
            let hits: JSONB<[SearchHit]> = try row("hits")
            let total: Int = try row("total")
            return SearchOutcome(
                hits: hits.value.map(\.escaped),
                facets: Facets(type: types.value, tag: tags.value, category: categories.value, author: authors.value),
                total: min(total, SearchOutcome.maximumCounted), totalIsExact: total <= SearchOutcome.maximumCounted)
        }
    }
}

/// Texts of `tsquery`, from stems that the index knows: each stands in quotation marks, so no sign in one means anything.
enum TSQuery {
    /// Nil when there is none. `weights` narrows it to fields.
    static func anyOf(_ stems: [String], _ compounds: [Compound] = [], in weights: String? = nil) -> String? {
        let fields = weights.map { ":" + $0 } ?? ""
        let all = stems.map { quoted($0) + fields } + compounds.map { beside($0, weights ?? "") }
        return all.isEmpty ? nil : all.joined(separator: " | ")
    }

    /// All pieces, each directly after the one before it. Of an unfinished one whatever goes on.
    private static func beside(_ compound: Compound, _ weights: String) -> String {
        let pieces = compound.pieces.enumerated().map { index, piece in
            let isOpen = compound.isOpen && index == compound.pieces.count - 1
            let marks = (isOpen ? "*" : "") + weights
            let all =
                piece.exact.map { quoted($0) + (marks.isEmpty ? "" : ":" + marks) }
                + piece.loose.map { quoted($0) + (weights.isEmpty ? "" : ":" + weights) }
            return "(" + all.joined(separator: " | ") + ")"
        }
        return "(" + pieces.joined(separator: " <-> ") + ")"
    }

    /// One of the second directly after one of the first.
    static func beside(_ first: [String], _ second: [String]) -> String? {
        guard let first = anyOf(first), let second = anyOf(second) else { return nil }
        return "((\(first)) <-> (\(second)))"
    }

    private static func quoted(_ stem: String) -> String {
        "'" + stem.replacing("\\", with: "\\\\").replacing("'", with: "''") + "'"
    }
}

extension SearchHit {
    /// What was marked, as HTML.
    fileprivate var escaped: SearchHit {
        var hit = self
        hit.snippet = Snippet.html(marked: snippet)
        hit.highlightedTitle = Snippet.html(marked: highlightedTitle)
        return hit
    }
}

extension Suggestion {
    fileprivate init(row: Row) throws {
        self.init(text: try row("title"), type: try row("type"), id: try row("id"), slug: try row("slug"))
    }
}

extension SearchText: SQLBindable {}
extension Meaning.Kind: SQLDecodable {}
