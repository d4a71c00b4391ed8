package import Contracts
import Messaging
package import ServiceKit

/// The composition root: clients in, endpoints, the consumer and the workers out.
package enum Search: Program {
    package static let name = ServiceName.search
    package static let port = 8088
    package static let summary = "Full-text search over articles, files and people, fed by events."

    private static let consumer = "index"

    package static func assemble(_ settings: NoSettings, _ house: Foundations) throws -> Assembly {
        let reindexing = ReindexWorker(database: house.database, logger: house.logger)
        let texts = TextFetching(database: house.database, files: FilesClient(neighbours: house.neighbours), logger: house.logger)
        return Assembly(
            endpoints: [
                SearchRoutes(engine: SearchIndex(database: house.database)).endpoints,
                SettingsRoutes(database: house.database).endpoints,
                ReindexRoutes(database: house.database, worker: reindexing, group: EventConsumer.group(service: name, consumer: consumer))
                    .endpoints,
            ],
            consumers: [
                Consumption(
                    consumer, IndexPublishedArticle(), IndexUpdatedArticle(), HideUnpublishedArticle(), HideDeletedArticle(),
                    IndexUploadedFile(texts: texts), HideDeletedFile(), IndexCreatedPerson(), IndexUpdatedPerson(), HideRemovedMember(),
                    HideDeletedPerson())
            ],
            workers: [reindexing, texts, StatisticsWorker(database: house.database, logger: house.logger)])
    }
}
