import Contracts
import Messaging
import Postgres

/// What an organization's files take, for its usage.
struct CountStoredFile: EventHandler {
    func handle(_ event: FileUploaded, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try UsageStore(tx: tx).addStorage(bytes: event.size, files: 1)
    }
}

/// The room that a deleted file gives back.
struct CountDeletedFile: EventHandler {
    func handle(_ event: FileDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try UsageStore(tx: tx).addStorage(bytes: -event.size, files: -1)
    }
}
