import Contracts
import Foundation
import TestKit
import Testing

/// The service beside files, with a fresh organization, fed with events as content would publish them.
struct Library {
    let host: TestHost
    let tenant: TestTenant
    let reader: TestClient

    static let path = "/api/v1/search"

    static func open(_ tenant: TestTenant = TestTenant()) async throws -> Library {
        let host = try await Neighbourhood.shared.value.search
        return Library(host: host, tenant: tenant, reader: try await host.client(tenant.viewer))
    }

    /// Publishes an article and waits until the index has it.
    @discardableResult
    func add(
        _ title: String, _ content: String = "<p>Nothing special.</p>", id: ArticleID = .make(), excerpt: String? = nil,
        category: String? = nil, tags: [String] = [], version: Int = 2
    ) async throws -> ArticleID {
        try await publish(title, content, id: id, excerpt: excerpt, category: category, tags: tags, version: version)
        try await host.eventually("\(title) is indexed") { try await indexed(id)?.version == version }
        return id
    }

    /// Publishes an article and does not wait.
    func publish(
        _ title: String, _ content: String = "", id: ArticleID, excerpt: String? = nil, category: String? = nil, tags: [String] = [],
        version: Int, eventID: EventID = .make()
    ) async throws {
        try await host.publish(
            ArticlePublished(
                articleID: id, slug: "slug-\(version)", title: title, content: content, excerpt: excerpt, category: category, tags: tags,
                authorID: nil, version: version, publishedAt: Date(timeIntervalSince1970: 1_768_473_000)), for: tenant.id, eventID: eventID)
    }

    func update(_ title: String, _ content: String = "", id: ArticleID, version: Int, published: Bool = true) async throws {
        try await host.publish(
            ArticleUpdated(
                articleID: id, slug: "slug-\(version)", title: title, content: content, excerpt: nil, category: nil, tags: [],
                authorID: nil,
                version: version, published: published), for: tenant.id)
    }

    func unpublish(_ id: ArticleID, version: Int) async throws {
        try await host.publish(ArticleUnpublished(articleID: id, version: version), for: tenant.id)
    }

    func delete(_ id: ArticleID, version: Int) async throws {
        try await host.publish(ArticleDeleted(articleID: id, version: version), for: tenant.id)
    }

    func search(_ text: String, _ more: String = "") async throws -> TestResponse {
        try await reader.get("\(Self.path)?q=\(Self.escape(text))\(more)")
    }

    func titles(_ text: String, _ more: String = "") async throws -> [String] {
        try await search(text, more)["data"].array.compactMap { $0["title"].string }
    }

    func suggestions(_ text: String) async throws -> [String] {
        try await reader.get("\(Self.path)/suggest?q=\(Self.escape(text))")["data"].array.compactMap { $0["text"].string }
    }

    static func escape(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "" }
}
