import Contracts
import Messaging
import Postgres

/// A deleted article leaves nothing behind but its id and version, so that an older event does not bring it back.
struct HideDeletedArticle: EventHandler {
    func handle(_ event: ArticleDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).hide(.article, DocumentID(event.articleID.uuid), version: event.version)
        IndexDelay.record(envelope, in: tx)
    }
}
