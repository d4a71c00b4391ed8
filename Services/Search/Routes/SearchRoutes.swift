import Contracts
import Foundation
import Postgres
import ServiceKit

/// Searching and completing.
struct SearchRoutes: Sendable {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("search") {
            Endpoint.get("", "Search what is published", may: "search:read", search)
            Endpoint.get("suggest", "Complete what is being typed", may: "search:read", suggest)
        }
    }

    /// By words; when no document has them, by resemblance of the title.
    func search(_ request: CallerRequest, _ query: SearchQuery) async throws -> SearchAnswer {
        let start = ContinuousClock.now
        let limit = query.limit ?? .standard
        let place = try query.cursor.map(Self.place(of:))
        let queries = SearchQueries(text: query.q, type: query.type, tag: query.tag)
        var mode = place?.mode ?? .words
        var outcome = try await run(queries, mode, after: place, limit, request)
        if place == nil, outcome.total == 0 {
            mode = .resemblance
            outcome = try await run(queries, mode, after: nil, limit, request)
        }
        request.note("searchMode", mode.rawValue)
        return SearchAnswer(outcome, mode: mode, limit: limit, took: ContinuousClock.now - start)
    }

    func suggest(_ request: CallerRequest, _ query: SuggestQuery) async throws -> Suggestions {
        Suggestions(data: try await database.query(SuggestQueries.completions(of: query.q), as: request.caller, slow: true))
    }

    /// Not among the short statements of others, which it might hold up.
    private func run(
        _ queries: SearchQueries, _ mode: SearchMode, after place: SearchPlace?, _ limit: PageLimit, _ request: CallerRequest
    ) async throws -> SearchOutcome {
        let query = queries.outcome(mode, after: place, limit: limit.value + 1)
        guard let outcome = try await database.first(query, as: request.caller, slow: true) else {
            throw DependencyFailure("database", reason: "the answer of a search is missing")
        }
        return outcome
    }

    private static func place(of cursor: Cursor) throws -> SearchPlace {
        guard let place = SearchPlace(keys: cursor.keys) else {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
        }
        return place
    }
}

struct SearchQuery: Decodable, Sendable {
    let q: SearchText
    let type: DocumentType?
    let tag: Label?
    let limit: PageLimit?
    let cursor: Cursor?
}

struct SuggestQuery: Decodable, Sendable {
    let q: SearchText
}
