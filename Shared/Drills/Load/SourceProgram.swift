package import Contracts
import Foundation
package import Kafka
import Logging
import Messaging
import Postgres
import ServiceLifecycle
import Synchronization
import UnixSignals

/// The producing program: writes state and event in one transaction at a given rate, and relays its outbox as every service does.
/// One with a rate of 0 is a replica that only relays.
package struct SourceProgram: Sendable {
    package var databaseURL: String
    package var kafka: KafkaConfiguration
    /// Events a second, over all keys.
    package var rate: Double
    package var relays: Bool
    package var tenants: [TenantID]
    package var keysPerTenant: Int
    /// Each so many numbers of a key one that the consumer refuses; 0 for none.
    package var poisonEvery: Int64
    package var paddingBytes: Int
    /// How long after a relay has died another takes over.
    package var lease: Duration

    package init(
        databaseURL: String, kafka: KafkaConfiguration, rate: Double, relays: Bool, tenants: [TenantID], keysPerTenant: Int,
        poisonEvery: Int64, paddingBytes: Int, lease: Duration
    ) {
        self.databaseURL = databaseURL
        self.kafka = kafka
        self.rate = rate
        self.relays = relays
        self.tenants = tenants
        self.keysPerTenant = keysPerTenant
        self.poisonEvery = poisonEvery
        self.paddingBytes = paddingBytes
        self.lease = lease
    }

    /// Until SIGTERM. A line on standard input ends the writing, and the relaying goes on.
    package func run() async throws {
        let logger = Logger(label: "source") { StreamLogHandler.standardError(label: $0) }
        let database = Database(DatabaseConfiguration(url: databaseURL), service: DrillServices.source, logger: logger)
        let producer = try KafkaProducer(kafka, logger: logger)
        var services: [any Service] = [database, producer]
        if relays {
            var limits = OutboxRelay.Limits()
            limits.lease = lease
            limits.leaseRetry = min(limits.leaseRetry, lease / 4)
            services.append(
                OutboxRelay(database: database, producer: producer, service: DrillServices.source, limits: limits, logger: logger))
        }
        if rate > 0 { services.append(EntryWriter(program: self, database: database)) }
        try await ServiceGroup(services: services, gracefulShutdownSignals: [.sigterm], logger: logger).run()
    }
}

/// Writes at the rate, from several tasks; what the database refuses is not written, and is not made up for.
struct EntryWriter: Service {
    private static let writers = 16
    /// Entries of one transaction, all of one key.
    private static let entries: ClosedRange<Int64> = 1...3
    /// How far behind its pace a writer may be before it lets the difference go.
    private static let slack: Duration = .seconds(1)
    private static let pauseAfterFailure: Duration = .milliseconds(100)

    let program: SourceProgram
    let database: Database

    func run() async throws {
        let isQuiet = Quiet()
        Thread.detachNewThread {
            _ = readLine()
            isQuiet.set()
        }
        await withTaskGroup(of: Void.self) { tasks in
            for _ in 0..<Self.writers { tasks.addTask { await write(until: isQuiet) } }
            await tasks.waitForAll()
        }
        // The relay beside it goes on: the group ends when one of its services does.
        try? await gracefulShutdown()
    }

    private func write(until quiet: Quiet) async {
        let average = Double(Self.entries.lowerBound + Self.entries.upperBound) / 2
        let pace = Duration.seconds(average * Double(Self.writers) / program.rate)
        var next = ContinuousClock.now + pace * Double.random(in: 0...1)
        while !quiet.isSet, !Task.isCancelled, !Task.isShuttingDownGracefully {
            let now = ContinuousClock.now
            next = max(next, now - Self.slack)
            if next > now, (try? await Task.sleep(until: next)) == nil { return }
            next += pace
            guard let tenant = program.tenants.randomElement() else { return }
            let subject = "key-\(Int.random(in: 0..<program.keysPerTenant))"
            let count = Int64.random(in: Self.entries)
            let (poisonEvery, padding) = (program.poisonEvery, String(repeating: "x", count: program.paddingBytes))
            do {
                try await database.transaction(as: .service(DrillServices.source, for: tenant)) { tx in
                    let last = try CounterStore(tx: tx).advance(subject, by: count)
                    try Outbox(tx).append(
                        (last - count + 1...last).map { number in
                            let isPoison = poisonEvery > 0 && number % poisonEvery == 0
                            return EntryAdded(subject: subject, number: number, isPoison: isPoison, padding: padding)
                        })
                }
            } catch {
                // What was committed all the same is in the counters; nothing else is counted.
                try? await Task.sleep(for: Self.pauseAfterFailure)
            }
        }
    }

    private final class Quiet: Sendable {
        private let flag = Atomic<Bool>(false)
        var isSet: Bool { flag.load(ordering: .relaxed) }
        func set() { flag.store(true, ordering: .relaxed) }
    }
}
