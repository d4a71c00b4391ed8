import ContentService
import Contracts
import Foundation
import TestKit

/// The service with a fresh organization: where every test begins.
struct Newsroom {
    let host: TestHost
    let tenant: TestTenant
    let editor: TestClient
    let viewer: TestClient

    static let path = "/api/v1/content/articles"

    static func open(_ tenant: TestTenant = TestTenant()) async throws -> Newsroom {
        let host = try await TestHost.start(Content.self)
        return Newsroom(
            host: host, tenant: tenant, editor: try await host.client(tenant.editor), viewer: try await host.client(tenant.viewer))
    }

    /// A draft with this title, or with these fields.
    func write(_ title: String = "Notes on the engine", _ fields: [String: JSONValue] = [:]) async throws -> TestResponse {
        let body = ["title": .string(title), "content": "<p>The engine weaves patterns.</p>"].merging(fields) { _, own in own }
        return try await editor.post(Self.path, .object(body))
    }

    func publish(_ article: TestResponse) async throws -> TestResponse {
        try await editor.post("\(Self.path)/\(article["id"].string ?? "")/publish")
    }

    func path(_ article: TestResponse, _ rest: String = "") -> String { "\(Self.path)/\(article["id"].string ?? "")\(rest)" }

    func tag(_ article: TestResponse) -> String { article.header("etag") ?? "" }

    /// The titles of a list, and all pages of it when it has several.
    func titles(_ client: TestClient, _ query: String = "") async throws -> [String] {
        let response = try await client.get("\(Self.path)?\(query)")
        return response["data"].array.compactMap { $0["title"].string }
    }
}
