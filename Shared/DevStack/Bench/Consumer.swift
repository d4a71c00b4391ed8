import Contracts
import DevStack
import Foundation
import Kafka
import Logging
import Messaging
import Postgres
import Synchronization

/// What consuming costs: events a second with a handler that writes one row, and how much one organization's flood delays another's
/// event behind it in the same partition.
///
/// With a PostgreSQL and a broker of its own, each a process on this machine. PostgreSQL writes its log to disk as in production.
struct ConsumerFigures {
    static let events = 30_000
    static let flood = 10_000
    static let lonely = 60

    let row: (String, String) -> Void

    func measure() async throws {
        let bench = try await ConsumerBench.start()
        var before = EventConsumer.Limits()
        before.together = 1
        before.workers = 8
        before.workersOfOne = 8
        let usual = EventConsumer.Limits()
        // One transaction for each event is slow: fewer of them say as much.
        let few = Self.events / 10
        let cases: [(what: String, count: Int, tenants: Int, limits: EventConsumer.Limits, isBatch: Bool)] = [
            ("50 organizations, a row each", Self.events, 50, usual, false), ("one organization, a row each", Self.events, 1, usual, false),
            ("50 organizations, rows by a batch handler", Self.events, 50, usual, true),
            ("a transaction for each event, 8 side by side", few, 50, before, false),
            ("every event another organization's", few, few, usual, false),
        ]
        for (what, count, tenants, limits, isBatch) in cases {
            var rates: [Double] = []
            for _ in 0..<3 { rates.append(try await bench.rate(count, tenants: tenants, limits: limits, isBatch: isBatch)) }
            row("events consumed, \(what), median of 3", String(format: "%.1fk/s", rates.sorted()[1] / 1000))
        }
        let idle = try await bench.delays(Self.lonely, behind: 0)
        let flooded = try await bench.delays(Self.lonely, behind: Self.flood)
        row("published to handled, idle, p50 / p95 of \(Self.lonely)", Self.times(idle))
        row(
            "the same while \(Self.flood / 1000)k of another organization wait in the same partition, p50 / p95 of \(flooded.count)",
            Self.times(flooded))
        row("delay by the flood, p50", String(format: "%.2f ×", Spread(flooded).median / Spread(idle).median))
        await bench.stop()
    }

    private static func times(_ values: [Double]) -> String {
        let spread = Spread(values)
        return String(format: "%.1f ms / %.1f ms", spread.median, spread.quantile(0.95))
    }
}

/// The servers of the measurement, and a table for the handler.
private struct ConsumerBench {
    private static let service = ServiceName.search
    private static let partitions = 16
    private let postgres: PostgresServer
    private let broker: BrokerProcess
    private let database: Database
    private let quiet: Logger

    static func start() async throws -> ConsumerBench {
        let scratch = try ScratchDirectory("trionex-consumer-bench")
        AtExit.perform { scratch.remove() }
        let postgres = try await PostgresServer.start(in: scratch.path + "/postgres", port: try Ports.free(), durable: true)
        AtExit.perform { postgres.stopBlocking(abandoningData: true) }
        guard let executable = BuildFolder.program("trionex-broker") else { throw StackFailure("trionex-broker is not built") }
        // Many partitions: the local broker keeps 5 MiB of each.
        let broker = try await BrokerProcess.start(
            executable: executable, port: try Ports.free(), topics: [], partitions: partitions, log: scratch.path + "/broker.log")
        AtExit.perform { broker.stopBlocking() }
        try await Migrator(adminURL: postgres.url(), folder: try migrations(in: scratch.path + "/migrations")).run(services: [
            service.rawValue
        ])
        let quiet = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        let url = postgres.url(user: service.rawValue, password: service.rawValue)
        return ConsumerBench(
            postgres: postgres, broker: broker, database: Database(DatabaseConfiguration(url: url), service: service, logger: quiet),
            quiet: quiet)
    }

