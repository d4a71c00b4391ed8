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
    let tookMs: Int

    init(_ outcome: SearchOutcome, mode: SearchMode, limit: PageLimit, took: Duration) {
        let page = Page(outcome.hits, limit: limit) { Cursor(SearchPlace(mode: mode, after: $0).keys) }
        data = page.data
        nextCursor = page.nextCursor
        facets = outcome.facets
        total = outcome.total
        tookMs = Int(took / .milliseconds(1))
    }

    /// Written out, since the last page says `"nextCursor": null`.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(data, forKey: .data)
        try container.encode(nextCursor, forKey: .nextCursor)
        try container.encode(facets, forKey: .facets)
        try container.encode(total, forKey: .total)
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
    let status: Status
    let total: Int
    let done: Int
    let startedAt: Date
    let finishedAt: Date?

    init(_ run: ReindexRun) {
        id = run.id
        status = run.finishedAt == nil ? .running : .finished
        total = run.total
        done = run.done
        startedAt = run.startedAt
        finishedAt = run.finishedAt
    }
}
