import Contracts
import DevStack
import Foundation
import Kafka
import Logging
import Messaging
import Postgres
import Synchronization

/// What publishing from the outbox costs: events a second, how late an event is, and how much one organization's flood delays another's.
///
/// With a PostgreSQL and a broker of its own, each a process on this machine, and the content service's own migrations. PostgreSQL
/// writes its log to disk as in production.
struct RelayFigures {
    static let events = 50_000
    static let tenants = 50
    static let flood = 50_000
    static let idleEvents = 200

    var rounds = 3
    let row: (String, String) -> Void

    func measure() async throws {
        let bench = try await RelayBench.start()
        try await times(bench)
        try await rates(bench)
        await bench.stop()
    }

    private func rates(_ bench: RelayBench) async throws {
        for (tenants, relays) in [(Self.tenants, 1), (Self.tenants, 2), (1, 1)] {
            var rates: [Double] = []
            for _ in 0..<rounds { rates.append(try await bench.drained(Self.events, tenants: tenants, relays: relays)) }
            row(
                "\(Self.events / 1000)k events of 500 B published from the outbox, organizations: \(tenants), replicas: \(relays)",
                String(format: "%.1fk/s", Spread(rates).median / 1000))
        }
        let both = try await bench.sustained(for: .seconds(5))
        row("announced and published at once, 500 events a transaction, one replica", String(format: "%.1fk/s", both / 1000))
    }

    private func times(_ bench: RelayBench) async throws {
        let idle = try await bench.latencies(Self.idleEvents)
        row("from before the transaction to a consumer, idle, p50 / p99 of \(Self.idleEvents)", Self.times(idle))
        let shared = try await bench.latencies(Self.idleEvents, relays: 2)
        row("the same with another process that has half of the keys", Self.times(shared))
        let fair = try await bench.fairness(flood: Self.flood)
        row("one organization's events with nothing else, p50 / p99", Self.times(fair.alone))
        row(
            "the same while another's \(Self.flood / 1000)k are announced and published, in \(String(format: "%.1f s", fair.seconds))",
            Self.times(fair.flooded))
        row("the flood's delay, p50", String(format: "%.2f ×", Spread(fair.flooded).median / Spread(fair.alone).median))
    }

    private static func times(_ values: [Double]) -> String {
        let spread = Spread(values)
        return String(format: "%.1f ms / %.1f ms", spread.median, spread.quantile(0.99))
    }
}

/// The servers of the measurement.
private struct RelayBench {
    private static let service = ServiceName.content
    private let scratch: ScratchDirectory
    private let postgres: PostgresServer
    private let broker: BrokerProcess
    private let quiet: Logger

