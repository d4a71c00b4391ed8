package import Contracts
import Foundation
package import Kafka
package import Logging
package import Postgres
import ServiceLifecycle
import Synchronization

/// Publishes a service's outbox in the order of each key, and marks what the brokers have.
///
/// Of several replicas one works, by a lease in the database; no transaction is open while the brokers are waited for. Should two
/// work for a moment (a lease that ran out in a long pause), events are published twice, and the first time still in order: a stale
/// relay only repeats what the new one has read as unsent. Inboxes drop repetitions.
package final class OutboxRelay: Service, Sendable {
    /// The limits and paces of a relay.
    package struct Limits: Sendable {
        /// Events published together.
        package var batch = 1_000
        package var batchBytes = 8_388_608
        /// How long a commit of another replica can go unnoticed.
        package var poll: Duration = .milliseconds(250)
        /// How long after a relay has died another takes over.
        package var lease: Duration = .seconds(15)
        /// How often a relay without the lease asks for it.
        package var leaseRetry: Duration = .seconds(1)
        /// How long a shutdown publishes what is still there.
        package var drain: Duration = .seconds(5)
        /// How long published events are kept for publishing them again.
        package var retention: Duration = .seconds(7 * 86_400)
        /// How long handled events are remembered. Longer than topics keep them, so that a replay finds them handled.
        package var inboxRetention: Duration = .seconds(30 * 86_400)
        package var pruneInterval: Duration = .seconds(60)
        package var pruneBatch = 1_000
        package var metricsInterval: Duration = .seconds(5)
        package init() {}
    }

    private struct State {
        /// By this process's clock, counted from before the lease was asked for.
        var leasedUntil: ContinuousClock.Instant?
        var pruneAt = ContinuousClock.now
    }

    private enum Round {
        case published
        case idle
        case notOurs
    }

    private let database: Database
    private let producer: KafkaProducer
    private let service: ServiceName
    private let limits: Limits
    private let logger: Logger
    private let holder = UUID()
    private let signal = WakeSignal()
    private let backoff = Backoff(first: .milliseconds(100), most: .seconds(5))
    private let state = Mutex(State())

    package init(database: Database, producer: KafkaProducer, service: ServiceName, limits: Limits = Limits(), logger: Logger) {
        self.database = database
        self.producer = producer
        self.service = service
        self.limits = limits
        self.logger = logger
    }

    /// There may be something to publish.
    package func wake() { signal.wake() }

    /// Until the program shuts down; then publishes what is there, for `drain` at most.
    package func run() async throws {
        RelaySignals.add(signal)
        defer { RelaySignals.remove(signal) }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.publishUntilShutdown() }
            group.addTask { await self.measureUntilShutdown() }
            group.addTask {
                try? await gracefulShutdown()
                self.signal.wake()
                try? await Task.sleep(for: self.limits.drain)
            }
            // The measuring ends only with the group, so the first to end is the publishing or the time it had.
            await group.next()
            group.cancelAll()
        }
        await releaseLease()
    }

    private func publishUntilShutdown() async {
        var failures = 0
        while !Task.isCancelled {
            do {
                let round = try await publishBatch()
                failures = 0
                if round != .published, Task.isShuttingDownGracefully { return }
                switch round {
                case .published: continue
                case .idle:
                    await housekeeping()
                    await signal.sleep(atMost: limits.poll)
                // Commits here are no reason to ask: whoever has the lease sees them, and asking writes.
                case .notOurs: try? await Task.sleep(for: limits.leaseRetry)
                }
            } catch {
                if Task.isCancelled { return }
                failures += 1
                let wait = backoff.wait(after: failures)
                logger.warning("outbox waits", metadata: ["reason": "\(FailureReason.text(error))", "failures": "\(failures)"])
                try? await Task.sleep(for: wait)
            }
        }
    }

    // MARK: - One batch

    private func publishBatch() async throws -> Round {
        guard let rows = try await read() else { return .notOurs }
        guard !rows.isEmpty else { return .idle }
        let source = rows.map { CloudEvent.record(topic: $0.topic, envelope: $0.envelope, payload: $0.payload) }
        let results = try await keepingLease { await self.producer.send(source) }
        // What follows a failure of its key is sent again with it, so that order is kept.
        var failed: [[UInt8]?: KafkaFailure] = [:]
        var sent: [Int64] = []
        for (index, result) in results.enumerated() {
            let key = source[index].key
            if failed[key] != nil { continue }
            switch result {
            case .success: sent.append(rows[index].position)
            case .failure(let failure): failed[key] = failure
            }
        }
        if !sent.isEmpty {
            let marked = sent
            // A cancellation now would only publish them again.
            try await Task { try await self.markSent(marked) }.value
            MessagingMetrics.published(service.rawValue, sent.count)
        }
        if let failure = failed.values.first { throw failure }
        return .published
    }

    private func markSent(_ positions: [Int64]) async throws {
        try await database.platform(PlatformWork("outbox relay")) { tx in
            try OutboxQueue(tx: tx).markSent(positions)
        }
    }

    /// Nil when another relay holds the lease.
    private func read() async throws -> [OutboxRow]? {
        let now = ContinuousClock.now
        let needsLease = state.withLock { state in state.leasedUntil.map { $0 - now < self.limits.lease / 2 } ?? true }
        let (holder, limits, source) = (holder, limits, "/services/\(service)")
        let rows = try await database.platform(PlatformWork("outbox relay")) { tx -> [OutboxRow]? in
            let queue = OutboxQueue(tx: tx)
            if needsLease, try !queue.lease(holder, for: limits.lease) { return nil }
            return try queue.unsent(limits.batch, bytes: limits.batchBytes, source: source)
        }
        if needsLease { state.withLock { $0.leasedUntil = rows == nil ? nil : now + limits.lease } }
        return rows
    }

    /// Prolongs the lease for as long as `body` waits: brokers may be away for long.
    private func keepingLease<T: Sendable>(_ body: @escaping @Sendable () async -> T) async throws -> T {
        try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask { await body() }
            group.addTask {
                while true {
                    guard (try? await Task.sleep(for: self.limits.lease / 3)) != nil else { return nil }
                    let (now, holder, limits) = (ContinuousClock.now, self.holder, self.limits)
                    // When the database is away too, another may take over later: see above.
                    let isOurs = try? await self.database.platform(PlatformWork("outbox relay")) { tx in
                        try OutboxQueue(tx: tx).lease(holder, for: limits.lease)
                    }
                    self.state.withLock { $0.leasedUntil = isOurs == true ? now + limits.lease : nil }
                }
            }
            defer { group.cancelAll() }
            while let value = try await group.next() {
                if let value { return value }
            }
            throw CancellationError()
        }
    }

    private func releaseLease() async {
        guard state.withLock({ $0.leasedUntil != nil }) else { return }
        let holder = holder
        // It would run out by itself: this only lets another replica begin at once. A new task, as this one may be cancelled.
        try? await Task {
            try await self.database.platform(PlatformWork("outbox relay")) { try OutboxQueue(tx: $0).release(holder) }
        }.value
    }

    // MARK: - Now and then

    private func housekeeping() async {
        let now = ContinuousClock.now
        let isDue = state.withLock { state in
            guard now >= state.pruneAt else { return false }
            state.pruneAt = now + limits.pruneInterval
            return true
        }
        guard isDue else { return }
        do {
            try await prune()
        } catch {
            logger.debug("outbox is not pruned", metadata: ["reason": "\(FailureReason.text(error))"])
        }
    }

    /// Beside the publishing, because the figures matter most while that waits for the brokers.
    private func measureUntilShutdown() async {
        while (try? await Task.sleep(for: limits.metricsInterval)) != nil {
            guard state.withLock({ $0.leasedUntil != nil }) else { continue }
            let backlog = try? await database.platform(PlatformWork("outbox relay")) { tx in try OutboxQueue(tx: tx).backlog() }
            guard let backlog else { continue }
            MessagingMetrics.backlog(service.rawValue, depth: backlog.depth, oldestSeconds: backlog.oldestSeconds)
        }
    }

    /// In small transactions, so that nobody waits for it.
    private func prune() async throws {
        let limits = limits
        var deleted = limits.pruneBatch
        while deleted == limits.pruneBatch, !Task.isCancelled, !Task.isShuttingDownGracefully {
            deleted = try await database.platform(PlatformWork("outbox pruning")) { tx in
                try OutboxQueue(tx: tx).prune(olderThan: limits.retention, most: limits.pruneBatch)
            }
        }
        deleted = limits.pruneBatch
        while deleted == limits.pruneBatch, !Task.isCancelled, !Task.isShuttingDownGracefully {
            deleted = try await database.platform(PlatformWork("inbox pruning")) { tx in
                try InboxPruning(tx: tx).prune(olderThan: limits.inboxRetention, most: limits.pruneBatch)
            }
        }
    }
}
