package import Contracts
package import ServiceKit

/// Takes customers' events, counts what happens on the platform, and answers with figures over time.
package enum Analytics: Program {
    package static let name = ServiceName.analytics
    package static let port = 8085
    package static let summary = "Collects events and page views and answers with figures over time."

    package static func assemble(_ settings: AnalyticsSettings, _ house: Foundations) throws -> Assembly {
        Assembly(
            endpoints: [
                CollectionRoutes(database: house.database, keepsNetworks: settings.keepsNetworks).endpoints,
                OverviewRoutes(database: house.database).endpoints,
            ],
            consumers: [
                Consumption(
                    "facts",
                    CountFact(.registration) { (event: UserRegistered) in event.userID },
                    CountFact(.signIn) { (event: UserLoggedIn) in event.userID },
                    CountFact(.publication) { (event: ArticlePublished) in event.authorID },
                    CountFact(.upload) { (event: FileUploaded) in event.uploadedBy },
                    CountFact(.answer) { (event: MessageAnswered) in event.userID },
                    CountFact(.rating) { (_: FeedbackGiven) in nil },
                    CountFact(.notification) { (event: NotificationDelivered) in event.userID })
            ])
    }
}
