import ArgumentParser
import Contracts
import Drills
import Foundation
import Kafka

@main
struct TrionexDrill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-drill",
        abstract: "Breaks the event backbone on purpose, under load, and accounts for every event.",
        discussion: """
            Each drill starts a PostgreSQL and brokers of its own, a producing and two consuming programs as processes, plays its fault, \
            waits until everything has passed, and reads the ledger from both databases. It ends with 1 when the ledger does not balance.
            """,
        subcommands: [ListDrills.self, RunDrill.self, Source.self, Sink.self], defaultSubcommand: ListDrills.self)
}

struct ListDrills: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "The drills.")

    func run() {
        for drill in Drill.allCases { print("  " + drill.rawValue.padding(toLength: 20, withPad: " ", startingAt: 0) + drill.summary) }
    }
}

struct RunDrill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Play drills, one after the other.")

    @Argument(help: "Drills by name; when none is named, all but `everything` and, with --brokers, but those that break brokers.")
    var drills: [Drill] = []

    @Option(help: "Events a second.")
    var rate = DrillSettings().rate

    @Option(help: "Kills of a drill that kills.")
    var kills = DrillSettings().kills

    @Option(help: "Seconds, at most, between the recovery from a kill and the next.")
    var every = 1.0

    @Flag(help: "Kill again although the last kill is not recovered from.")
    var impatient = false

    @Option(help: "Seconds that a fault lasts which has a length.")
    var hold = 30.0

    @Option(help: "Organizations of the load.")
    var tenants = DrillSettings().tenants

    @Option(help: "Keys of each organization.")
    var keys = DrillSettings().keysPerTenant

    @Option(help: "Partitions of the topic; else as many as the drill needs.")
    var partitions: Int?

    @Option(help: "Seconds of silence after which a consumer is dead to its group.")
    var sessionTimeout = 3.0

    @Option(help: "Seconds of silence after which a relay is dead to its replicas.")
    var lease = 3.0

    @Option(help: "Brokers of a cluster to use instead of local ones, host:port, comma-separated; its topics must be there.")
    var brokers: String?

    @Option(help: "The product's migrations.")
    var migrations = "migrations"

    @Option(help: "A folder for the logs of all processes.")
    var logs: String?

    @Option(help: "Write the reports to this file as JSON.")
    var json: String?

    @Option(help: "Write the reports to this file as a table in Markdown.")
    var markdown: String?

    @Flag(help: "Say only the outcome.")
    var quiet = false

    func validate() throws {
        guard rate >= 1, rate <= 100_000 else { throw ValidationError("--rate: from 1 to 100000") }
        guard (1...1_000).contains(kills) else { throw ValidationError("--kills: from 1 to 1000") }
        guard (0.5...600).contains(hold), (0...60).contains(every) else { throw ValidationError("--hold: 0.5 to 600; --every: 0 to 60") }
        guard (1...10_000).contains(tenants), (1...10_000).contains(keys) else {
            throw ValidationError("--tenants, --keys: from 1 to 10000")
        }
        guard (1...300).contains(partitions ?? 1) else { throw ValidationError("--partitions: from 1 to 300") }
        guard (0.5...60).contains(sessionTimeout), (0.5...60).contains(lease) else {
            throw ValidationError("--session-timeout, --lease: 0.5 to 60")
        }
    }

    func run() async throws {
        var settings = DrillSettings()
        settings.rate = rate
        settings.kills = kills
        settings.every = .seconds(every)
        settings.isImpatient = impatient
        settings.hold = .seconds(hold)
        settings.tenants = tenants
        settings.keysPerTenant = keys
        settings.sessionTimeout = .seconds(sessionTimeout)
        settings.lease = .seconds(lease)
        settings.bootstrap = brokers
        settings.migrations = migrations
        settings.logs = logs
        if let logs { try FileManager.default.createDirectory(atPath: logs, withIntermediateDirectories: true) }
        var reports: [DrillReport] = []
        let isQuiet = quiet
        var hasFailed = false
        for drill in chosen {
            settings.partitions = partitions ?? drill.partitions
            do {
                let report = try await Exercise(drill, settings) { line in if !isQuiet { say(line) } }.run()
                say(report.table)
                reports.append(report)
                try write(reports)
            } catch let failure where !(failure is CancellationError) {
                // One that cannot be played to its end is no reason to leave out the others.
                say("\(drill.rawValue) FAILED: \(failure)")
                hasFailed = true
            }
        }
        guard !hasFailed, reports.allSatisfy(\.balances) else { throw ExitCode.failure }
    }

    /// Those that are named; else all that can be played on these brokers.
    private var chosen: [Drill] {
        guard drills.isEmpty else { return drills }
        return Drill.allCases.filter { $0 != .everything && (brokers == nil || !$0.needsLocalBroker) }
    }

    private func write(_ reports: [DrillReport]) throws {
        if let json { try JSON.encode(reports).write(to: URL(filePath: json)) }
        guard let markdown else { return }
        let lines = [DrillReport.markdownHead] + reports.map(\.markdownRow)
        try (lines.joined(separator: "\n") + "\n").write(toFile: markdown, atomically: true, encoding: .utf8)
    }
}

extension Drill: ExpressibleByArgument {}

private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

/// Where the programs of the load find their servers. They are started by `run`.
struct LoadOptions: ParsableArguments {
    @Option(help: "The database of this program.")
    var database: String

    @Option(help: "host:port, comma-separated.")
    var brokers: String

    func kafka(_ clientID: String) -> KafkaConfiguration { KafkaConfiguration(brokers: brokers, clientID: clientID) }
}

struct Source: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes state and events, and relays them, until SIGTERM. A line on its input ends the writing.", shouldDisplay: false)

    @OptionGroup var load: LoadOptions
    @Option(help: "Events a second; 0 only relays.") var rate: Double
    @Option(help: "Ids of organizations, comma-separated.") var tenants: String
    @Option(help: "Keys of each.") var keys: Int
    @Option(help: "One number in so many is refused by the consumer; 0 none.") var poisonEvery: Int64 = 0
    @Option(help: "Bytes added to each event.") var padding = 100
    @Option(help: "Seconds of the relay's lease.") var lease = 15.0
    @Flag(help: "Relay the outbox.") var relays = false
    @Option(help: "Requests under way to a broker at once.") var requestsInFlight: Int?

    func run() async throws {
        let tenants = tenants.split(separator: ",").compactMap { TenantID(String($0)) }
        guard !tenants.isEmpty, keys > 0 else { throw ValidationError("a load needs organizations and keys") }
        var kafka = load.kafka("drill-source")
        if let requestsInFlight { kafka.extra["max.in.flight.requests.per.connection"] = "\(requestsInFlight)" }
        try await SourceProgram(
            databaseURL: load.database, kafka: kafka, rate: rate, relays: relays, tenants: tenants,
            keysPerTenant: keys, poisonEvery: poisonEvery, paddingBytes: padding, lease: .seconds(lease)
        ).run()
    }
}

struct Sink: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Consumes and keeps effects, until SIGTERM.", shouldDisplay: false)

    @OptionGroup var load: LoadOptions
    @Option(help: "Seconds of silence after which it is dead to its group.") var sessionTimeout = 10.0

    func run() async throws {
        var kafka = load.kafka("drill-sink")
        kafka.sessionTimeout = .seconds(sessionTimeout)
        try await SinkProgram(databaseURL: load.database, kafka: kafka).run()
    }
}
