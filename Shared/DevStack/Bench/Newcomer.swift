import Contracts
import DevStack
import Foundation

/// Somebody with an organization of their own, over HTTP through the gateway.
struct Newcomer: Sendable {
    let client: GatewayClient
    let token: String
    let tenant: TenantID

    static func register(at gateway: String) async throws -> Newcomer {
        let unique = UUID().uuidString.lowercased().prefix(12)
        let client = GatewayClient(base: gateway)
        let answer = try await client.post(
            "/api/v1/auth/register",
            [
                "email": .string("bench.\(unique)@example.org"), "password": .string("measured not guessed \(unique)"),
                "organization": ["name": .string("Bench \(unique)")],
            ])
        guard answer.status == 201, let token = answer["accessToken"].string,
            let tenant = answer["organization"]["id"].string.flatMap({ TenantID($0) })
        else { throw StackFailure("registering answered \(answer.status)") }
        return Newcomer(client: client.signedIn(token), token: token, tenant: tenant)
    }

    /// Its text is its title unless told otherwise.
    func draft(_ title: String, text: String? = nil) async throws -> String {
        let answer = try await client.post(
            "/api/v1/content/articles", ["title": .string(title), "content": .string("<p>\(text ?? title)</p>")])
        guard answer.status == 201, let id = answer["id"].string else { throw StackFailure("writing answered \(answer.status)") }
        return id
    }

    func publish(id: String) async throws {
        let answer = try await client.post("/api/v1/content/articles/\(id)/publish")
        guard answer.status == 200 else { throw StackFailure("publishing answered \(answer.status)") }
    }

    func publish(_ title: String) async throws -> String {
        let id = try await draft(title)
        try await publish(id: id)
        return id
    }

    func finds(_ word: String) async throws -> Bool {
        let answer = try await client.get("/api/v1/search?q=\(word)")
        guard answer.status == 200 else { throw StackFailure("searching answered \(answer.status): the bench needs higher limits") }
        return !answer["data"].array.isEmpty
    }
}
