import Contracts
import Foundation
import ServiceKit

/// A page of results, with what is known of all of them.
struct SearchAnswer: PagedView {
    let data: [SearchHit]
    let nextCursor: Cursor?
    let facets: Facets
    /// All results, not only those of this page.
    let total: Int
    /// False: there are more than `total`, which is where counting ends.
    let totalIsExact: Bool
    let tookMs: Int

    init(_ outcome: SearchOutcome, _ ranking: Ranking, of query: SearchQuery, took: Duration) {
        let page = Page(outcome.hits, limit: query.limit ?? .standard) { Cursor([query.mark] + SearchPlace(ranking, after: $0).keys) }
        data = page.data
        nextCursor = page.nextCursor
        facets = outcome.facets
        total = outcome.total
        totalIsExact = outcome.totalIsExact
        tookMs = Int(took / .milliseconds(1))
    }

    /// Written out, since the last page says `"nextCursor": null`.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(data, forKey: .data)
        try container.encode(nextCursor, forKey: .nextCursor)
        try container.encode(facets, forKey: .facets)
        try container.encode(total, forKey: .total)
        try container.encode(totalIsExact, forKey: .totalIsExact)
        try container.encode(tookMs, forKey: .tookMs)
    }
}

struct Suggestions: View {
    let data: [Suggestion]
}

/// How far a reindexing run is.
struct ReindexView: View {
    enum Status: String, CaseIterable, Codable, Sendable { case running, finished }

    let id: ReindexRunID
    let source: ReindexRun.Source
    let status: Status
    /// Documents there were at the start.
    let total: Int
    /// Documents derived since then, or whose events have come again.
    let done: Int
    /// Of a rebuild from the events: how many documents its end would hide now, or has hidden. Null for other runs.
    let hides: Int?
    let startedAt: Date
    let finishedAt: Date?

    init(_ run: ReindexRun, done: Int? = nil, hides: Int? = nil) {
        id = run.id
        source = run.source
        status = run.finishedAt == nil ? .running : .finished
        total = run.total
        self.done = done ?? run.done
        self.hides = hides ?? (run.source == .events && run.finishedAt != nil ? run.hidden : nil)
        startedAt = run.startedAt
        finishedAt = run.finishedAt
    }
}

/// What an organization says about its searches.
struct SettingsView: View {
    /// Of documents whose language cannot be told; null: English.
    let language: Language?
    let synonyms: [[Label]]
    let stopWords: [Label]
    let version: Int

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ settings: SearchSettings) {
        language = settings.language
        synonyms = settings.synonyms
        stopWords = settings.stopWords
        version = settings.version
    }
}
