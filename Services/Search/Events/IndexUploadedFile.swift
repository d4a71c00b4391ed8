import Contracts
import Messaging
import Postgres

/// A file is found by its name and kind from now on, and by its text when files has given it.
struct IndexUploadedFile: EventHandler {
    let texts: TextFetching

    func handle(_ event: FileUploaded, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let documents = DocumentStore(tx)
        var document = Document(event, at: envelope.time)
        // Told of again, it keeps its text until that is fetched anew.
        document.body = try documents.text(of: document.id, version: document.version) ?? ""
        if try documents.index(document) {
            try AwaitedTextStore(tx).add(document.id, version: document.version)
            let texts = texts
            tx.afterCommit { texts.wake() }
        }
        IndexDelay.record(envelope, in: tx)
    }
}
