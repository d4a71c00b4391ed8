import Foundation

/// Somebody changed something, or was refused.
package struct AuditEntryRecorded: Event {
    package static let topic = Topic.audit
    package static let name = "entry.recorded"
    package static let summary = "Somebody changed something, or was refused."

    package let action: String
    package let resourceType: String
    package let resourceID: String?
    package let actor: String
    package let outcome: String
    package let riskLevel: String
    package let address: String?
    package let userAgent: String?
    /// The new values that matter; never a secret.
    package let changed: [String: JSONValue]
    /// What they were before, where there was something.
    package let previous: [String: JSONValue]?
    package let requestID: String?
    /// The platform admin who acted as the actor.
    package let impersonator: UserID?
    /// The person behind the actor, also when that is a key.
    package let user: UserID?

    /// What the fact is about is the organization's log, not the object: all entries of an organization are of one key, so they
    /// reach the log in the order in which their service wrote them.
    package var aggregateID: String { "audit-log" }

    package init(
        action: String, resourceType: String, resourceID: String?, actor: String, outcome: String,
        riskLevel: String, address: String?, userAgent: String?, changed: [String: JSONValue], previous: [String: JSONValue]? = nil,
        requestID: String? = nil, impersonator: UserID? = nil, user: UserID? = nil
    ) {
        self.action = action
        self.resourceType = resourceType
        self.resourceID = resourceID
        self.actor = actor
        self.outcome = outcome
        self.riskLevel = riskLevel
        self.address = address
        self.userAgent = userAgent
        self.changed = changed
        self.previous = previous
        self.requestID = requestID
        self.impersonator = impersonator
        self.user = user
    }

    package static let example = AuditEntryRecorded(
        action: "content.article.publish", resourceType: "article", resourceID: "0197b1c0-0000-7000-8000-000000000004",
        actor: "person:0197b1c0-0000-7000-8000-000000000001", outcome: "allowed", riskLevel: "low",
        address: "203.0.113.7", userAgent: "Mozilla/5.0", changed: ["plan": .string("pro"), "seats": .integer(3)],
        previous: ["plan": .string("starter"), "seats": .integer(1)], requestID: "0197b1c0-0000-7000-8000-000000000009",
        impersonator: UserID(.example(7)), user: UserID(.example(1)))
}
