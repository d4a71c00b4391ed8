import Contracts
import Messaging
import Postgres

/// Tokens that say the old role are dead; the session goes on, and its next refresh says the new one.
struct EndChangedRights: EventHandler {
    let rights: RightsEnding

    func handle(_ event: MemberRoleChanged, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let ending = SessionEnding(tenant: envelope.tenant, user: event.userID, reason: .rightsChanged)
        _ = try rights.apply(ending, at: envelope.time, in: tx, nil)
    }
}
