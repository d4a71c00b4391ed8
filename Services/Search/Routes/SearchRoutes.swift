import Contracts
import Crypto
import Foundation
import ServiceKit

/// Searching and completing.
struct SearchRoutes: Sendable {
    let engine: any SearchEngine

    var endpoints: Endpoints {
        Endpoints("search") {
            Endpoint.get("", "Search what you may see", may: "search:read", search)
            Endpoint.get("suggest", "Complete what is being typed", may: "search:read", suggest)
        }
    }

    func search(_ request: CallerRequest, _ query: SearchQuery) async throws -> SearchAnswer {
        let start = ContinuousClock.now
        let limit = query.limit ?? .standard
        let place = try query.cursor.map { try Self.place(of: $0, in: query) }
        let (outcome, ranking) = try await engine.find(
            query.q, query.filter, after: place, limit: limit.value + 1, as: request.caller, at: request.now)
        request.note("searchMode", ranking.mode.rawValue)
        return SearchAnswer(outcome, ranking, of: query, took: ContinuousClock.now - start)
    }

    func suggest(_ request: CallerRequest, _ query: SuggestQuery) async throws -> Suggestions {
        Suggestions(data: try await engine.complete(query.q, as: request.caller, at: request.now))
    }

    /// The scores of one search say nothing in another, so a cursor is good for its own alone; the limit may change.
    private static func place(of cursor: Cursor, in query: SearchQuery) throws -> SearchPlace {
        guard cursor.keys.first == query.mark, let place = SearchPlace(keys: Array(cursor.keys.dropFirst())) else {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer to the same query")
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

    /// A digest of what is asked for, whatever the page.
    var mark: String {
        let asked: JSONValue = [
            .string(q.rawValue), .string(type?.rawValue ?? ""), .string(tag?.rawValue ?? ""), .string(category?.rawValue ?? ""),
            .string(author?.description ?? ""), .string(from.map(Timestamp.text) ?? ""), .string(to.map(Timestamp.text) ?? ""),
        ]
        return Base64URL.encode(Data(SHA256.hash(data: (try? JSON.encode(asked)) ?? Data()).prefix(Self.markBytes)))
    }

    /// Enough that no two searches of one person meet; nothing is kept secret by it.
    private static let markBytes = 9
}

struct SuggestQuery: Decodable, Sendable {
    let q: SearchText
}
