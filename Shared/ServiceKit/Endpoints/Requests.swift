package import Contracts
package import Foundation
package import HTTPTypes
package import Hummingbird
import Logging
import NIOCore
import Synchronization

/// What a handler is given of a request, whoever sent it.
package struct PublicRequest: Sendable {
    package let method: HTTPRequest.Method
    /// The path as sent, without the query.
    package let path: String
    package let headers: HTTPFields
    /// The address the gateway saw, or the peer's.
    package let clientAddress: String?
    package let requestID: String
    /// The body as it arrives, for endpoints that stream it. Decoded bodies have been read already.
    package let body: RequestBody
    package let now: Date
    let parameters: [String: String]
    let query: [(String, String)]
    let record: RequestRecord

    package var userAgent: String? { headers[.userAgent] }

    /// A path parameter. Text that is no such id is the same as an object that is not there.
    package func path<ID: LosslessStringConvertible>(_ name: String, as type: ID.Type = ID.self) throws(ResourceFailure) -> ID {
        guard let text = parameters[name], let id = ID(text) else { throw .notFound }
        return id
    }

    /// Adds a field to this request's one log event. Never a secret.
    package func note(_ key: String, _ value: String) { record.note(key, value) }

    /// Refuses a write to a version other than the one the client saw (`If-Match`, RFC 9110).
    package func requireMatch(_ tag: EntityTag) throws(ResourceFailure) {
        guard let condition = headers[.ifMatch] else { return }
        guard tag.matches(condition) else { throw .stale }
    }
}

/// A request of somebody known: what every endpoint that is not public is given.
@dynamicMemberLookup
package struct CallerRequest: Sendable {
    package let caller: Caller
    package let http: PublicRequest

    package init(caller: Caller, http: PublicRequest) {
        self.caller = caller
        self.http = http
    }

    package subscript<Value>(dynamicMember path: KeyPath<PublicRequest, Value>) -> Value { http[keyPath: path] }

    package func path<ID: LosslessStringConvertible>(_ name: String, as type: ID.Type = ID.self) throws(ResourceFailure) -> ID {
        try http.path(name, as: type)
    }

    package func note(_ key: String, _ value: String) { http.note(key, value) }
    package func requireMatch(_ tag: EntityTag) throws(ResourceFailure) { try http.requireMatch(tag) }

    /// The person who calls. An endpoint that services may call too does not use it.
    package func user() throws(AccessFailure) -> UserID {
        if let user = caller.user { return user }
        if case .client = caller.principal { throw .personOnly }
        throw .notSignedIn
    }
}

/// What one request's log event will say, gathered on the way.
final class RequestRecord: Sendable {
    struct Fields: Sendable {
        var action: String?
        var caller: Caller?
        var notes: [String: String] = [:]
        var problem: String?
    }

    private let fields = Mutex(Fields())

    func note(_ key: String, _ value: String) { fields.withLock { $0.notes[key] = value } }
    func set(caller: Caller) { fields.withLock { $0.caller = caller } }
    func set(action: String) { fields.withLock { $0.action = action } }
    func set(problem: String) { fields.withLock { $0.problem = problem } }
    var snapshot: Fields { fields.withLock { $0 } }
}

/// An entity tag (RFC 9110, section 8.8.3), strong, made from an object's version.
package struct EntityTag: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    /// `"v7"`: versions count the writes of one object.
    package init(version: Int) { description = "\"v\(version)\"" }
    /// For content: its checksum.
    package init(digest: String) { description = "\"\(digest)\"" }

    /// Whether a list of tags, or `*`, in `If-Match` or `If-None-Match` has this one (weak comparison).
    package func matches(_ condition: String) -> Bool {
        if condition.trimmingCharacters(in: .whitespaces) == "*" { return true }
        return condition.split(separator: ",").contains { part in
            let tag = part.trimmingCharacters(in: .whitespaces)
            return tag == description || tag == "W/" + description
        }
    }
}
