import Contracts
import Messaging
import Postgres

/// A deleted file leaves nothing behind but its id.
struct HideDeletedFile: EventHandler {
    func handle(_ event: FileDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).hide(.file, DocumentID(event.fileID.uuid), version: Document.FileVersion.deleted)
        IndexDelay.record(envelope, in: tx)
    }
}
