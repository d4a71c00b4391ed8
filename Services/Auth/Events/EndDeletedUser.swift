import Contracts
import Messaging
import Postgres

/// A person who was deleted from an organization has no session, key or token in it any more.
struct EndDeletedUser: EventHandler {
    let rights: RightsEnding

    func handle(_ event: UserDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let ending = SessionEnding(tenant: envelope.tenant, user: event.userID, reason: .memberRemoved)
        _ = try rights.apply(ending, at: envelope.time, in: tx, nil)
    }
}
