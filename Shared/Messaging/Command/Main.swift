import ArgumentParser
import Contracts
import Foundation
import Kafka
import Logging
import Messaging
import Postgres

/// What an operator does with events: dead letters, publishing again, reading along, how far groups are.
@main
struct TrionexEvents: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-events", abstract: "Dead letters, replay, republication and lag of Trionex's events.",
        subcommands: [DeadLetters.self, Republish.self, StartOver.self, Tail.self, ShowLag.self])
}

/// Where Kafka is; the same settings as the services take.
struct BrokerOptions: ParsableArguments {
    @Option(help: "Kafka brokers, host:port, comma-separated. TRIONEX_KAFKA_BROKERS when absent.")
    var brokers: String?

    private static let environment = ProcessInfo.processInfo.environment

    var configuration: KafkaConfiguration {
        get throws {
            let named = brokers ?? Self.environment["TRIONEX_KAFKA_BROKERS"] ?? "127.0.0.1:9092"
            let properties = (Self.environment["TRIONEX_KAFKA_PROPERTIES"] ?? "").split(separator: ";").map { property in
                property.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            }
            guard properties.allSatisfy({ $0.count == 2 }) else {
                throw ValidationError("TRIONEX_KAFKA_PROPERTIES is name=value;name=value")
            }
            let extra = Dictionary(properties.map { ($0[0], $0[1]) }, uniquingKeysWith: { $1 })
            let configuration = KafkaConfiguration(brokers: named, clientID: "trionex-events", extra: extra)
            guard configuration.problems.isEmpty else { throw ValidationError(configuration.problems.joined(separator: "\n")) }
            return configuration
        }
    }
}

/// Where a service's own database is.
struct DatabaseOptions: ParsableArguments {
    @Option(help: "The service, such as content.")
    var service: String

    @Option(help: "Its database, as the service itself connects to it. TRIONEX_DATABASE_URL when absent.")
    var databaseUrl: String?

    func withDatabase<T>(_ body: (Database) async throws -> T) async throws -> T {
        guard let url = databaseUrl ?? ProcessInfo.processInfo.environment["TRIONEX_DATABASE_URL"] else {
            throw ValidationError("--database-url or TRIONEX_DATABASE_URL says where the service's database is")
        }
        let database = Database(DatabaseConfiguration(url: url), service: ServiceName(rawValue: service), logger: quiet)
        let result: Result<T, any Error>
        do {
            result = .success(try await body(database))
        } catch {
            result = .failure(error)
        }
        await database.shutdown()
        return try result.get()
    }
}

/// Warnings go to standard error, so that the output can be read by programs.
let quiet: Logger = {
    var logger = Logger(label: "trionex-events") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = .error
    return logger
}()

struct Republish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Publish again what a service announced since a point in time, as far as its outbox still keeps it.",
        discussion: "The events keep their ids: consumers that have handled one drop it. The service's own relay does the publishing.")

    @OptionGroup var database: DatabaseOptions
    @Option(help: "A time as in RFC 3339, or how long ago: 90s, 15m, 2h, 3d.")
    var since: String

    func run() async throws {
        guard let time = PastTime.parse(since, now: Date()) else { throw ValidationError("--since: \(since) is no time and no span") }
        let count = try await database.withDatabase { try await Republication.request(since: time, in: $0) }
        print("\(count) events wait to be published again")
    }
}

struct StartOver: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a consumer handle everything from the oldest events on, as when a read model is rebuilt.",
        discussion:
            "Stop every replica of the service first: the brokers refuse it while the group has members. What its handlers wrote is theirs to clear."
    )

    @OptionGroup var brokers: BrokerOptions
    @OptionGroup var database: DatabaseOptions
    @Argument(help: "The consumer's name, the last part of its group trionex.<service>.<consumer>.")
    var consumer: String

    func run() async throws {
        let group = EventConsumer.group(service: ServiceName(rawValue: database.service), consumer: consumer)
        let reader = KafkaReader(try brokers.configuration, logger: quiet)
        let topics = try await reader.lag(of: group, topics: Topic.all.map(\.name)).filter { $0.committed != nil }.map(\.place.topic)
        // The group first: it refuses while a replica still runs, and an inbox emptied under a running consumer would double effects.
        try await reader.rewind(group, topics: Array(Set(topics)))
        let forgotten = try await database.withDatabase { try await StartingOver.forget(consumer: group, in: $0) }
        print("\(group) begins anew: \(forgotten) handled events forgotten, \(Set(topics).count) topics rewound")
    }
}

struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print events of a topic as they come, one JSON object a line.")

    @OptionGroup var brokers: BrokerOptions
    @Argument(help: "The topic, such as trionex.content.events.")
    var topic: String
    @Flag(help: "Begin with the oldest event instead of the next.")
    var fromBeginning = false

    func run() async throws {
        let group = "trionex-events-\(UUID().uuidString.lowercased())"
        let consumer = try KafkaConsumer(
            try brokers.configuration, group: group, topics: [topic], fromBeginning: fromBeginning, logger: quiet)
        while let messages = await consumer.next() {
            let lines = try messages.map { try MessageLine($0).json + "\n" }.joined()
            // Not print: in a pipe that would wait for a full buffer.
            FileHandle.standardOutput.write(Data(lines.utf8))
        }
    }
}

struct ShowLag: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lag", abstract: "Print how many events a consumer group has not handled yet, by partition.")

    @OptionGroup var brokers: BrokerOptions
    @Argument(help: "The group, such as trionex.search.index.")
    var group: String
    @Argument(help: "Topics; all of the platform's when absent.")
    var topics: [String] = []

    func run() async throws {
        let wanted = topics.isEmpty ? Topic.all.map(\.name) : topics
        let lags = try await KafkaReader(try brokers.configuration, logger: quiet).lag(of: group, topics: wanted)
        for lag in lags where !topics.isEmpty || lag.committed != nil {
            print("\(lag.place) committed \(lag.committed.map { "\($0)" } ?? "never") end \(lag.end) behind \(lag.records)")
        }
    }
}

/// `2026-11-21T05:28:02Z`, or a span before now: `90s`, `15m`, `2h`, `3d`.
enum PastTime {
    static func parse(_ text: String, now: Date) -> Date? {
        if let time = Timestamp.date(text) { return time }
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let amount = Double(text.dropLast()), amount >= 0 else { return nil }
        return now.addingTimeInterval(-amount * unit)
    }
}

/// A message for people and programs to read.
struct MessageLine: Encodable {
    let topic: String
    let partition: Int32
    let offset: Int64
    let key: String?
    let headers: [String: String]
    /// As JSON when it is that, as text otherwise.
    let value: JSONValue

    init(_ message: KafkaMessage) {
        topic = message.topic
        partition = message.partition
        offset = message.offset
        key = message.key.map { String(decoding: $0, as: UTF8.self) }
        headers = Dictionary(message.headers.map { ($0.name, String(decoding: $0.value, as: UTF8.self)) }, uniquingKeysWith: { $1 })
        let bytes = message.value ?? []
        value = (try? JSON.decode(JSONValue.self, from: Data(bytes))) ?? .string(String(decoding: bytes, as: UTF8.self))
    }

    var json: String { get throws { String(decoding: try JSON.encode(self), as: UTF8.self) } }
}
