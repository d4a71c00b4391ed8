import Contracts
import Foundation
import TestKit

/// An answer without what differs from one call to the next: ids, times, the path asked for.
struct SweptAnswer: Equatable, CustomStringConvertible {
    let status: Int
    let headers: [String: String]
    let body: String

    var description: String { "\(status) \(headers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }) \(body.prefix(400))" }

    /// Of no meaning here: they say how much is left, when it was, or whose trace it is.
    private static let passing: Set<String> = [
        "date", "x-request-id", "ratelimit", "ratelimit-policy", "traceparent", "retry-after", "age", "content-length", "etag",
        "last-modified",
    ]

    /// `sent` are the ids that the request had in it.
    init(_ response: TestResponse, sent: [String]) {
        status = response.status
        var headers: [String: String] = [:]
        for header in response.headers where !Self.passing.contains(header.name.lowercased()) {
            headers[header.name.lowercased()] = Self.plain(header.value, sent)
        }
        // What was made has an address of its own; that it has one is all that can be compared.
        if response.status < 300 {
            self.headers = headers.mapValues { _ in "…" }
            body = Self.shape(response.json)
        } else {
            self.headers = headers
            body = Self.plain(response.text, sent)
        }
    }

    private static func plain(_ text: String, _ sent: [String]) -> String {
        var text = text
        for id in sent where !id.isEmpty { text = text.replacingOccurrences(of: id, with: "<id>") }
        text = text.replacing(/[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}/, with: "<id>")
        return text.replacing(/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]+Z/, with: "<time>")
    }

    /// The names of the members, not what is in them.
    private static func shape(_ value: JSONValue) -> String {
        switch value {
        case .object(let members): "{\(members.keys.sorted().map { "\($0):\(shape(members[$0] ?? .null))" }.joined(separator: ","))}"
        case .array(let items): "[\(items.first.map(shape) ?? "")]"
        default: "_"
        }
    }
}
