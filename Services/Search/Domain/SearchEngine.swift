import Contracts
import Foundation

/// What answers searches. PostgreSQL does (`SearchIndex`); an OpenSearch-class engine would stand in its place and keep what is said here
/// (Shared/Decisions/0020-search-engine.md, which also says what becomes of the writing side).
protocol SearchEngine: Sendable {
    /// The best results of which the caller may see each, with facets and the total of all of them; nobody learns, from any part of the
    /// answer, of a document that they may not see.
    ///
    /// - Parameters:
    ///   - place: The last result of the page before; it goes on with the ranking of the first page.
    ///   - limit: Results at most.
    ///   - caller: Whose organization is searched, and what they may read.
    ///   - now: What recency counts from.
    /// - Throws: A `DependencyFailure` when the engine does not answer in time.
    func find(
        _ text: SearchText, _ filter: SearchFilter, after place: SearchPlace?, limit: Int, as caller: Caller, at now: Date
    ) async throws -> (SearchOutcome, Ranking)

    /// Titles that have every word, the last one perhaps unfinished; `Suggestion.maximumCount` at most.
    func complete(_ text: SearchText, as caller: Caller, at now: Date) async throws -> [Suggestion]
}
