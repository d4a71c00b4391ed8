import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Reading and writing articles: decode, one transaction, encode.
struct ArticleRoutes: Sendable {
    let database: Database
    let settings: ContentSettings

    var endpoints: Endpoints {
        Endpoints("content/articles") {
            Endpoint.get("", "List articles", may: "content:read", list)
            Endpoint.post("", "Write a draft", may: "content:write", create)
            Endpoint.get(":idOrSlug", "Read an article", may: "content:read", read)
            Endpoint.put(":idOrSlug", "Replace what an editor writes", may: "content:write", replace)
            Endpoint.patch(":idOrSlug", "Change some fields", may: "content:write", patch)
            Endpoint.delete(":idOrSlug", "Delete an article", may: "content:write", delete)
            Endpoint.post(":idOrSlug/publish", "Publish an article", may: "content:publish", publish)
            Endpoint.post(":idOrSlug/unpublish", "Make an article a draft again", may: "content:publish", unpublish)
        }
    }

    // MARK: - Reading

    func list(_ request: CallerRequest, _ query: ArticleQuery) async throws -> Page<ArticleSummary> {
        let limit = query.limit ?? .standard
        let sort = query.sort ?? .newest
        let page = ArticleStore.list(
            query.filter(for: request.caller), by: sort, after: try query.cursor.map(sort.place(of:)), limit: limit.value + 1)
        return Page(try await database.query(page, as: request.caller), limit: limit, cursor: sort.cursor(after:))
    }

    func read(_ request: CallerRequest) async throws -> ArticleView {
        let key = try request.path("idOrSlug", as: ArticleKey.self)
        let article = try await database.first(ArticleStore.find(key, for: Audience(request.caller)), as: request.caller)
        guard let article else { throw ArticleFailure.notFound }
        return ArticleView(article)
    }

    // MARK: - Writing

    func create(_ request: CallerRequest, _ draft: ArticleDraft) async throws -> Created<ArticleView> {
        let author = try request.user()
        try draft.slug?.requireDistinctFromIDs(at: "/slug")
        let view = try await database.transaction(as: request.caller) { tx in
            let articles = ArticleStore(tx)
            var chance = SystemRandomNumberGenerator()
            let slugs = try draft.slug.map { [$0] } ?? articles.free(Slug.choices(for: draft.title, using: &chance))
            for slug in slugs {
                let (article, created) = Article.write(.make(at: tx.now), draft.fields(slug: slug), by: author, at: tx.now)
                guard try articles.insert(article) else { continue }
                try announce(
                    created, .create, request, tx,
                    changed: ["title": .string(article.fields.title.rawValue), "slug": .string(article.fields.slug.rawValue)])
                return ArticleView(article)
            }
            throw ArticleFailure.slugTaken
        }
        return Created(view, at: "/api/v1/content/articles/\(view.id)")
    }

    func replace(_ request: CallerRequest, _ draft: ArticleDraft) async throws -> ArticleView {
        try await edit(request) { draft.fields(slug: draft.slug ?? $0.slug) }
    }

    func patch(_ request: CallerRequest, _ patch: ArticlePatch) async throws -> ArticleView {
        try await edit(request, patch.applied(to:))
    }

    /// An edit that changes nothing writes nothing. Otherwise the former text is kept as a revision.
    private func edit(
        _ request: CallerRequest, _ change: @escaping @Sendable (ArticleFields) throws -> ArticleFields
    ) async throws -> ArticleView {
        try await withArticle(request) { article, tx in
            let old = article.fields
            let new = try change(old)
            if new.slug != old.slug { try new.slug.requireDistinctFromIDs(at: "/slug") }
            guard let updated = article.edit(new, at: tx.now) else { return ArticleView(article) }
            try RevisionStore(tx: tx, kept: settings.revisionsKept).keep(article.id)
            try ArticleStore(tx).save(article)
            let (was, changed) = old.changes(to: new)
            try announce(updated, .update, request, tx, was: was, changed: changed)
            return ArticleView(article)
        }
    }

    /// A second publication answers 409. Another tenant's article answers 404: row-level security hides it.
    func publish(_ request: CallerRequest) async throws -> ArticleView {
        try await withArticle(request) { article, tx in
            let published = try article.publish(at: tx.now)
            try ArticleStore(tx).save(article)
            try announce(published, .publish, request, tx)
            return ArticleView(article)
        }
    }

    func unpublish(_ request: CallerRequest) async throws -> ArticleView {
        try await withArticle(request) { article, tx in
            let unpublished = try article.unpublish(at: tx.now)
            try ArticleStore(tx).save(article)
            try announce(unpublished, .unpublish, request, tx)
            return ArticleView(article)
        }
    }

    func delete(_ request: CallerRequest) async throws -> NoContent {
        try await withArticle(request) { article, tx in
            try ArticleStore(tx).delete(article.id)
            let was: [String: JSONValue] = [
                "title": .string(article.fields.title.rawValue), "slug": .string(article.fields.slug.rawValue),
            ]
            try announce(article.delete(), .delete, request, tx, was: was)
            return NoContent()
        }
    }

    // MARK: - What the writes share

    /// One transaction that holds the article of the path, in the version that the client knows if it named one.
    private func withArticle<T: Sendable>(
        _ request: CallerRequest, _ body: @escaping @Sendable (inout Article, Transaction) throws -> T
    ) async throws -> T {
        let key = try request.path("idOrSlug", as: ArticleKey.self)
        return try await database.transaction(as: request.caller) { tx in
            var article = try ArticleStore(tx).lock(key)
            try request.requireMatch(EntityTag(version: article.version))
            return try body(&article, tx)
        }
    }

    /// The event and its audit entry, in the transaction of the change itself.
    private func announce(
        _ event: some Event, _ change: ArticleChange, _ request: CallerRequest, _ tx: Transaction, was: [String: JSONValue] = [:],
        changed: [String: JSONValue] = [:]
    ) throws {
        try Outbox(tx).append(event)
        try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
            .record("content.article.\(change)", "article", event.aggregateID, risk: change.risk, was: was, changed: changed)
        tx.afterCommit { change.count() }
    }
}

extension ArticleSort {
    /// A cursor names its order too: the place in one order means nothing in another.
    func cursor(after article: ArticleSummary) -> Cursor {
        Cursor([rawValue] + Cursor(time: time(of: article), id: article.id.uuid).keys)
    }

    func place(of cursor: Cursor) throws -> (Date, UUID) {
        guard cursor.keys.first == rawValue, let place = Cursor(Array(cursor.keys.dropFirst())).timeAndID else {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be the nextCursor of an answer with the same sort")
        }
        return place
    }
}
