import Contracts
import Foundation
import Kafka
import Logging
import Messaging
import Postgres

/// Reads both databases and the dead letters, while a drill runs and at its end.
struct Watch: Sendable {
    struct Progress: Sendable {
        var produced: Int64
        var unsent: Int64
        var handled: Int64
    }

    private static let pollInterval: Duration = .milliseconds(100)
    private static let disordersTold = 5

    let stage: Stage
    let source: Database
    let sink: Database
    private let reader: KafkaReader

    init(_ stage: Stage) {
        self.stage = stage
        source = Database(DatabaseConfiguration(url: stage.databaseURL(DrillServices.source)), service: DrillServices.source, logger: quiet)
        sink = Database(DatabaseConfiguration(url: stage.databaseURL(DrillServices.sink)), service: DrillServices.sink, logger: quiet)
        reader = KafkaReader(stage.kafka, logger: quiet)
    }

    func shutdown() async {
        await source.shutdown()
        await sink.shutdown()
    }

    // MARK: - While it runs

    func progress() async throws -> Progress {
        let (produced, unsent) = try await source.platform(PlatformWork("drill ledger")) { tx in
            let store = ProducedStore(tx: tx)
            return (try store.produced(), try store.waiting().all)
        }
        let handled = try await sink.platform(PlatformWork("drill ledger")) { try HandledStore(tx: $0).handled() }
        return Progress(produced: produced, unsent: unsent, handled: handled)
    }

    /// Waits until all that had been produced at the call has had its effect; false when `limit` has passed. As order is kept, a key is there
    /// when its mark is. `poisonEvery` names the numbers that never get there.
    func caughtUp(within limit: Duration, poisonEvery: Int = 0) async throws -> Bool {
        let deadline = ContinuousClock.now + limit
        var missing: [EntryKey: Int64]?
        while ContinuousClock.now < deadline {
            try await stage.requireAlive()
            // The database may be what is away just now.
            if let goals = missing {
                if let marks = try? await sink.platform(PlatformWork("drill ledger"), { try HandledStore(tx: $0).marks() }) {
                    let left = goals.filter { marks[$0.key] ?? 0 < $0.value }
                    if left.isEmpty { return true }
                    missing = left
                }
            } else if let counters = try? await source.platform(PlatformWork("drill ledger"), { try ProducedStore(tx: $0).counters() }) {
                missing = counters.mapValues { poisonEvery > 0 && $0 % Int64(poisonEvery) == 0 ? $0 - 1 : $0 }
                continue
            }
            try await Task.sleep(for: Self.pollInterval)
        }
        return false
    }

    /// Waits until nothing is on its way any more. What is not in effect then, and not among the dead, is lost.
    func drained(within limit: Duration, stillFor: Duration = .seconds(2)) async throws {
        let deadline = ContinuousClock.now + limit
        var last: Int64 = -1
        var stillSince = ContinuousClock.now
        while ContinuousClock.now < deadline {
            try await Task.sleep(for: Self.pollInterval * 2)
            guard let now = try? await progress() else { continue }
            if now.unsent == 0, now.handled == now.produced { return }
            if now.handled != last { stillSince = .now }
            last = now.handled
            guard now.unsent == 0, ContinuousClock.now - stillSince > stillFor else { continue }
            let lag = try await reader.lag(of: DrillServices.group, topics: [EntryAdded.topic.name])
            if lag.allSatisfy({ $0.records == 0 }) { return }
        }
    }

    // MARK: - At the end

