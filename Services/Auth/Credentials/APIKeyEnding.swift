import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceKit

/// The end of all API keys of a person, in all organizations, for good.
///
/// A reset of the password says that somebody else may have had the account: whatever they made to come back with dies with it.
struct APIKeyEnding: Sendable {
    let database: Database
    let ledger: RevocationLedger

    /// Those that are there now; the sessions that could make more have ended before. Returns how many.
    @discardableResult
    func endAll(of account: UserID, _ reason: APIKey.EndReason, at now: Date, _ request: PublicRequest?) async throws -> Int {
        let tenants = try await database.platform(PlatformWork("organizations of a person's API keys")) { tx in
            try PlatformAPIKeyStore(tx: tx).tenants(of: account)
        }
        let ledger = ledger
        var count = 0
        for tenant in tenants {
            let caller = Caller(.person(account), tenant: tenant)
            let records = try await database.transaction(as: caller) { tx in
                let keys = try APIKeyStore(tx: tx).revokeAll(of: account, reason, madeUntil: .distantFuture)
                try Outbox(tx).append(keys.map { APIKeyRevoked(keyID: $0.id, userID: $0.owner, reason: reason.rawValue) })
                for key in keys {
                    try Audit(tx, request).record(
                        "auth.api-key.revoke", "api-key", key.id.description, risk: "medium",
                        changed: ["reason": .string(reason.rawValue)])
                }
                return try keys.compactMap { try ledger.record(.apiKey($0.id), at: now, in: tx) }
            }
            await ledger.announce(records, as: caller, at: now)
            count += records.count
        }
        return count
    }
}
