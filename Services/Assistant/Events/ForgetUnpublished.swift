import Contracts
import Messaging
import Postgres

/// An article that is a draft again is not quoted.
struct ForgetUnpublished: EventHandler {
    func handle(_ event: ArticleUnpublished, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try KnowledgeStore(tx: tx).forget(event.articleID, version: event.version)
    }
}