    func ledger(poisonEvery: Int) async throws -> Ledger {
        let (counters, announced, unsent) = try await source.platform(PlatformWork("drill ledger")) { tx in
            let store = ProducedStore(tx: tx)
            return (try store.counters(), try store.announced(), try store.waiting().first)
        }
        let effects = try await sink.platform(PlatformWork("drill ledger")) { try HandledStore(tx: $0).effects() }
        let (dead, buried) = try await deadLetters()
        let effectedDead = try await sink.platform(PlatformWork("drill ledger")) { tx in
            try Dictionary(uniqueKeysWithValues: dead.map { ($0, try HandledStore(tx: tx).effected($0, of: $1)) })
        }
        var ledger = Ledger(counters: counters, effects: effects, dead: dead, effectedDead: effectedDead, poisonEvery: Int64(poisonEvery))
        ledger.announced = announced
        ledger.published = announced - unsent
        ledger.records = try await reader.lag(of: DrillServices.group, topics: [EntryAdded.topic.name]).reduce(0) { $0 + $1.end }
        ledger.overtaken = try await overtakings()
        let disorders = try await sink.platform(PlatformWork("drill ledger")) {
            try HandledStore(tx: $0).disorders(atMost: Self.disordersTold)
        }
        for disorder in disorders { await stage.note(disorder) }
        let strangers = await stage.strangers
        ledger.strangers = Int64(strangers.count)
        ledger.strangersBuried = Int64(strangers.intersection(buried).count)
        return ledger
    }

    /// Nil for what is no event of the load.
    private static func entry(of message: KafkaMessage) -> (key: EntryKey, number: Int64, time: Date)? {
        guard let envelope = try? CloudEvent.envelope(of: message),
            let event = try? JSON.decode(EntryAdded.self, from: Data(message.value ?? []))
        else { return nil }
        return (EntryKey(tenant: envelope.tenant, subject: event.subject), event.number, envelope.time)
    }

    /// The numbers of the events among the dead letters by key, and the keys of what is no event.
    private func deadLetters() async throws -> (dead: [EntryKey: Set<Int64>], others: Set<String>) {
        var dead: [EntryKey: Set<Int64>] = [:]
        var others: Set<String> = []
        for message in try await reader.read(DeadLetter.topic(of: DrillServices.group)) {
            guard let entry = Self.entry(of: message) else {
                others.insert(String(decoding: message.key ?? [], as: UTF8.self))
                continue
            }
            dead[entry.key, default: []].insert(entry.number)
        }
        return (dead, others)
    }

    /// How many events came into the topic after one with a higher number of their key, the first time they came; the first few are told.
    private func overtakings() async throws -> Int64 {
        var highest: [EntryKey: (number: Int64, message: KafkaMessage)] = [:]
        var seen: [EntryKey: Set<Int64>] = [:]
        var count: Int64 = 0
        for message in try await published().sorted(by: { ($0.place.partition, $0.offset) < ($1.place.partition, $1.offset) }) {
            guard let (key, number, time) = Self.entry(of: message) else { continue }
            guard seen[key, default: []].insert(number).inserted else { continue }
            guard let before = highest[key], before.number > number else {
                highest[key] = (number, message)
                continue
            }
            count += 1
            guard count <= Self.disordersTold else { continue }
            await stage.note(
                """
                \(key.subject) number \(number), of \(Timestamp.text(time)), is at \(message.place.partition):\(message.offset) of \
                \(message.timestamp.map(Timestamp.text) ?? "no time"), behind \(before.number) at \(before.message.offset) of \
                \(before.message.timestamp.map(Timestamp.text) ?? "no time")
                """)
        }
        return count
    }

    func recoveries() async throws -> [(what: String, seconds: Double)] {
        var recoveries: [(what: String, seconds: Double)] = []
        for fault in await stage.faults {
            let seconds = try await sink.platform(PlatformWork("drill ledger")) { try HandledStore(tx: $0).caughtUp(after: fault.over) }
            recoveries.append((fault.what, seconds))
        }
        return recoveries
    }

    func delays() async throws -> [Double] {
        try await sink.platform(PlatformWork("drill ledger")) { try HandledStore(tx: $0).delays() }
    }

    /// All records of the topic, for those who want to send them again.
    func published() async throws -> [KafkaMessage] { try await reader.read(EntryAdded.topic.name) }
}

/// What servers that are away make clients complain about is no news in a drill.
let quiet = Logger(label: "drill") { _ in SwiftLogNoOpLogHandler() }
