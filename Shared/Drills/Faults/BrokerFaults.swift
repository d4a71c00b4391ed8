import Contracts
import Foundation

/// Faults of the local brokers, through their control port. Brokers are numbered from 1.
struct BrokerFaults: Sendable {
    static let slowMilliseconds = 400
    private static let noticeTime: Duration = .milliseconds(500)

    let stage: Stage
    let settings: DrillSettings

    private var topics: [String] { [EntryAdded.topic.name, DrillServices.group + ".dlq"] }

    /// All brokers refuse everything for a time; they keep what they have.
    func allDown(for time: Duration) async throws {
        for broker in 1...stage.brokerCount { try await stage.tell("down \(broker)") }
        await stage.note("all brokers are down")
        try await Task.sleep(for: time)
        for broker in 1...stage.brokerCount { try await stage.tell("up \(broker)") }
        await stage.over("all brokers down for \(time.seconds) s")
        await stage.note("all brokers are up")
    }

    /// Each in turn is down; as a controller would, its partitions and the group get another leader and coordinator after a moment.
    func oneByOne(for time: Duration) async throws {
        for broker in 1...stage.brokerCount {
            try await stage.tell("down \(broker)")
            await stage.note("broker \(broker) is down")
            try await Task.sleep(for: Self.noticeTime)
            let others = (1...stage.brokerCount).filter { $0 != broker }
            for topic in topics {
                for partition in 0..<settings.partitions {
                    try await stage.tell("leader \(topic) \(partition) \(others[partition % others.count])")
                }
            }
            try await stage.tell("coordinator \(DrillServices.group) \(others[0])")
            await stage.over("broker \(broker) down, its partitions moved")
            try await Task.sleep(for: time)
            try await stage.tell("up \(broker)")
            await stage.note("broker \(broker) is up")
        }
    }

    /// Leaders and the group's coordinator move about all the time.
    func leaderChanges(for time: Duration) async throws {
        let end = ContinuousClock.now + time
        var changes = 0
        while ContinuousClock.now < end {
            let partition = Int.random(in: 0..<settings.partitions)
            try await stage.tell("leader \(EntryAdded.topic.name) \(partition) \(Int.random(in: 1...stage.brokerCount))")
            changes += 1
            if changes % 50 == 0 {
                try await stage.tell("coordinator \(DrillServices.group) \(Int.random(in: 1...stage.brokerCount))")
                await stage.note("\(changes) changes of leaders")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        await stage.over("\(changes) changes of leaders")
    }

    /// One broker, then all, answer late.
    func slow(for time: Duration) async throws {
        try await stage.tell("rtt 1 \(Self.slowMilliseconds)")
        await stage.note("broker 1 answers \(Self.slowMilliseconds) ms late")
        try await Task.sleep(for: time / 2)
        for broker in 1...stage.brokerCount { try await stage.tell("rtt \(broker) \(Self.slowMilliseconds)") }
        await stage.note("all brokers answer \(Self.slowMilliseconds) ms late")
        try await Task.sleep(for: time / 2)
        for broker in 1...stage.brokerCount { try await stage.tell("rtt \(broker) 0") }
        await stage.over("brokers \(Self.slowMilliseconds) ms slow for \(time.seconds) s")
    }

    /// Brokers refuse to take records, as when too few replicas are in sync.
    func refusals(_ count: Int) async throws {
        // API 0 is Produce, error 19 NOT_ENOUGH_REPLICAS (Kafka protocol guide).
        try await stage.tell("error 0 19 \(count)")
        await stage.over("\(count) requests refused: too few replicas in sync")
        await stage.note("\(count) requests are refused for want of replicas")
    }

    /// The brokers lose everything and come back empty. What the outboxes still keep is requested again while the brokers are away, so that
    /// the oldest comes first. Then the programs are started anew: the producer's client would first send what it holds, which is newer
    /// than what was lost, and the offsets that consumers remember mean nothing any more.
    func loseEverything(away: Duration, since: Date, programs: [String]) async throws {
        await stage.killBroker()
        await stage.note("the brokers are gone, with all they had")
        try await stage.run(
            "trionex-events",
            [
                "republish", "--service", DrillServices.source.rawValue, "--database-url", stage.databaseURL(DrillServices.source),
                "--since", Timestamp.text(since),
            ])
        await stage.note("everything since \(Timestamp.text(since)) is requested again")
        for program in programs { try await stage.killAndRestart(program) }
        try await Task.sleep(for: away)
        try await stage.startBroker()
        await stage.over("brokers empty, all republished")
        await stage.note("the brokers are back, empty")
    }
}
