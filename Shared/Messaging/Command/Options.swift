import ArgumentParser
import Contracts
import Foundation
import Kafka
import Logging
import Messaging
import Postgres

/// Where Kafka is; the same settings as the services take.
struct BrokerOptions: ParsableArguments {
    @Option(help: "Kafka brokers, host:port, comma-separated. TRIONEX_KAFKA_BROKERS when absent.")
    var brokers: String?

    var configuration: KafkaConfiguration {
        get throws {
            let settings = KafkaSettings(clientID: "trionex-events", environment: ProcessInfo.processInfo.environment, brokers: brokers)
            guard settings.problems.isEmpty else { throw ValidationError(settings.problems.joined(separator: "\n")) }
            return settings.configuration
        }
    }

    var reader: KafkaReader { get throws { KafkaReader(try configuration, logger: quiet) } }

    /// Throws when there is no such topic.
    func partitions(of topic: String) async throws -> [TopicPartition] {
        let partitions = try await reader.partitions(of: topic)
        guard !partitions.isEmpty else { throw Trouble.notThere("there is no topic \(topic); `trionex-events topics` lists them") }
        return partitions
    }
}

/// How results are printed.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON, one object a line.")
    var json = false

    /// One result: as JSON, or as the line for people.
    func print(_ value: some Encodable, _ line: String) throws {
        write(json ? String(decoding: try JSON.encode(value), as: UTF8.self) : line)
    }

    /// A sentence for people alone.
    func say(_ line: String) {
        if !json { write(line) }
    }
}

/// Not `print`: in a pipe that would wait for a full buffer.
func write(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

/// Which messages.
struct FilterOptions: ParsableArguments {
    @Option(help: "Only this type: whole, its end, or with stars (article.published, article.*). May be given several times.")
    var type: [String] = []
    @Option(help: "Only this organization.")
    var tenant: String?
    @Option(help: "Only this key: <tenant>:<aggregate>, or the aggregate's id alone.")
    var key: String?
    @Option(help: "Only the event with this id.")
    var id: String?
    @Option(help: "Only where a field of the payload has this value: name=value, or outer/inner=value. May be given several times.")
    var field: [String] = []

    func filter() throws -> EventFilter {
        var filter = EventFilter()
        filter.types = type
        filter.tenant = tenant
        filter.key = key
        filter.id = id
        filter.fields = try field.map { text in
            guard let field = EventFilter.Field(text) else { throw ValidationError("--field \(text): write name=value") }
            return field
        }
        return filter
    }
}

/// Where a service's own database is.
struct DatabaseOptions: ParsableArguments {
    @Option(help: "The service, such as content.")
    var service: String

    @Option(
        help: "Its database, as the service itself connects to it, under its own role. TRIONEX_DATABASE_URL when absent.")
    var databaseUrl: String?

    func withDatabase<T>(_ body: (Database) async throws -> T) async throws -> T {
        guard let url = databaseUrl ?? ProcessInfo.processInfo.environment["TRIONEX_DATABASE_URL"] else {
            throw ValidationError("--database-url or TRIONEX_DATABASE_URL says where the service's database is")
        }
        guard DatabaseConfiguration.isReadable(url) else {
            throw ValidationError(
                "write the address as postgres://role:password@host:port/database, with @ : / ? # % of the password encoded")
        }
        let database = Database(DatabaseConfiguration(url: url), service: ServiceName(rawValue: service), logger: quiet)
        let result: Result<T, any Error>
        do {
            try await check(database)
            result = .success(try await body(database))
        } catch {
            result = .failure(error)
        }
        await database.shutdown()
        return try result.get()
    }

    /// The database may be another's, or the role: better said than answered with what PostgreSQL says to that.
    private func check(_ database: Database) async throws {
        let owners = try await OutboxOwner.all(in: database, as: ServiceName(rawValue: service))
        guard let owner = owners.first(where: { $0.service == service }) else {
            let names = owners.map(\.service).joined(separator: ", ")
            throw Trouble.notThere(
                "no service \(service) announces events in this database; those that do: \(names.isEmpty ? "none" : names)")
        }
        guard owner.isOpen else {
            throw Trouble(
                description: "the address is another service's: connect as \(service) itself does, under its own role",
                code: Trouble.refused)
        }
    }
}

/// `90s`, `15m`, `2h`, `3d` or a time; nil when the option is absent.
func pastTime(_ text: String?) throws -> Date? {
    guard let text else { return nil }
    guard let time = PastTime.parse(text, now: Date()) else {
        throw ValidationError("\(text): write a time as in RFC 3339, or how long ago: 90s, 15m, 2h, 3d")
    }
    return time
}

/// Complaints go to standard error, so that the output can be read by programs.
let quiet: Logger = {
    var logger = Logger(label: "trionex-events") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = .error
    return logger
}()
