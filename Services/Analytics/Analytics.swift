package import Contracts
package import ServiceKit

/// Takes customers' events, counts what happens on the platform, and answers with figures over time.
package enum Analytics: Program {
    package static let name = ServiceName.analytics
    package static let port = 8085
    package static let summary = "Collects events and page views and answers with figures over time."

    package static func assemble(_ settings: AnalyticsSettings, _ house: Foundations) throws -> Assembly {
        let database = house.database
        let collector = Collector(database: database, announces: settings.announces)
        let senders = SenderReader(
            privacy: settings.privacy, bots: settings.bots, locations: settings.locations, visitors: Visitors(database: database))
        let folds = Folds(database: database, bound: settings.bound)
        let engine = PostgresEngine(answers: Answers(folds: folds, exactRows: settings.exactRows))
        let realtime = RealtimeHub(database: database, now: house.now, logger: house.logger)
        return Assembly(
            endpoints: [
                CollectionRoutes(collector: collector, senders: senders).endpoints,
                BeaconRoutes(collector: collector, senders: senders, keys: house.apiKeys, verifier: house.verifier).endpoints,
                ObjectionRoutes(database: database).endpoints,
                ExportRoutes(database: database).endpoints,
                AnswerRoutes(engine: engine, realtime: realtime).endpoints,
            ],
            consumers: [
                PlatformFacts.consumption,
                Consumption("organizations", FollowNewOrganization(), FollowPlan(), FollowDeletion(), FollowReactivation()),
                Consumption("people", ForgetPerson(), WelcomePerson(), WelcomeMember()),
            ],
            workers: [
                RollupWorker(folds: folds, logger: house.logger),
                realtime,
                Upkeep(folds: folds, retention: settings.retention, now: house.now, logger: house.logger),
            ])
    }
}