    static func start() async throws -> RelayBench {
        let scratch = try ScratchDirectory("trionex-relay-bench")
        AtExit.perform { scratch.remove() }
        let postgres = try await PostgresServer.start(in: scratch.path + "/postgres", port: try Ports.free(), durable: true)
        AtExit.perform { postgres.stopBlocking(abandoningData: true) }
        guard let executable = BuildFolder.program("trionex-broker") else { throw StackFailure("trionex-broker is not built") }
        let broker = try await BrokerProcess.start(
            executable: executable, port: try Ports.free(), topics: [BenchFact.topic.name], log: scratch.path + "/broker.log")
        AtExit.perform { broker.stopBlocking() }
        try await Migrator(adminURL: postgres.url(), folder: "migrations").run(services: [service.rawValue])
        return RelayBench(
            scratch: scratch, postgres: postgres, broker: broker, quiet: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() })
    }

    func stop() async {
        await broker.stop()
        await postgres.stop()
    }

    private func database() -> Database {
        Database(
            DatabaseConfiguration(url: postgres.url(user: Self.service.rawValue, password: Self.service.rawValue)), service: Self.service,
            logger: quiet)
    }

    private var kafka: KafkaConfiguration {
        var kafka = KafkaConfiguration(brokers: broker.brokers, clientID: "bench")
        // The local broker answers a fetch not before this time.
        kafka.fetchWait = .milliseconds(1)
        return kafka
    }

    /// Runs relays, each with connections and a producer of its own as in a process of its own.
    private func withRelays<T: Sendable>(_ count: Int, _ body: () async throws -> T) async throws -> T {
        var limits = OutboxRelay.Limits()
        limits.lease = .seconds(3)
        limits.leaseRetry = .milliseconds(200)
        var parts: [(Database, KafkaProducer, Task<Void, any Error>)] = []
        for _ in 0..<count {
            let (database, producer) = (database(), try KafkaProducer(kafka, logger: quiet))
            let relay = OutboxRelay(database: database, producer: producer, service: Self.service, limits: limits, logger: quiet)
            parts.append((database, producer, Task { try await relay.run() }))
        }
        let result: Result<T, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        for part in parts {
            part.2.cancel()
            _ = await part.2.result
            await part.1.shutdown()
            await part.0.shutdown()
        }
        return try result.get()
    }

    private func announce(_ events: [any Event], for tenant: TenantID, in database: Database) async throws {
        try await database.transaction(as: .service(Self.service, for: tenant)) { tx in try Outbox(tx).append(events) }
    }

    private func waiting(_ database: Database, _ tenant: TenantID? = nil) async throws -> Int {
        try await database.platform(PlatformWork("figures of the relay")) { tx in
            let row = try tx.first(
                "SELECT count(*) AS count FROM outbox_waiting WHERE \(tenant) IS NULL OR tenant_id = \(tenant)")
            return try row?("count") ?? 0
        }
    }

    private func fill(_ count: Int, tenants: [TenantID], in database: Database) async throws {
        let each = 500
        for start in stride(from: 0, to: count, by: each) {
            let tenant = tenants[(start / each) % tenants.count]
            try await announce((start..<start + each).map { Self.event($0) }, for: tenant, in: database)
        }
    }

    private static func event(_ number: Int) -> BenchFact { BenchFact(number: number) }

    // MARK: - Rates

    /// Events a second from a full outbox, from when the first are marked, with connections made and shards shared out, until the last is.
    func drained(_ count: Int, tenants: Int, relays: Int) async throws -> Double {
        let database = database()
        try await fill(count, tenants: (0..<tenants).map { _ in TenantID.make() }, in: database)
        let rate = try await withRelays(relays) {
            var left = count
            while left == count {
                try await Task.sleep(for: .milliseconds(20))
                left = try await waiting(database)
            }
            let clock = ContinuousClock.now
            try await drained(database)
            return Double(left) / ((ContinuousClock.now - clock) / .seconds(1))
        }
        await database.shutdown()
        return rate
    }

    /// Waits until nothing waits, by a question that costs nothing however much does.
    private func drained(_ database: Database) async throws {
        while true {
            let row = try await database.platform(PlatformWork("figures of the relay")) { tx in
                try tx.first("SELECT FROM outbox_waiting LIMIT 1")
            }
            if row == nil { return }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Events a second from the first announced to the last marked, both at once; in the end the outbox is empty again.
    func sustained(for time: Duration) async throws -> Double {
        let database = database()
        let tenants = (0..<RelayFigures.tenants).map { _ in TenantID.make() }
        let clock = ContinuousClock.now
        let count = try await withRelays(1) {
            var count = 0
            while ContinuousClock.now - clock < time {
                try await fill(500, tenants: [tenants[(count / 500) % tenants.count]], in: database)
                count += 500
            }
            try await drained(database)
            return count
        }
        await database.shutdown()
        return Double(count) / ((ContinuousClock.now - clock) / .seconds(1))
    }

    // MARK: - Times

    /// Milliseconds from before the transaction to a consumer, for events announced one after the other by this process.
    /// With two relays the other one is another process, which has half of the keys.
    func latencies(_ count: Int, relays: Int = 1) async throws -> [Double] {
        let database = database()
        let replica = relays > 1 ? try startReplica() : nil
        let times = try await withRelays(1) {
            if relays > 1 { try await shared(database, by: relays) }
            return try await withArrivals { arrivals in
                _ = try await probe(arrivals, .make(), database, count: 20)
                return try await probe(arrivals, .make(), database, count: count)
            }
        }
        await replica?.stop()
        await database.shutdown()
        return times
    }

    /// The times of one organization's events alone, and while another's flood is announced and published; and how long that took.
    func fairness(flood count: Int) async throws -> (alone: [Double], flooded: [Double], seconds: Double) {
        let (database, other) = (database(), self.database())
        let (mine, theirs) = (TenantID.make(), TenantID.make())
        let result = try await withRelays(1) {
            try await withArrivals { arrivals in
                _ = try await probe(arrivals, mine, database, count: 20)
                let alone = try await probe(arrivals, mine, database, count: RelayFigures.idleEvents)
                let clock = ContinuousClock.now
                let isOver = Mutex(false)
                async let flooding: Void = {
                    try await fill(count, tenants: [theirs], in: other)
                    while try await waiting(other, theirs) > 0 { try await Task.sleep(for: .milliseconds(20)) }
                    isOver.withLock { $0 = true }
                }()
                var flooded: [Double] = []
                while !isOver.withLock({ $0 }) { flooded += try await probe(arrivals, mine, database, count: 1) }
                try await flooding
                return (alone, flooded, (ContinuousClock.now - clock) / .seconds(1))
            }
        }
        await database.shutdown()
        await other.shutdown()
        return result
    }

    private func probe(_ arrivals: Arrivals, _ tenant: TenantID, _ database: Database, count: Int) async throws -> [Double] {
        var times: [Double] = []
        for _ in 0..<count {
            let start = ContinuousClock.now
            let fact = BenchFact(number: Int.random(in: 0..<Int.max))
            try await announce([fact], for: tenant, in: database)
            times.append((try await arrivals.wait(for: fact.number) - start) / .milliseconds(1))
            try await Task.sleep(for: .milliseconds(5))
        }
        return times
    }

    private func withArrivals<T: Sendable>(_ body: (Arrivals) async throws -> T) async throws -> T {
        let consumer = try KafkaConsumer(
            kafka, group: "bench-\(UUID())", topics: [BenchFact.topic.name], fromBeginning: false, logger: quiet)
        let arrivals = Arrivals()
        let reading = Task {
            while let messages = await consumer.next() {
                let now = ContinuousClock.now
                for message in messages {
                    // Only the probes' numbers are as large: a flood is not decoded.
                    guard let value = message.value, value.count < BenchFact.paddedSize else { continue }
                    arrivals.note(try JSON.decode(BenchFact.self, from: Data(value)).number, now)
                }
            }
        }
        while consumer.assigned.isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        try await Task.sleep(for: .milliseconds(500))
        let result: Result<T, any Error>
        do { result = .success(try await body(arrivals)) } catch { result = .failure(error) }
        await consumer.close()
        _ = await reading.result
        return try result.get()
    }

    // MARK: - The other replica

    private func startReplica() throws -> ManagedProcess {
        guard let executable = BuildFolder.program("trionex-bench") else { throw StackFailure("trionex-bench is not built") }
        var launch = ProcessLaunch(
            executable,
            ["--part", "relay-replica", "--database", postgres.url(user: "content", password: "content"), "--brokers", broker.brokers],
            log: scratch.path + "/replica.log")
        launch.signalOnParentDeath = .quit
        return try ManagedProcess.start(launch)
    }

    private func shared(_ database: Database, by relays: Int) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < deadline {
            let holders = try await database.platform(PlatformWork("figures of the relay")) { tx -> Int in
                try tx.first("SELECT count(DISTINCT holder) AS holders FROM outbox_shards")?("holders") ?? 0
            }
            // Each listens once it has seen the other.
            if holders == relays { return try await Task.sleep(for: .seconds(2)) }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw StackFailure("the relays do not share")
    }
}

/// A relay alone, until it is ended: the other replica of a measurement.
enum RelayReplica {
    static func run(database url: String, brokers: String) async throws {
        let quiet = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        let database = Database(DatabaseConfiguration(url: url), service: .content, logger: quiet)
        let producer = try KafkaProducer(KafkaConfiguration(brokers: brokers, clientID: "bench-replica"), logger: quiet)
        try await OutboxRelay(database: database, producer: producer, service: .content, logger: quiet).run()
    }
}

/// Some 500 bytes of JSON, of one of two hundred aggregates; a probe is small.
private struct BenchFact: Event {
    static let paddedSize = 300
    static var topic: Topic { Topic(name: "trionex.bench.events", owner: "content") }
    static var name: String { "bench.counted" }
    static var summary: String { "A number was counted." }
    static var example: BenchFact { BenchFact(number: 1) }
    let number: Int
    let text: String
    var aggregateID: String { "aggregate-\(number % 200)" }

    init(number: Int) {
        self.number = number
        text = number < 1_000_000 ? String(repeating: "abcdefghij", count: 47) : ""
    }
}

/// When which event has come, for one that waits for it.
private final class Arrivals: Sendable {
    private let seen = Mutex<[Int: ContinuousClock.Instant]>([:])

    func note(_ number: Int, _ time: ContinuousClock.Instant) { seen.withLock { $0[number] = $0[number] ?? time } }

    func wait(for number: Int) async throws -> ContinuousClock.Instant {
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            if let time = seen.withLock({ $0[number] }) { return time }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw StackFailure("an event did not arrive")
    }
}
