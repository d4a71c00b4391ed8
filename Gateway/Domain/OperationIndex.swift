import Contracts

/// The operations of one service, as its OpenAPI document has them.
struct OperationIndex: Sendable {
    struct Operation: Sendable, Equatable {
        let method: String
        /// `/api/v1/content/articles/{id}`.
        let template: String
        let isPublic: Bool
        var label: String { "\(method) \(template)" }
    }

    private struct Entry {
        let segments: [String]
        let operation: Operation
    }

    private let entries: [Entry]

    var count: Int { entries.count }

    /// All that a document declares, in the order of their paths.
    static func operations(_ document: JSONValue) -> [Operation] {
        document.member("paths").members.sorted { $0.key < $1.key }.flatMap { template, item in
            item.members.sorted { $0.key < $1.key }.filter { methods.contains($0.key) }.map { method, operation in
                Operation(method: method.uppercased(), template: template, isPublic: operation.member("security") == .array([]))
            }
        }
    }

    init(document: JSONValue) {
        var entries: [Entry] = []
        for (template, item) in document.member("paths").members {
            for (method, operation) in item.members where Self.methods.contains(method) {
                entries.append(
                    Entry(
                        segments: template.split(separator: "/").map(String.init),
                        operation: Operation(
                            method: method.uppercased(), template: template, isPublic: operation.member("security") == .array([]))))
            }
        }
        self.entries = entries.sorted { Self.parameters($0) < Self.parameters($1) }
    }

    private static let methods: Set<String> = ["get", "put", "post", "delete", "patch", "head", "options"]

    private static func parameters(_ entry: Entry) -> Int { entry.segments.count { $0.hasPrefix("{") } }

    /// Literal segments go before parameters. `HEAD` is `GET` where it is not declared itself.
    func operation(method: String, path: RequestPath) -> Operation? {
        func find(_ method: String) -> Operation? {
            entries.first { entry in
                entry.operation.method == method && entry.segments.count == path.segments.count
                    && zip(entry.segments, path.segments).allSatisfy { $0.hasPrefix("{") || $0 == $1 }
            }?.operation
        }
        return find(method) ?? (method == "HEAD" ? find("GET") : nil)
    }
}

extension JSONValue {
    /// A member of an object; null where there is none.
    func member(_ name: String) -> JSONValue { members[name] ?? .null }
    var members: [String: JSONValue] {
        if case .object(let members) = self { members } else { [:] }
    }
}
