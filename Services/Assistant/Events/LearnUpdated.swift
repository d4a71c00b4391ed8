import Contracts
import Messaging
import Postgres

/// A published article's new text takes the old one's place; what is said of a draft is not for readers.
struct LearnUpdated: EventHandler {
    func handle(_ event: ArticleUpdated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let knowledge = KnowledgeStore(tx: tx)
        if event.published {
            try knowledge.learn(event.articleID, version: event.version, title: event.title, slug: event.slug, html: event.content)
        } else {
            try knowledge.forget(event.articleID, version: event.version)
        }
    }
}
