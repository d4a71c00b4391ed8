import Contracts
import Foundation
package import Kafka

/// Which messages an operator wants to see.
package struct EventFilter: Sendable {
    /// A field of the payload and the text it must have: `author/id=0197…`. Numbers and truth values are compared as JSON writes them.
    package struct Field: Sendable {
        package let path: [String]
        package let value: String

        /// Nil without `=` or a name.
        package init?(_ text: String) {
            guard let equals = text.firstIndex(of: "="), equals != text.startIndex else { return nil }
            path = text[..<equals].split(separator: "/").map(String.init)
            value = String(text[text.index(after: equals)...])
            if path.isEmpty { return nil }
        }

        func matches(_ payload: JSONValue) -> Bool {
            let found = path.reduce(payload) { value, name in Int(name).map { value[$0] } ?? value[name] }
            switch found {
            case .string(let text): return text == value
            case .null: return value == "null"
            case .bool, .integer, .number: return (try? JSON.encode(found)) == Data(value.utf8)
            case .array, .object: return false
            }
        }
    }

    /// Types, whole or their end: `article.published`, `content.article.published.v1`, or with a star: `article.*`. Any when empty.
    package var types: [String] = []
    package var tenant: String?
    /// The key, or the aggregate's id alone.
    package var key: String?
    package var id: String?
    /// All of them.
    package var fields: [Field] = []

    package init() {}

    package func matches(_ message: KafkaMessage) -> Bool {
        if !types.isEmpty, !types.contains(where: { Self.matches(message.text("ce_type") ?? "", $0) }) { return false }
        if let tenant, message.text("ce_tenantid")?.lowercased() != tenant.lowercased() { return false }
        if let id, message.text("ce_id")?.lowercased() != id.lowercased() { return false }
        if let key {
            let whole = message.key.map { String(decoding: $0, as: UTF8.self) } ?? ""
            guard whole == key || whole.split(separator: ":", maxSplits: 1).last.map(String.init) == key else { return false }
        }
        guard !fields.isEmpty else { return true }
        guard let payload = try? JSON.decode(JSONValue.self, from: Data(message.value ?? [])) else { return false }
        return fields.allSatisfy { $0.matches(payload) }
    }

    /// The pattern's words are those of the type somewhere, whole: `article.*` matches `com.trionex.content.article.published.v1`.
    private static func matches(_ type: String, _ pattern: String) -> Bool {
        let words = type.split(separator: "."), wanted = pattern.split(separator: ".")
        guard !wanted.isEmpty, wanted.count <= words.count else { return false }
        return (0...words.count - wanted.count).contains { start in
            zip(words[start...], wanted).allSatisfy { $1 == "*" || $0 == $1 }
        }
    }
}
