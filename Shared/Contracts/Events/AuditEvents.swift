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
    package let changed: [String: JSONValue]

    package var aggregateID: String { resourceID ?? resourceType }

    package init(
        action: String, resourceType: String, resourceID: String?, actor: String, outcome: String,
        riskLevel: String, address: String?, userAgent: String?, changed: [String: JSONValue]
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
    }

    package static let example = AuditEntryRecorded(
        action: "content.article.publish", resourceType: "article", resourceID: "0197b1c0-0000-7000-8000-000000000004",
        actor: "person:0197b1c0-0000-7000-8000-000000000001", outcome: "allowed", riskLevel: "low",
        address: "203.0.113.7", userAgent: "Mozilla/5.0", changed: ["plan": .string("pro"), "seats": .integer(3)])
}
