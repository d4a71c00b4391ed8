import ArgumentParser
import Contracts
import Foundation
import Kafka
import Messaging
import Postgres

struct Republish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Publish again what a service announced since a point in time, as far as its outbox still keeps it.",
        discussion: """
            The events keep their ids: consumers that have handled one drop it. The service's own relay does the publishing.

            A topic or an organization of which the outbox keeps nothing, of whatever time, is named on standard error. When that is so of
            every topic, or of every organization, that was named, nothing can have been chosen, and the exit code is 66.
            """)

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var output: OutputOptions
    @Option(help: "From then on: a time as in RFC 3339, or how long ago: 90s, 15m, 2h, 3d.")
    var since: String
    @Option(help: "Up to then, exclusive.")
    var until: String?
    @Option(help: "Only this topic. May be given several times.")
    var topic: [String] = []
    @Option(help: "Only this organization. May be given several times.")
    var tenant: [String] = []

    struct Line: Encodable {
        let service: String
        let since: Date
        let events: Int
    }

    func run() async throws {
        guard let since = try pastTime(since) else { return }
        let tenants = try tenant.map { text in
            guard let tenant = TenantID(text) else { throw ValidationError("--tenant \(text): write the organization's id") }
            return tenant
        }
        let selection = Republication.Selection(since: since, until: try pastTime(until), topics: topic, tenants: tenants)
        let (count, absent) = try await database.withDatabase { database in
            let count = try await Republication.request(selection, in: database)
            return (count, try await Republication.absent(selection, in: database))
        }
        try output.print(
            Line(service: database.service, since: since, events: count), "\(count) events wait to be published again")
        for topic in absent.topics { warn("the outbox of \(database.service) keeps nothing of the topic \(topic)") }
        for tenant in absent.tenants { warn("the outbox of \(database.service) keeps nothing of the organization \(tenant)") }
        if !absent.topics.isEmpty && absent.topics.count == Set(topic).count
            || !absent.tenants.isEmpty && absent.tenants.count == Set(tenants).count
        {
            throw ExitCode(Trouble.missing)
        }
    }
}

struct StartOver: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a consumer handle everything from the oldest events on, as when a read model is rebuilt.",
        discussion:
            "Stop every replica of the service first: the brokers refuse it while the group has members. What its handlers wrote is to be cleared."
    )

    @OptionGroup var brokers: BrokerOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The consumer's name, the last part of its group trionex.<service>.<consumer>.")
    var consumer: String

    struct Line: Encodable {
        let group: String
        let forgotten: Int
        let topics: [String]
    }

    func run() async throws {
        let group = EventConsumer.group(service: ServiceName(rawValue: database.service), consumer: consumer)
        let reader = try brokers.reader
        let names = try await reader.topics(prefix: "trionex.").map(\.topic).filter { !$0.hasSuffix(".dlq") }
        let topics = Set(try await Groups.lag(of: group, topics: names, reader).map(\.place.topic)).sorted()
        guard !topics.isEmpty else { throw Trouble.notThere("\(group) has never committed: there is no such group, or it is new") }
        // The group first: it refuses while a replica still runs, and an inbox emptied under a running consumer would double effects.
        try await reader.rewind(group, topics: topics)
        let isSeen = isatty(STDERR_FILENO) == 1
        let forgotten: Int
        do {
            forgotten = try await database.withDatabase { database in
                try await StartingOver.forget(consumer: group, in: database) { count in
                    if isSeen { writeToError("\r\(count) handled events forgotten") }
                }
            }
        } catch {
            warn("not all handled events are forgotten: run this again before the service starts")
            throw error
        }
        if isSeen { writeToError("\n") }
        try output.print(
            Line(group: group, forgotten: forgotten, topics: topics),
            "\(group) begins anew: \(forgotten) handled events forgotten, \(topics.count) topics rewound")
    }
}