    /// The inbox as every service has it, and a table for what the handler writes.
    private static func migrations(in folder: String) throws -> String {
        let files = FileManager.default
        for name in ["_shared", service.rawValue] {
            try files.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
        }
        try files.copyItem(atPath: "migrations/_shared/messaging.sql", toPath: "\(folder)/_shared/messaging.sql")
        let effects = """
            -- include: _shared/messaging.sql
            CREATE TABLE effects (tenant_id uuid NOT NULL, event_id uuid NOT NULL, number bigint NOT NULL, PRIMARY KEY (tenant_id, event_id));
            ALTER TABLE effects ENABLE ROW LEVEL SECURITY;
            ALTER TABLE effects FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant ON effects USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
            GRANT SELECT, INSERT ON effects TO {service};
            """
        try effects.write(toFile: "\(folder)/\(service)/0001_tables.sql", atomically: true, encoding: .utf8)
        return folder
    }

    func stop() async {
        await database.shutdown()
        await broker.stop()
        await postgres.stop()
    }

    private var kafka: KafkaConfiguration { KafkaConfiguration(brokers: broker.brokers, clientID: "bench") }

    private func record(_ number: Int, for tenant: TenantID, partition: Int32? = nil) throws -> KafkaRecord {
        let event = ConsumedFact(number: number)
        let envelope = EventEnvelope(
            id: .make(), source: "/services/bench", type: ConsumedFact.type, subject: event.aggregateID, time: Date(), tenant: tenant,
            actor: nil,
            traceparent: nil)
        var record = CloudEvent.record(topic: ConsumedFact.topic.name, envelope: envelope, payload: Array(try JSON.encode(event)))
        record.partition = partition
        return record
    }

    private func consumer(_ producer: KafkaProducer, _ book: ArrivalBook, limits: EventConsumer.Limits, isBatch: Bool) -> EventConsumer {
        EventConsumer(
            name: "bench-\(UUID().uuidString.lowercased())", service: Self.service,
            handlers: [isBatch ? WriteRows(book: book) as any EventHandler : WriteRow(book: book)], database: database, kafka: kafka,
            producer: producer, limits: limits, logger: quiet)
    }

    private func with<T>(
        _ limits: EventConsumer.Limits, isBatch: Bool = false, _ book: ArrivalBook, _ body: (KafkaProducer) async throws -> T
    ) async throws -> T {
        let producer = try KafkaProducer(kafka, logger: quiet)
        let consumer = consumer(producer, book, limits: limits, isBatch: isBatch)
        let running = Task { try await consumer.run() }
        let result: Result<T, any Error>
        do { result = .success(try await body(producer)) } catch { result = .failure(error) }
        running.cancel()
        _ = await running.result
        await producer.shutdown()
        return try result.get()
    }

    /// Events that lie there already, by the time between the first and the last commit.
    func rate(_ count: Int, tenants: Int, limits: EventConsumer.Limits, isBatch: Bool) async throws -> Double {
        ConsumedFact.round.withLock { $0 += 1 }
        let ids = (0..<tenants).map { _ in TenantID.make() }
        let book = ArrivalBook()
        let producer = try KafkaProducer(kafka, logger: quiet)
        let records = try (0..<count).map { try record($0, for: ids[$0 % tenants]) }
        for start in stride(from: 0, to: count, by: 5_000) {
            let failed = await producer.send(Array(records[start..<min(start + 5_000, count)])).contains { (try? $0.get()) == nil }
            if failed { throw StackFailure("the local broker did not take the events") }
        }
        await producer.shutdown()
        book.expect(Set(ids), count)
        return try await with(limits, isBatch: isBatch, book) { _ in
            let deadline = ContinuousClock.now + .seconds(120)
            while !book.isDone {
                guard ContinuousClock.now < deadline else { throw StackFailure("\(book.count) of \(count) events were consumed") }
                try await Task.sleep(for: .milliseconds(5))
            }
            return book.perSecond
        }
    }

