package import Contracts
package import ServiceKit

/// The composition root: clients in, endpoints, the consumer and the reindexing out.
package enum Search: Program {
    package static let name = ServiceName.search
    package static let port = 8088
    package static let summary = "Full-text search over what is published, fed by events."

    package static func assemble(_ settings: NoSettings, _ house: Foundations) throws -> Assembly {
        let reindexing = ReindexWorker(database: house.database, logger: house.logger)
        return Assembly(
            endpoints: [
                SearchRoutes(database: house.database).endpoints,
                ReindexRoutes(database: house.database, worker: reindexing).endpoints,
            ],
            consumers: [
                Consumption(
                    "index", IndexPublishedArticle(), IndexUpdatedArticle(), HideUnpublishedArticle(), HideDeletedArticle())
            ],
            workers: [reindexing])
    }
}
