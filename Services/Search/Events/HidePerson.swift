import Contracts
import Messaging
import Postgres

/// Who is no longer a member is not found any more.
struct HideRemovedMember: EventHandler {
    func handle(_ event: MemberRemoved, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try PersonHiding.hide(event.userID, envelope, in: tx)
    }
}

/// Nor who left for good.
struct HideDeletedPerson: EventHandler {
    func handle(_ event: UserDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try PersonHiding.hide(event.userID, envelope, in: tx)
    }
}

private enum PersonHiding {
    static func hide(_ id: UserID, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).hide(.person, DocumentID(id.uuid), version: Document.PersonVersion.removed.at(envelope.time))
        IndexDelay.record(envelope, in: tx)
    }
}
