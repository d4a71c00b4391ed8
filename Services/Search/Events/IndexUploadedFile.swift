import Contracts
import Messaging
import Postgres

/// A file is found by its name and kind from now on.
struct IndexUploadedFile: EventHandler {
    func handle(_ event: FileUploaded, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).index(Document(event, at: envelope.time))
        IndexDelay.record(envelope, in: tx)
    }
}
