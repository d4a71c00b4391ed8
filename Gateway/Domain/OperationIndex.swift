import Contracts

/// The operations of one service, as its OpenAPI document has them.
enum OperationIndex {
    struct Operation: Sendable, Equatable {
        let method: String
        /// `/api/v1/content/articles/{id}`.
        let template: String
        let isPublic: Bool
        var label: String { "\(method) \(template)" }
    }

    /// All that a document declares, in the order of their paths.
    static func operations(_ document: JSONValue) -> [Operation] {
        document.member("paths").members.sorted { $0.key < $1.key }.flatMap { template, item in
            item.members.sorted { $0.key < $1.key }.filter { methods.contains($0.key) }.map { method, operation in
                Operation(method: method.uppercased(), template: template, isPublic: operation.member("security") == .array([]))
            }
        }
    }

    private static let methods: Set<String> = ["get", "put", "post", "delete", "patch", "head", "options"]
}

extension JSONValue {
    /// A member of an object; null where there is none.
    func member(_ name: String) -> JSONValue { members[name] ?? .null }
    var members: [String: JSONValue] {
        if case .object(let members) = self { members } else { [:] }
    }
}
