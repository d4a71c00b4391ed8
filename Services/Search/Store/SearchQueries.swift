import Contracts
import Foundation
import Postgres

/// The statements that answer searches: one row with everything, so a search is one round trip on one snapshot.
struct SearchQueries: Sendable {
    let text: SearchText
    let type: DocumentType?
    let tag: Label?

    /// Least resemblance of a title to what is looked for (pg_trgm's word similarity): 0.28 takes two letters that changed
    /// places in a word of six.
    static let leastResemblance = 0.28
    /// Of long texts, the snippet is looked for in the beginning.
    static let snippetSource = 20_000

    func outcome(_ mode: SearchMode, after place: SearchPlace?, limit: Int) -> Query<SearchOutcome> {
        let later: SQL = place.map { "WHERE (score, id) < (\($0.score), \($0.id))" } ?? .empty
        return Query(
            """
            WITH matches AS MATERIALIZED (\(fragment: matches(mode))),
            page AS (SELECT id, score FROM matches \(fragment: later) ORDER BY score DESC, id DESC LIMIT \(limit))
            SELECT
                (SELECT count(*) FROM matches) AS total,
                (SELECT coalesce(jsonb_object_agg(type, number), '{}') FROM
                    (SELECT type, count(*) AS number FROM matches GROUP BY type) AS types) AS types,
                (SELECT coalesce(jsonb_object_agg(tag, number), '{}') FROM
                    (SELECT tag, count(*) AS number FROM matches, unnest(tags) AS tag
                     GROUP BY tag ORDER BY number DESC, tag LIMIT \(Facets.maximumTags)) AS tags) AS tags,
                (SELECT coalesce(jsonb_agg(jsonb_build_object(
                        'type', type, 'id', id, 'title', title, 'slug', slug, 'snippet', \(fragment: snippet(mode)), 'score', score,
                        'category', category, 'tags', tags, 'publishedAt', published_at) ORDER BY score DESC, id DESC), '[]')
                    FROM page JOIN documents USING (id)) AS hits
            """
        ) { row in
            let types: JSONB<[String: Int]> = try row("types")
            let tags: JSONB<[String: Int]> = try row("tags")
            let hits: JSONB<[SearchHit]> = try row("hits")
            return SearchOutcome(
                hits: hits.value.map { $0.with(snippet: Snippet.html(marked: $0.snippet)) },
                facets: Facets(type: types.value, tag: tags.value), total: try row("total"))
        }
    }

    private var query: SQL { "websearch_to_tsquery('documents', \(text))" }

    private func matches(_ mode: SearchMode) -> SQL {
        var conditions: [SQL] = ["searchable"]
        let score: SQL
        switch mode {
        case .words:
            // Weighted by where the words stand, lessened for long texts, brought between 0 and 1.
            score = "ts_rank_cd('{0.1, 0.2, 0.4, 1.0}', words, \(fragment: query), 1 | 32)"
            conditions.append("words @@ \(fragment: query)")
        case .resemblance:
            score = "CASE WHEN strpos(title_key, title_key(\(text))) > 0 THEN 1 ELSE word_similarity(title_key(\(text)), title_key) END"
            conditions.append(
                """
                (strpos(title_key, title_key(\(text))) > 0
                 OR word_similarity(title_key(\(text)), title_key) >= \(Self.leastResemblance))
                """)
        }
        if let type { conditions.append("type = \(type)") }
        if let tag { conditions.append("\(tag) = ANY (tags)") }
        return """
            SELECT id, type, tags, (\(fragment: score))::float8 AS score FROM documents
            WHERE \(fragment: conditions.joined(separator: " AND "))
            """
    }

    /// The words that were found stand between the control characters of `Snippet`.
    private func snippet(_ mode: SearchMode) -> SQL {
        let source: SQL = "left(concat_ws(' … ', nullif(excerpt, ''), body), \(Int32(Self.snippetSource)))"
        switch mode {
        case .words:
            return """
                ts_headline('documents', \(fragment: source), \(fragment: query),
                    'MaxFragments=2, MinWords=8, MaxWords=25, FragmentDelimiter=" … ", StartSel=' || chr(2) || ', StopSel=' || chr(3))
                """
        case .resemblance: return "left(\(fragment: source), 200)"
        }
    }
}

/// Completions of what somebody is typing.
enum SuggestQueries {
    /// Titles that begin with the text first, then those with a word that does; when there is none, those that resemble it.
    static func completions(of text: SearchText) -> Query<Suggestion> {
        Query(
            """
            WITH titles AS (
                SELECT title, type, id, slug, word_similarity(typed, title_key) AS resemblance,
                    CASE WHEN starts_with(title_key, typed) THEN 2 WHEN strpos(' ' || title_key, ' ' || typed) > 0 THEN 1 ELSE 0 END AS fit
                FROM documents, title_key(\(text)) AS typed WHERE searchable
            )
            SELECT title, type, id, slug FROM titles
            WHERE fit > 0
                OR resemblance >= \(SearchQueries.leastResemblance) AND NOT EXISTS (SELECT FROM titles WHERE fit > 0)
            ORDER BY fit DESC, resemblance DESC, title, id LIMIT \(Suggestion.maximumCount)
            """
        ) { row in
            Suggestion(text: try row("title"), type: try row("type"), id: try row("id"), slug: try row("slug"))
        }
    }
}

extension SearchHit {
    fileprivate func with(snippet: String) -> SearchHit {
        SearchHit(
            type: type, id: id, title: title, slug: slug, snippet: snippet, score: score, category: category, tags: tags,
            publishedAt: publishedAt)
    }
}

extension SearchText: SQLBindable {}
