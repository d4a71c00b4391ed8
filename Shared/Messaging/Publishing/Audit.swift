package import Contracts
package import Postgres

/// Who did what, for `trionex.audit`: one line beside each mutation, in its transaction.
package struct Audit {
    private let tx: Transaction

    package init(_ tx: Transaction) { self.tx = tx }

    /// - Parameters:
    ///   - action: such as `content.article.publish`.
    ///   - resourceType: such as `article`.
    ///   - changed: the new values that matter; never a secret.
    package func record(_ action: String, _ resourceType: String, _ resourceID: String?, changed: [String: JSONValue] = [:]) throws {
        try Outbox(tx).append(
            AuditEntryRecorded(
                action: action, resourceType: resourceType, resourceID: resourceID, actor: tx.caller.principalText, outcome: "allowed",
                riskLevel: "low", address: nil, userAgent: nil, changed: changed))
    }
}
