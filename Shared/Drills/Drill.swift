import Foundation

/// The drills by name. Each plays a fault under load and ends in a ledger.
package enum Drill: String, CaseIterable, Sendable {
    case calm
    case killProducer = "kill-producer"
    case killRelay = "kill-relay"
    case killConsumer = "kill-consumer"
    case brokerDown = "broker-down"
    case brokersOneByOne = "brokers-one-by-one"
    case leaderChanges = "leader-changes"
    case slowBroker = "slow-broker"
    case brokerEmpty = "broker-empty"
    case databaseRestart = "database-restart"
    case duplicates
    case poison
    case everything

    package var summary: String {
        switch self {
        case .calm: "no fault at all: what the others are to be compared with"
        case .killProducer: "kill -9 of the producing service, writing and relaying, at random moments"
        case .killRelay: "kill -9 of one of two relays that share the outbox, at random moments"
        case .killConsumer: "kill -9 of one of two consumers of a group, at random moments"
        case .brokerDown: "all brokers down for 30 s"
        case .brokersOneByOne: "three brokers, each down in turn, its partitions and the group moved to the others"
        case .leaderChanges: "three brokers, leaders and the group's coordinator moving for 30 s"
        case .slowBroker: "one broker, then all three, answering 400 ms late, and refusing records for want of replicas"
        case .brokerEmpty: "the brokers lose everything and come back empty; recovered from the outbox by republish"
        case .databaseRestart: "PostgreSQL killed with all connections, three times"
        case .duplicates: "a fifth of all records again, late and shuffled, and republished by the operator's command"
        case .poison: "one event in 25 that its consumer always refuses, and records that are no events"
        case .everything: "each of the faults once and short, in one run: the form for CI"
        }
    }

    /// Whether it breaks brokers, which only the local ones allow.
    package var needsLocalBroker: Bool {
        switch self {
        case .brokerDown, .brokersOneByOne, .leaderChanges, .slowBroker, .brokerEmpty, .everything: true
        default: false
        }
    }

    /// Of the topic, unless told otherwise: enough that the local broker, which drops what is beyond 5 MiB or 100,000 entries of a partition,
    /// drops nothing unread. Most waits in it while the consumer is killed again and again.
    package var partitions: Int { self == .killConsumer ? 128 : DrillSettings().partitions }

    var brokers: Int { 3 }
    /// One event of a key in so many is poisonous; 0 for none.
    var poisonEvery: Int {
        switch self {
        case .poison: 25
        case .everything: 10
        default: 0
        }
    }
    /// The local brokers do not check the sequences of an idempotent producer: where they refuse requests, a later one that they take would
    /// overtake, which a real cluster prevents. There the producer has one request under way at a time.
    var requestsInFlight: Int? { self == .slowBroker || self == .everything ? 1 : nil }
    /// Relaying in processes of its own.
    var hasOwnRelays: Bool { self == .killRelay }

    var sources: [String] { ["source"] }
    var relays: [String] { hasOwnRelays ? ["source-relay-a", "source-relay-b"] : [] }
    var sinks: [String] { ["sink-a", "sink-b"] }

    func play(_ stage: Stage, _ watch: Watch, _ settings: DrillSettings, since: Date) async throws {
        let processes = ProcessFaults(stage: stage, watch: watch, settings: settings, poisonEvery: poisonEvery)
        let brokers = BrokerFaults(stage: stage, settings: settings)
        let records = RecordFaults(stage: stage, watch: watch, settings: settings)
        switch self {
        case .calm: try await Task.sleep(for: settings.hold)
        case .killProducer: try await processes.kill(sources)
        case .killRelay: try await processes.kill(relays)
        case .killConsumer: try await processes.kill(sinks)
        case .brokerDown: try await brokers.allDown(for: settings.hold)
        case .brokersOneByOne: try await brokers.oneByOne(for: settings.hold / 3)
        case .leaderChanges: try await brokers.leaderChanges(for: settings.hold)
        case .slowBroker:
            try await brokers.slow(for: settings.hold)
            try await brokers.refusals(20)
        case .brokerEmpty: try await brokers.loseEverything(away: settings.hold / 6, since: since, programs: sources + sinks)
        case .databaseRestart: try await processes.restartDatabase(times: 3)
        case .duplicates: try await records.repeatShuffled(rounds: 5)
        case .poison:
            try await records.strangers(200)
            try await Task.sleep(for: settings.hold)
        case .everything: try await everything(processes, brokers, records, settings, since: since)
        }
    }

    private func everything(
        _ processes: ProcessFaults, _ brokers: BrokerFaults, _ records: RecordFaults, _ settings: DrillSettings, since: Date
    ) async throws {
        let short = min(settings.hold, .seconds(1))
        try await records.strangers(8)
        try await processes.kill(sources + sinks)
        try await records.repeatShuffled(rounds: 1)
        try await brokers.leaderChanges(for: short)
        try await brokers.refusals(3)
        try await brokers.slow(for: short)
        try await processes.restartDatabase(times: 1)
        try await brokers.allDown(for: short)
    }
}
