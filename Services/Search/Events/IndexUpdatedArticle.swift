import Contracts
import Messaging
import Postgres

/// A published article is found by its new text; a draft by none, whatever was known of it.
struct IndexUpdatedArticle: EventHandler {
    func handle(_ event: ArticleUpdated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let documents = DocumentStore(tx)
        if let document = Document(event, at: envelope.time) {
            try documents.index(document)
        } else {
            try documents.hide(.article, DocumentID(event.articleID.uuid), version: event.version)
        }
        IndexDelay.record(envelope, in: tx)
    }
}
