import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AssistantService

/// The service and somebody's organization with what it has published.
struct AssistantFixture {
    let host: TestHost
    let tenant: TestTenant
    let api: TestClient

    init(_ host: TestHost? = nil) async throws {
        if let host { self.host = host } else { self.host = try await TestHost.start(Assistant.self) }
        tenant = TestTenant()
        api = try await self.host.client(tenant.user)
    }

    static let engine = """
        <h1>Engines</h1><script>alert("stolen")</script>
        <p>The Analytical Engine weaves algebraic patterns. It does so as the Jacquard loom weaves flowers and leaves.</p>
        <p>Its store holds one thousand numbers of forty digits. The mill is where they are worked on.</p>
        """

    /// Publishes as content would, and waits until the assistant knows.
    @discardableResult
    func publish(
        _ html: String = engine, title: String = "Notes on the engine", id: ArticleID = .make(), version: Int = 2, in other: TenantID? = nil
    ) async throws -> ArticleID {
        let tenant = other ?? tenant.id
        try await host.publish(
            ArticlePublished(
                articleID: id, slug: "notes-\(id)", title: title, content: html, excerpt: nil, category: nil, tags: [], authorID: nil,
                version: version, publishedAt: Date()), for: tenant)
        try await host.eventually("the article is known") { try await version <= knownVersion(of: id, in: tenant) }
        return id
    }

    func knownVersion(of id: ArticleID, in tenant: TenantID? = nil) async throws -> Int {
        try await host.database.first(
            Query<Int>("SELECT version FROM articles WHERE id = \(id)", column: "version"),
            as: .service(.assistant, for: tenant ?? self.tenant.id)) ?? 0
    }

    func ask(_ question: String, _ more: [String: JSONValue] = [:]) async throws -> TestResponse {
        try await api.post("/api/v1/ai/chat", .object(more.merging(["message": .string(question)]) { $1 }))
    }
}
