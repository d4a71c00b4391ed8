package import Contracts
package import ServiceKit

/// The composition root: clients in, endpoints out.
package enum Content: Program {
    package static let name = ServiceName.content
    package static let port = 8083
    package static let summary = "Articles: drafts, revisions, publication."

    package static func assemble(_ settings: ContentSettings, _ house: Foundations) throws -> Assembly {
        Assembly(
            endpoints: [
                ArticleRoutes(database: house.database, settings: settings).endpoints,
                RevisionRoutes(database: house.database).endpoints,
            ],
            owned: [OwnedObjects("articles")])
    }
}
