import Contracts
import DevStack
import Foundation
import NIOHTTP1
import TestKit

/// An organization with something of every kind in it, made through the gateway as its people would.
struct SweptOrganization: Sendable {
    let base: String
    /// A word in everything that it calls its own.
    let mark: String
    let email: String
    let password: String
    let id: String
    let slug: String
    let owner: String
    /// The owner's access token.
    let token: String
    /// Ids by the path of the collection that lists them.
    var objects: [String: [String]] = [:]

    struct Unmade: Error, CustomStringConvertible {
        let description: String
    }

    var client: TestClient { TestClient(base: base, token: token) }

    /// Everything that tells it: its ids, its words, its addresses.
    var secrets: Set<String> { Set(objects.values.flatMap { $0 }.filter { UUID(uuidString: $0) != nil }).union([id, owner, mark]) }

    static func found(at base: String, _ name: String) async throws -> SweptOrganization {
        let mark = "\(name)\(UUID().uuidString.lowercased().replacingOccurrences(of: "-", with: "").prefix(10))"
        let email = "\(mark).owner@example.org", password = "nanoseconds of wire \(mark)"
        let answer = try await TestClient(base: base, token: nil).post(
            "/api/v1/auth/register",
            [
                "email": .string(email), "password": .string(password), "firstName": .string(mark),
                "organization": ["name": .string("\(mark) works"), "slug": .string(mark)],
            ])
        guard answer.status == 201, let token = answer["accessToken"].string, let id = answer["organization"]["id"].string,
            let owner = answer["user"]["id"].string
        else { throw Unmade(description: "registering answered \(answer.status) \(answer.text)") }
        return SweptOrganization(
            base: base, mark: mark, email: email, password: password, id: id, slug: answer["organization"]["slug"].string ?? mark,
            owner: owner, token: token)
    }

    // MARK: - Filling it

    /// What is made on purpose, by the path of its collection: a kind that cannot be made any more fails the sweep.
    func fill(_ operations: [SweptOperation], _ document: JSONValue) async throws -> [String] {
        var missing: [String] = []
        func make(_ path: String, _ body: JSONValue) async throws -> String? {
            let answer = try await client.post(path, body)
            guard answer.status < 300 else {
                missing.append("\(path): \(answer.status) \(answer.text.prefix(200))")
                return nil
            }
            return answer["id"].string
        }
        if let article = try await make(
            "/api/v1/content/articles", ["title": .string("\(mark) title"), "content": .string("<p>\(mark) text</p>")])
        {
            _ = try await client.post("/api/v1/content/articles/\(article)/publish")
            _ = try await client.patch("/api/v1/content/articles/\(article)", ["excerpt": .string("\(mark) excerpt")])
        }
        _ = try await make("/api/v1/content/articles", ["title": .string("\(mark) draft"), "content": .string("<p>\(mark) draft</p>")])
        let file = try await client.send(
            .POST, "/api/v1/files", bytes: Data("\(mark) bytes".utf8),
            headers: ["content-type": "text/plain", "content-disposition": "attachment; filename=\"\(mark).txt\""])
        if file.status != 201 { missing.append("/api/v1/files: \(file.status)") }
        _ = try await make("/api/v1/ai/chat", ["message": .string("What is \(mark)?")])
        _ = try await make("/api/v1/users", ["email": .string("\(mark).second@example.org"), "firstName": .string(mark)])
        _ = try await make("/api/v1/organizations/\(id)/invitations", ["email": .string("\(mark).guest@example.org"), "role": "user"])
        _ = try await make("/api/v1/organizations/\(id)/roles", ["name": .string("\(mark)-role"), "permissions": ["content:read"]])
        _ = try await make("/api/v1/auth/api-keys", ["name": .string("\(mark) key"), "scopes": ["content:read"]])
        _ = try await make(
            "/api/v1/notifications",
            [
                "to": ["userId": .string(owner)], "subject": .string("\(mark) subject"), "body": .string("\(mark) body"),
                "channels": ["inApp"],
            ])
        // And whatever else the document lets one make.
        let maker = SampleMaker(components: document["components"], id: UUID().uuidString.lowercased(), mark: mark)
        for operation in operations where operation.method == "POST" && operation.pathParameters.isEmpty && !Self.endsSomething(operation) {
            guard operation.mediaType == "application/json", let schema = operation.bodySchema else { continue }
            _ = try await client.post(operation.template, maker.value(schema))
        }
        return missing
    }

    static func endsSomething(_ operation: SweptOperation) -> Bool {
        operation.method == "DELETE"
            || ["sessions", "logout", "password", "register", "login", "refresh", "impersonate", "mfa", "passkey", "step-up", "platform"]
                .contains {
                    operation.template.contains($0)
                }
    }

    /// The ids of everything that the lists of the document show to its owner.
    mutating func harvest(_ operations: [SweptOperation]) async throws {
        for operation in operations where operation.isSafe {
            let parameters = operation.pathParameters
            guard parameters.isEmpty || parameters.allSatisfy({ ids(for: $0, of: operation) != nil }) else { continue }
            let values = Dictionary(uniqueKeysWithValues: parameters.map { ($0, ids(for: $0, of: operation)?.first ?? "") })
            let answer = try await client.get(operation.path(values))
            // What ships with the platform is everybody's.
            let items = answer["data"].array.filter { $0["builtIn"].bool != true }
            guard answer.status == 200, !items.isEmpty else { continue }
            let found = items.compactMap { $0["id"].string ?? $0["userId"].string ?? $0["version"].int.map(String.init) }
            if !found.isEmpty { objects[operation.template] = Array(found.prefix(3)) }
        }
    }

    /// Ids that fit a path parameter: those of the list that it stands behind. Nil where no list shows any.
    func ids(for parameter: String, of operation: SweptOperation) -> [String]? {
        guard let collection = operation.collection(of: parameter) else { return nil }
        if collection == "/api/v1/organizations" || collection == "/api/v1/auth/organizations" { return [id] }
        if let known = objects[collection] { return known }
        // A list of the same kind under another path: `/notifications/{id}/read` stands behind `/notifications`.
        return objects.first { collection.hasPrefix($0.key) || $0.key.hasPrefix(collection) }?.value
    }
}
