import Contracts
import Messaging
import Postgres

/// Adds each entry that any service announces to the log of its organization, in the order in which they arrive.
///
/// All entries of an organization have one key, so they are handled one after the other; the head's lock keeps that so when two
/// consumers overlap for a moment.
struct RecordAuditEntry: EventHandler {
    func handle(_ event: AuditEntryRecorded, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let log = AuditLogStore(tx: tx)
        let head = try log.lockHead()
        // The inbox forgets after a month; the log does not.
        guard try !log.contains(envelope.id) else { return }
        let entry = AuditEntry(
            event, id: envelope.id, organization: envelope.tenant, source: envelope.source, occurredAt: envelope.time, recordedAt: tx.now)
        try log.append(entry, after: head)
    }
}
