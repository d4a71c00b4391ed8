package import Foundation

/// A fact about the past, published by the one service that owns it (CloudEvents 1.0; the contract is EVENTS.md).
///
/// The type itself is the contract: its Codable form is the value on Kafka, and AsyncAPI is written from it.
package protocol Event: Codable, Sendable {
    /// Where it is published; one topic has one producing service, but for audit and usage.
    static var topic: Topic { get }
    /// `article.published`: a noun and a verb in the past tense.
    static var name: String { get }
    static var version: Int { get }
    /// What the fact is about: the Kafka key is `<tenantId>:<aggregateID>`, so its events stay in order.
    var aggregateID: String { get }
    /// One sentence for AsyncAPI.
    static var summary: String { get }
    /// An instance with every field set, for the golden file and the documents.
    static var example: Self { get }
}

extension Event {
    package static var version: Int { 1 }
    /// `com.trionex.content.article.published.v1`.
    package static var type: String { "com.trionex.\(topic.owner).\(name).v\(version)" }
}

/// A Kafka topic.
package struct Topic: Hashable, Sendable, CustomStringConvertible {
    /// The full name, such as `trionex.content.events`.
    package let name: String
    /// The word in event types: the service, or `audit`, `usage`, `analytics` for the shared streams.
    package let owner: String
    package var description: String { name }

    package init(name: String, owner: String) {
        self.name = name
        self.owner = owner
    }

    private init(service: String) { self.init(name: "trionex.\(service).events", owner: service) }

    package static let auth = Topic(service: "auth")
    package static let users = Topic(service: "users")
    package static let content = Topic(service: "content")
    package static let assistant = Topic(service: "assistant")
    package static let files = Topic(service: "files")
    package static let notifications = Topic(service: "notifications")
    package static let audit = Topic(name: "trionex.audit", owner: "audit")
    package static let usage = Topic(name: "trionex.usage", owner: "usage")
    package static let analyticsIngest = Topic(name: "trionex.analytics.ingest", owner: "analytics")

    package static let all: [Topic] = [.auth, .users, .content, .assistant, .files, .notifications, .audit, .usage, .analyticsIngest]
}

/// Everything about a published event but its value: the CloudEvents attributes.
package struct EventEnvelope: Sendable, Equatable {
    package let id: EventID
    /// `/services/content`.
    package let source: String
    package let type: String
    package let subject: String
    package let time: Date
    package let tenant: TenantID
    /// `person:<id>` or the like, when somebody caused it.
    package let actor: String?
    package let traceparent: String?

    package init(
        id: EventID, source: String, type: String, subject: String, time: Date, tenant: TenantID, actor: String?, traceparent: String?
    ) {
        self.id = id
        self.source = source
        self.type = type
        self.subject = subject
        self.time = time
        self.tenant = tenant
        self.actor = actor
        self.traceparent = traceparent
    }
}
