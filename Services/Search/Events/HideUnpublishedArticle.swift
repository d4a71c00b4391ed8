import Contracts
import Messaging
import Postgres

/// An article that is a draft again is not found any more, nor when an older event comes late.
struct HideUnpublishedArticle: EventHandler {
    func handle(_ event: ArticleUnpublished, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).hide(.article, DocumentID(event.articleID.uuid), version: event.version)
        IndexDelay.record(envelope, in: tx)
    }
}
