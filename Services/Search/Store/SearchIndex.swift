import Contracts
import Foundation
import Postgres

/// The reading side of the index in PostgreSQL: questions in, results out. `DocumentStore` is the writing side.
struct SearchIndex: SearchEngine {
    let database: Database

    /// Fewer results than this, and documents with some of the words are given, too.
    static let enough = 10

    /// Results by all words of the query; when these are few, by some of them; when there are none, by words that resemble them.
    /// A later page goes on with what the first came to.
    func find(
        _ text: SearchText, _ filter: SearchFilter, after place: SearchPlace?, limit: Int, as caller: Caller, at now: Date
    ) async throws -> (SearchOutcome, Ranking) {
        let inquiry = try await inquire(text, filter, as: caller, place: place, at: now)
        guard !inquiry.queries.sight.permissions.isEmpty else { return (.nothing, inquiry.ranking) }
        if let place, place.mode == .title {
            let page = try await run(inquiry, .title, [], spelled: false, after: place, limit)
            return (page.0, page.1)
        }
        let known = try await meanings(inquiry)
        if let place {
            let meant = place.isSpelled ? try await meanings(inquiry, correcting: known) : known
            let page = try await run(inquiry, place.mode, meant, spelled: place.isSpelled, weights: place.weights, after: place, limit)
            return (page.0, page.1)
        }
        var answer = try await run(inquiry, .all, known, spelled: false, limit)
        if answer.0.total < Self.enough, answer.2 {
            answer = try await run(inquiry, .some, known, spelled: false, limit)
        }
        if answer.0.total == 0, answer.1.mode != .title {
            let again = try await run(inquiry, .some, try await meanings(inquiry, correcting: known), spelled: true, limit)
            if again.0.total > 0 { answer = again }
        }
        return (answer.0, answer.1)
    }

    /// Titles that have every word, the last one perhaps unfinished.
    func complete(_ text: SearchText, as caller: Caller, at now: Date) async throws -> [Suggestion] {
        let inquiry = try await inquire(text, SearchFilter(), as: caller, place: nil, at: now)
        guard !inquiry.queries.sight.permissions.isEmpty else { return [] }
        let meanings = try await meanings(inquiry)
        guard
            let plan = SearchPlan(
                inquiry.question, meanings, mode: .all, corpus: inquiry.corpus, keepsStopWords: true)
        else { return try await database.query(inquiry.queries.titleCompletions(of: text), as: caller, slow: true) }
        return try await database.query(inquiry.queries.completions(plan, typed: text, inquiry.ranking), as: caller, slow: true)
    }

    // MARK: - Steps

    /// One search on its way.
    private struct Inquiry {
        let text: SearchText
        let question: Question
        let queries: SearchQueries
        let settings: SearchSettings
        let corpus: Corpus
        let ranking: Ranking
        let caller: Caller
    }

    private func inquire(
        _ text: SearchText, _ filter: SearchFilter, as caller: Caller, place: SearchPlace?, at now: Date
    ) async throws -> Inquiry {
        let (settings, corpus) = try await database.first(SearchQueries.context, as: caller) ?? (SearchSettings(), Corpus())
        // Whole seconds, as the cursor has them: the same query ranks alike on every page.
        let moment = place?.moment ?? Date(timeIntervalSince1970: now.timeIntervalSince1970.rounded(.down))
        return Inquiry(
            text: text, question: Question(text.rawValue).expanded(by: settings.synonymGroups),
            queries: SearchQueries(filter: filter, sight: Sight(caller)), settings: settings, corpus: corpus,
            ranking: Ranking(
                mode: .all, isSpelled: false, moment: moment, averageLength: place?.averageLength ?? corpus.averageLength.rounded()),
            caller: caller)
    }

    /// Typing errors are looked for in words that nobody uses; with what was found so far, in words that are known as well.
    private func meanings(_ inquiry: Inquiry, correcting known: [Meaning]? = nil) async throws -> [Meaning] {
        guard !inquiry.question.words.isEmpty else { return [] }
        return try await database.query(inquiry.queries.meanings(of: inquiry.question, correcting: known), as: inquiry.caller, slow: true)
    }

    /// Also says whether fewer words could find more. Statements that may take long do not hold up those of others.
    private func run(
        _ inquiry: Inquiry, _ mode: SearchMode, _ meanings: [Meaning], spelled: Bool, weights: [Double]? = nil,
        after place: SearchPlace? = nil, _ limit: Int
    ) async throws -> (SearchOutcome, Ranking, Bool) {
        var ranking = inquiry.ranking
        ranking.isSpelled = spelled
        let plan =
            mode == .title
            ? nil
            : SearchPlan(
                inquiry.question, meanings, mode: mode, corpus: inquiry.corpus, stopWords: inquiry.settings.foldedStopWords,
                weights: weights)
        ranking.mode = plan?.mode ?? .title
        ranking.weights = plan?.scored.map(\.weight) ?? []
        let query =
            plan.map { inquiry.queries.outcome($0, typed: inquiry.text, ranking, after: place, limit: limit) }
            ?? inquiry.queries.titles(with: inquiry.text, after: place, limit: limit)
        guard let outcome = try await database.first(query, as: inquiry.caller, slow: true) else {
            throw DependencyFailure("database", reason: "the answer of a search is missing")
        }
        return (outcome, ranking, plan?.canLoosen ?? false)
    }
}

extension SearchOutcome {
    static let nothing = SearchOutcome(
        hits: [], facets: Facets(type: [:], tag: [:], category: [:], author: [:]), total: 0, totalIsExact: true)
}
