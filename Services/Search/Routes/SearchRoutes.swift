import Contracts
import Foundation
import ServiceKit

/// Searching and completing.
struct SearchRoutes: Sendable {
    let index: SearchIndex

    var endpoints: Endpoints {
        Endpoints("search") {
            Endpoint.get("", "Search what you may see", may: "search:read", search)
            Endpoint.get("suggest", "Complete what is being typed", may: "search:read", suggest)
        }
    }

    func search(_ request: CallerRequest, _ query: SearchQuery) async throws -> SearchAnswer {
        let start = ContinuousClock.now
        let limit = query.limit ?? .standard
        let place = try query.cursor.map(Self.place(of:))
        let (outcome, ranking) = try await index.find(
            query.q, query.filter, after: place, limit: limit.value + 1, as: request.caller, at: request.now)
        request.note("searchMode", ranking.mode.rawValue)
        return SearchAnswer(outcome, ranking, limit: limit, took: ContinuousClock.now - start)
    }

    func suggest(_ request: CallerRequest, _ query: SuggestQuery) async throws -> Suggestions {
        Suggestions(data: try await index.complete(query.q, as: request.caller, at: request.now))
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
    let category: Label?
    let author: UserID?
    let from: Date?
    let to: Date?
    let limit: PageLimit?
    let cursor: Cursor?

    var filter: SearchFilter { SearchFilter(type: type, tag: tag, category: category, author: author, from: from, to: to) }
}

struct SuggestQuery: Decodable, Sendable {
    let q: SearchText
}
