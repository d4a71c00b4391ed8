import Contracts
import ServiceKit

/// Who did what, as an event for the same transaction.
enum Audit {
    enum Risk: String {
        case low, medium, high
    }

    /// `request` is nil for work that nobody asked for over HTTP.
    static func entry(
        _ action: String, _ resourceType: String, _ resourceID: String, by caller: Caller, _ request: PublicRequest?,
        outcome: String = "allowed", risk: Risk = .low, changed: [String: JSONValue] = [:]
    ) -> AuditEntryRecorded {
        AuditEntryRecorded(
            action: action, resourceType: resourceType, resourceID: resourceID, actor: caller.principalText, outcome: outcome,
            riskLevel: risk.rawValue, address: request?.clientAddress, userAgent: request?.userAgent, changed: changed)
    }
}
