import Contracts
import Messaging
import Postgres

/// A published article can be found from now on.
struct IndexPublishedArticle: EventHandler {
    func handle(_ event: ArticlePublished, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).index(Document(event))
        IndexDelay.record(envelope, in: tx)
    }
}
