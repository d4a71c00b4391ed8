import Contracts
import Messaging
import Postgres

/// From now on the article's text can be quoted.
struct LearnPublished: EventHandler {
    func handle(_ event: ArticlePublished, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try KnowledgeStore(tx: tx).learn(
            event.articleID, version: event.version, title: event.title, slug: event.slug, html: event.content)
    }
}
