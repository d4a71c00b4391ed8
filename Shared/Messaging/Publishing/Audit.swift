package import Contracts
package import Postgres

/// Who did what, for `trionex.audit`: one line beside each mutation, in its transaction.
package struct Audit {
    private let tx: Transaction
    private let address: String?
    private let userAgent: String?
    private let requestID: String?

    /// `address`, `userAgent` and `requestID` are those of the request that caused it; nil for what a program does by itself.
    package init(_ tx: Transaction, address: String? = nil, userAgent: String? = nil, requestID: String? = nil) {
        self.tx = tx
        self.address = address
        self.userAgent = userAgent
        self.requestID = requestID
    }

    /// - Parameters:
    ///   - action: such as `content.article.publish`.
    ///   - resourceType: such as `article`.
    ///   - risk: `low`, `medium` or `high`.
    ///   - was: the values before, where there were any; never a secret.
    ///   - changed: the new values that matter; never a secret.
    package func record(
        _ action: String, _ resourceType: String, _ resourceID: String?, risk: String = "low", was: [String: JSONValue] = [:],
        changed: [String: JSONValue] = [:]
    ) throws {
        try Outbox(tx).append(
            AuditEntryRecorded(
                action: action, resourceType: resourceType, resourceID: resourceID, actor: tx.caller.principalText, outcome: "allowed",
                riskLevel: risk, address: address, userAgent: userAgent, changed: changed, previous: was.isEmpty ? nil : was,
                requestID: requestID,
                impersonator: tx.caller.impersonator, user: tx.caller.user))
    }
}
