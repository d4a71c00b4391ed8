import Contracts
import Foundation
import Postgres
import ServiceKit

/// Reading what articles were before: for those who may edit them.
struct RevisionRoutes: Sendable {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("content/articles/:idOrSlug/revisions") {
            Endpoint.get("", "List an article's revisions", may: "content:write", list)
            Endpoint.get(":version", "Read a revision", may: "content:write", read)
        }
    }

    func list(_ request: CallerRequest, _ query: PageQuery) async throws -> Page<RevisionSummary> {
        let limit = query.limit ?? .standard
        let before = try query.cursor.map(Self.version(in:))
        let article = try await article(request)
        let rows = try await database.query(
            RevisionStore.list(of: article.id, before: before, limit: limit.value + 1), as: request.caller)
        return Page(rows, limit: limit) { Cursor([String($0.version)]) }
    }

    func read(_ request: CallerRequest) async throws -> RevisionView {
        let version = try request.path("version", as: Int.self)
        let article = try await article(request)
        guard let revision = try await database.first(RevisionStore.find(version, of: article.id), as: request.caller) else {
            throw ResourceFailure.notFound
        }
        return RevisionView(revision)
    }

    private func article(_ request: CallerRequest) async throws -> Article {
        let key = try request.path("idOrSlug", as: ArticleKey.self)
        guard let article = try await database.first(ArticleStore.find(key, for: .editors), as: request.caller) else {
            throw ArticleFailure.notFound
        }
        return article
    }

    private static func version(in cursor: Cursor) throws -> Int {
        guard cursor.keys.count == 1, let version = Int(cursor.keys[0]) else {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
        }
        return version
    }
}
