import Contracts
import DevStack
import Foundation
import Kafka
import Messaging
import Postgres
import Synchronization
import TestKit

/// A database of its own for one test of relays, with the service `alpha` in it, so that tests do not work on each other's outbox.
/// Topics are the test's own as well; the broker is shared.
struct RelayStage: Sendable {
    let bench: Bench
    let name: String
    let database: Database

    static func make() async throws -> RelayStage {
        let bench = try await Bench.shared.value
        let name = "relay_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        _ = try await Psql.rows("CREATE DATABASE \(name)", bench.postgres.url())
        try await Migrator(adminURL: bench.postgres.url(database: name), folder: bench.migrations).run(services: ["alpha"])
        return RelayStage(bench: bench, name: name)
    }

    init(bench: Bench, name: String) {
        self.bench = bench
        self.name = name
        database = Self.database(bench, name)
    }

    private static func database(_ bench: Bench, _ name: String, now: @escaping @Sendable () -> Date = { Date() }) -> Database {
        let url = bench.postgres.url(user: "alpha", password: "alpha", database: name)
        return Database(DatabaseConfiguration(url: url), service: Bench.alphaName, logger: quiet, now: now)
    }

    /// Connections of their own, as another process has them; with another clock if need be.
    func anotherDatabase(now: @escaping @Sendable () -> Date = { Date() }) -> Database { Self.database(bench, name, now: now) }

    var adminURL: String { bench.postgres.url(database: name) }

    /// Paces for tests: shards change hands quickly.
    static func limits(_ change: (inout OutboxRelay.Limits) -> Void = { _ in }) -> OutboxRelay.Limits {
        var limits = OutboxRelay.Limits()
        limits.lease = .seconds(2)
        limits.leaseRetry = .milliseconds(50)
        change(&limits)
        return limits
    }

    func relay(
        _ database: Database? = nil, _ producer: KafkaProducer? = nil, limits: OutboxRelay.Limits = RelayStage.limits()
    ) -> OutboxRelay {
        OutboxRelay(
            database: database ?? self.database, producer: producer ?? bench.producer, service: Bench.alphaName, limits: limits,
            logger: quiet)
    }

    func announce(_ events: [any Event], for tenant: TenantID, in database: Database? = nil) async throws {
        try await (database ?? self.database).transaction(as: .anonymous(in: tenant)) { tx in try Outbox(tx).append(events) }
    }

    /// How many events wait; of one tenant when it is given.
    func waiting(_ tenant: TenantID? = nil, again: Bool = false) async throws -> Int {
        try await database.platform(PlatformWork("tests")) { tx in
            let row = try tx.first(
                """
                SELECT count(*) AS count FROM outbox_waiting \
                WHERE again = \(again) AND (\(tenant)::uuid IS NULL OR tenant_id = \(tenant))
                """)
            return try row?("count") ?? 0
        }
    }

    func published<T: TestTopic>(_ type: Noted<T>.Type, on broker: BrokerProcess? = nil) async throws -> [Published] {
        let kafka = broker.map { Bench.kafka($0) } ?? bench.kafka
        return try await KafkaReader(kafka, logger: quiet).read(Noted<T>.topic.name).map { message in
            let event = try JSON.decode(Noted<T>.self, from: Data(message.value ?? []))
            return Published(
                id: message.text("ce_id") ?? "", tenant: message.text("ce_tenantid") ?? "", subject: event.subject, number: event.number)
        }
    }
}

/// What has come out at the broker, in the order of each partition.
struct Published: Hashable {
    let id: String
    let tenant: String
    let subject: String
    let number: Int

    /// The numbers of each key in the order of their first delivery: repetitions are allowed, a first time out of order is not.
    static func firsts(_ all: [Published]) -> [String: [Int]] {
        var seen: Set<String> = []
        var numbers: [String: [Int]] = [:]
        for one in all where seen.insert(one.id).inserted { numbers["\(one.tenant):\(one.subject)", default: []].append(one.number) }
        return numbers
    }
}

/// Opened once; those who wait go on then. For closures of transactions, which hold a thread of their own.
final class Gate: Sendable {
    private let isOpen = Mutex(false)
    func open() { isOpen.withLock { $0 = true } }

    func waitBlocking(atMost seconds: Double = 20) {
        let deadline = Date(timeIntervalSinceNow: seconds)
        while !isOpen.withLock({ $0 }), Date() < deadline { Thread.sleep(forTimeInterval: 0.005) }
    }
}