    /// Milliseconds from before an event is published until its transaction has committed, one after the other in partition 0; with a
    /// flood of another organization before them in the same partition, renewed when it has been handled.
    func delays(_ count: Int, behind flood: Int) async throws -> [Double] {
        ConsumedFact.round.withLock { $0 += 1 }
        let (loud, lonely) = (TenantID.make(), TenantID.make())
        let book = ArrivalBook()
        book.expect([lonely], .max)
        return try await with(EventConsumer.Limits(), book) { producer in
            // The group has joined once something arrives.
            _ = try await delay(of: lonely, producer, book)
            var delays: [Double] = []
            var sent = 0
            for number in 0..<count {
                // No sooner than the last flood has been handled, so that never more than one waits.
                if flood > 0, book.others(loud) >= sent {
                    let before = book.others(loud)
                    let records = try (0..<flood).map { try record($0, for: loud, partition: 0) }
                    _ = await producer.send(records)
                    sent = before + flood
                }
                delays.append(try await delay(of: lonely, producer, book))
                if flood == 0 || number % 2 == 0 { try await Task.sleep(for: .milliseconds(20)) }
            }
            return delays
        }
    }

    private func delay(of tenant: TenantID, _ producer: KafkaProducer, _ book: ArrivalBook) async throws -> Double {
        let before = book.count
        let start = ContinuousClock.now
        _ = try await producer.send(try record(1, for: tenant, partition: 0))
        while book.count == before {
            guard ContinuousClock.now - start < .seconds(60) else { throw StackFailure("an event was not handled within a minute") }
            try await Task.sleep(for: .milliseconds(1))
        }
        return (book.last(of: tenant) - start) / .milliseconds(1)
    }
}

private struct ConsumedFact: Event {
    /// Each measurement has a topic of its own, so that it reads nothing of another.
    static let round = Mutex(0)
    static var topic: Topic { Topic(name: "trionex.bench.consumed-\(round.withLock { $0 })", owner: "bench") }
    static var name: String { "bench.counted" }
    static var summary: String { "A number was counted." }
    static var example: ConsumedFact { ConsumedFact(number: 1) }
    let number: Int
    let text: String
    var aggregateID: String { "aggregate-\(number % 5_000)" }

    init(number: Int) {
        self.number = number
        text = String(repeating: "abcdefghij", count: 20)
    }
}

private struct WriteRow: EventHandler {
    let book: ArrivalBook

    func handle(_ event: ConsumedFact, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try tx.execute("INSERT INTO effects (tenant_id, event_id, number) VALUES (\(envelope.tenant), \(envelope.id), \(event.number))")
        let (book, tenant) = (book, envelope.tenant)
        tx.afterCommit { book.add(1, of: tenant) }
    }
}

private struct WriteRows: EventBatchHandler {
    typealias Payload = ConsumedFact

    let book: ArrivalBook

    func handle(_ events: [(event: ConsumedFact, envelope: EventEnvelope)], in tx: Transaction) throws {
        try tx.insert(
            into: "effects", columns: ["tenant_id", "event_id", "number"],
            rows: events.map { [$0.envelope.tenant, $0.envelope.id, $0.event.number] })
        let (book, count, tenant) = (book, events.count, tx.caller.tenant)
        tx.afterCommit { book.add(count, of: tenant) }
    }
}

/// When which organization's events were handled.
private final class ArrivalBook: Sendable {
    private struct State {
        var expected: Set<TenantID> = []
        var total = Int.max
        var count = 0
        var first: ContinuousClock.Instant?
        var last = ContinuousClock.now
        var times: [TenantID: ContinuousClock.Instant] = [:]
        var counts: [TenantID: Int] = [:]
    }
    private let state = Mutex(State())

    func expect(_ tenants: Set<TenantID>, _ total: Int) {
        state.withLock { state in
            state.expected = tenants
            state.total = total
        }
    }

    func add(_ count: Int, of tenant: TenantID) {
        let now = ContinuousClock.now
        state.withLock { state in
            state.counts[tenant, default: 0] += count
            guard state.expected.contains(tenant) else { return }
            state.count += count
            state.first = state.first ?? now
            state.last = now
            state.times[tenant] = now
        }
    }

    var count: Int { state.withLock { $0.count } }
    var isDone: Bool { state.withLock { $0.count >= $0.total } }
    func others(_ tenant: TenantID) -> Int { state.withLock { $0.counts[tenant] ?? 0 } }
    func last(of tenant: TenantID) -> ContinuousClock.Instant { state.withLock { $0.times[tenant] ?? $0.last } }
    var perSecond: Double {
        state.withLock { state in Double(state.count) / ((state.last - (state.first ?? state.last)) / .seconds(1)) }
    }
}
