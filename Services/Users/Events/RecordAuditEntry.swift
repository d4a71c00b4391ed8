import Contracts
import Messaging
import Postgres

/// Adds what any service announces to the log of its organization, in the order in which it arrives.
///
/// All entries of an organization have one key, so they are handled one after the other, and together when many wait; the head's lock
/// keeps that so when two consumers overlap for a moment.
struct RecordAuditEntry: EventBatchHandler {
    typealias Payload = AuditEntryRecorded

    func handle(_ events: [(event: AuditEntryRecorded, envelope: EventEnvelope)], in tx: Transaction) throws {
        let log = AuditLogStore(tx: tx)
        let head = try log.lockHead()
        // The inbox forgets after a month; the log does not.
        let known = try log.known(events.map(\.envelope.id))
        let entries = events.filter { !known.contains($0.envelope.id) }.map { event, envelope in
            AuditEntry(
                event, id: envelope.id, organization: envelope.tenant, source: envelope.source, occurredAt: envelope.time,
                recordedAt: tx.now)
        }
        if !entries.isEmpty { try log.append(entries, after: head) }
    }
}
