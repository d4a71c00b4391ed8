import Contracts
import Messaging
import Postgres

/// A person who is no longer a member has no session, key or token in the organization any more.
struct EndRemovedMember: EventHandler {
    let rights: RightsEnding

    func handle(_ event: MemberRemoved, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let ending = SessionEnding(tenant: envelope.tenant, user: event.userID, reason: .memberRemoved)
        _ = try rights.apply(ending, at: envelope.time, in: tx, nil)
    }
}
