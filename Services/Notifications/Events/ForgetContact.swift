import Contracts
import Messaging
import Postgres

/// Forgets the address of somebody who left for good.
struct ForgetContact: EventHandler {
    func handle(_ event: UserDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try ContactStore(tx: tx).forget(event.userID)
    }
}

/// Forgets the address of somebody who is no longer a member.
struct ForgetMember: EventHandler {
    func handle(_ event: MemberRemoved, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try ContactStore(tx: tx).forget(event.userID)
    }
}
