package import Contracts
package import ServiceKit

/// Answers questions from what an organization has published, and keeps each person's conversations.
package enum Assistant: Program {
    package typealias Settings = NoSettings
    package static let name = ServiceName.assistant
    package static let port = 8084
    package static let summary = "Answers questions from what the organization has published, with citations."

    package static func assemble(_ settings: NoSettings, _ house: Foundations) throws -> Assembly {
        assemble(house, providers: ChatProviders([RetrievalProvider(database: house.database)]))
    }

    /// The same with providers of the caller's choosing.
    static func assemble(_ house: Foundations, providers: ChatProviders) -> Assembly {
        let chat = ChatRoutes(database: house.database, providers: providers, now: house.now, logger: house.logger)
        let conversations = ConversationRoutes(database: house.database)
        return Assembly(
            endpoints: [chat.endpoints, conversations.endpoints],
            consumers: [Consumption("knowledge", LearnPublished(), LearnUpdated(), ForgetUnpublished(), ForgetDeleted())],
            owned: [OwnedObjects("conversations")])
    }
}
