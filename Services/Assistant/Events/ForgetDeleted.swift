import Contracts
import Messaging
import Postgres

/// An article that is gone is not quoted.
struct ForgetDeleted: EventHandler {
    func handle(_ event: ArticleDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try KnowledgeStore(tx: tx).forget(event.articleID, version: event.version)
    }
}
