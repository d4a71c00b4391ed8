import Contracts
import Messaging
import Postgres

/// A suspended member has no session or token any more; keys sleep until the person is let in again.
struct EndSuspendedMember: EventHandler {
    let rights: RightsEnding

    func handle(_ event: UserUpdated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        guard event.status == "suspended" else { return }
        let ending = SessionEnding(tenant: envelope.tenant, user: event.userID, reason: .memberSuspended)
        _ = try rights.apply(ending, at: envelope.time, in: tx, nil)
    }
}
