import Contracts
import Messaging
import Postgres

/// A deleted file leaves nothing behind but its id.
struct HideDeletedFile: EventHandler {
    func handle(_ event: FileDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let id = DocumentID(event.fileID.uuid)
        try DocumentStore(tx).hide(.file, id, version: Document.FileVersion.deleted)
        try AwaitedTextStore(tx).remove(id)
        IndexDelay.record(envelope, in: tx)
    }
}
