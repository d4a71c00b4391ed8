import Contracts
import Foundation
import HTTPTypes
import Logging
import Metrics
import ServiceKit

/// Makes tokens and sessions die at once when rights end. Best effort, after the commit: the events say the same, and auth acts on them
/// later if this did not come through.
struct AccessEnding: Sendable {
    /// No access token lives longer, whatever auth is set to.
    static let longestToken: TimeInterval = 3_600
    /// How long an answer waits for auth.
    static let patience = Duration.seconds(1)
    /// More than these are ended as everybody in the organization: a refresh gives each a token that says what is so now.
    static let namedAtOnce = 100

    let neighbours: Neighbours
    let revocations: Revocations
    let now: @Sendable () -> Date
    let logger: Logger

    /// Ends sessions and the tokens of them; of everybody in the organization when there is no `user`.
    func end(_ reason: SessionEnding.Reason, _ user: UserID?, in tenant: TenantID) async {
        await revoke([user.map { .member($0, tenant) } ?? .organization(tenant)])
        let ending = SessionEnding(tenant: tenant, user: user, reason: reason)
        let failure = await withTaskGroup(of: String?.self) { group in
            group.addTask {
                do {
                    try await neighbours.call(.post, .auth, "/internal/v1/sessions/end", body: ending)
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            group.addTask {
                try? await Task.sleep(for: Self.patience)
                return "no answer within \(Self.patience)"
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        count(failure == nil ? "ended" : "failed", reason.rawValue)
        guard let failure else { return }
        logger.warning(
            "sessions could not be ended at once: auth learns it from the event",
            metadata: ["cause": "\(reason.rawValue)", "reason": "\(failure)"])
    }

    /// Tokens that say more than is so now are dead; the sessions go on and get new ones. Nil: everybody in the organization.
    func rightsChanged(of users: [UserID]?, in tenant: TenantID) async {
        await revoke(users.map { $0.map { .member($0, tenant) } } ?? [.organization(tenant)])
    }

    /// Every token of a person, in whatever organization.
    func endTokens(of user: UserID) async { await revoke([.account(user)]) }

    private func revoke(_ ended: [Revoked]) async {
        guard !ended.isEmpty else { return }
        let now = now()
        do {
            try await revocations.revoke(ended, at: now, tokensExpire: now.addingTimeInterval(Self.longestToken))
            count("ended", "tokens")
        } catch {
            count("failed", "tokens")
            logger.warning("tokens could not be ended at once", metadata: ["reason": "\(error)"])
        }
    }

    private func count(_ result: String, _ cause: String) {
        Counter(label: "trionex_users_access_endings_total", dimensions: [("result", result), ("cause", cause)]).increment()
    }
}
