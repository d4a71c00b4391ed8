package import Contracts
import Foundation
package import Kafka
package import Logging
package import Postgres
import ServiceLifecycle
import Synchronization

/// Publishes a service's outbox in the order of each key, fairly between tenants, and marks what the brokers have.
///
/// The replicas of a service share the keys by shards. A shard is worked on by one relay at a time, under a lease in the database; no
/// transaction is open while the brokers are waited for. Should two work on one for a moment (a lease that ran out in a long pause),
/// events are published twice, and the first time still in order: a stale relay only repeats what the new one has read as unsent.
/// Inboxes drop repetitions. Why it is made so: Shared/Decisions/0017-outbox-relay.md.
package final class OutboxRelay: Service, Sendable {
    /// The limits and paces of a relay.
    package struct Limits: Sendable {
        /// Events read and published together.
        package var batch = 512
        package var batchBytes = 4_194_304
        /// Batches on their way at once: memory is bounded by these times `batchBytes`.
        package var batches = 4
        /// How long a commit of another replica can go unnoticed where notifications do not arrive (PgBouncer).
        package var poll: Duration = .milliseconds(250)
        /// How long one can where they do, or where there is no other replica: only what was lost with a connection is found so.
        package var relaxedPoll: Duration = .seconds(1)
        /// How long after a relay has died others take over its shards.
        package var lease: Duration = .seconds(5)
        /// How often a relay says that it lives, and looks whether its part has changed.
        package var leaseRetry: Duration = .seconds(1)
        /// How long a shutdown publishes what is still there.
        package var drain: Duration = .seconds(5)
        /// How long published events are kept for publishing them again. Whole days are dropped.
        package var retention: Duration = .seconds(7 * 86_400)
        /// Events published again, a second.
        package var againRate = 5_000.0
        /// How long handled events are remembered. Longer than topics keep them, so that a replay finds them handled.
        package var inboxRetention: Duration = .seconds(30 * 86_400)
        package var pruneInterval: Duration = .seconds(60)
        package var pruneBatch = 1_000
        package var metricsInterval: Duration = .seconds(5)
        package init() {}

        /// Days made ahead of their time.
        static let daysAhead = 3
        /// A depth beyond it is not counted further.
        static let depthCounted = 1_000_000
        /// Everything that waits is looked through so often, should anything have been missed.
        static let fullLook: Duration = .seconds(30)
        /// Between two notifications to the other relays: commits in between are told together.
        static let tellInterval: Duration = .milliseconds(5)
    }

    struct State {
        var schedule: RelaySchedule
        /// By this process's clock, counted from before the lease was asked for.
        var leasedUntil: ContinuousClock.Instant?
        var relays = 1
        /// Held in the database.
        var held: Set<Int32> = []
        var seen: OutboxSnapshot?
        var isNewsWanted = true
        var newsDue = ContinuousClock.now
        var fullDue = ContinuousClock.now
        /// Grows whenever `seen` is given up: what is being looked at then does not count as seen.
        var epoch = 0
        /// Notifications of others are known to arrive.
        var hears = false
        var isTellWanted = false
        var settled: [Settlement] = []
        var isSettling = false

        mutating func forgetSeen() {
            seen = nil
            epoch += 1
        }
    }

    /// What has become of a parcel at the brokers.
    struct Settlement: Sendable {
        let chunk: RelaySchedule.Chunk
        let endings: [RelaySchedule.Ending]
        let published: [(lane: Lane, position: Int64)]
        let events: Int
    }

    private enum Pass {
        case parcel(OutboxParcel)
        case nothing(until: ContinuousClock.Instant)
    }

    let database: Database
    let producer: KafkaProducer
    let service: ServiceName
    let limits: Limits
    let logger: Logger
    let holder = UUID()
    let signal = WakeSignal()
    let shareSignal = WakeSignal()
    let tellSignal = WakeSignal()
    let backoff = Backoff(first: .milliseconds(100), most: .seconds(5))
    let state: Mutex<State>

    package init(database: Database, producer: KafkaProducer, service: ServiceName, limits: Limits = Limits(), logger: Logger) {
        self.database = database
        self.producer = producer
        self.service = service
        self.limits = limits
        self.logger = logger
        var schedule = RelaySchedule.Limits()
        schedule.chunks = limits.batches
        schedule.events = limits.batch
        schedule.againRate = limits.againRate
        state = Mutex(State(schedule: RelaySchedule(schedule)))
    }

    /// There may be something to publish.
    package func wake() {
        let tellsOthers = state.withLock { state in
            state.isNewsWanted = true
            state.isTellWanted = state.relays > 1 && state.held.count < OutboxShards.count
            return state.isTellWanted
        }
        signal.wake()
        if tellsOthers { tellSignal.wake() }
    }

    /// The shards of the keys that this relay works on just now.
    package var shards: Set<Int32> { state.withLock { $0.schedule.shards } }

    /// Until the program shuts down; then publishes what is there, for `drain` at most.
    package func run() async throws {
        RelaySignals.add(self)
        defer { RelaySignals.remove(self) }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.publishUntilShutdown() }
            group.addTask { await self.shareUntilCancelled() }
            group.addTask { await self.listenUntilCancelled() }
            group.addTask { await self.tellUntilCancelled() }
            group.addTask { await self.measureUntilCancelled() }
            group.addTask { await self.keepHouseUntilCancelled() }
            group.addTask {
                try? await gracefulShutdown()
                self.signal.wake()
                try? await Task.sleep(for: self.limits.drain)
            }
            // All but the publishing end only with the group, so the first to end is it or the time it had.
            await group.next()
            group.cancelAll()
        }
        await leave()
    }

    // MARK: - Publishing

    private func publishUntilShutdown() async {
        await withDiscardingTaskGroup { group in
            var failures = 0
            while !Task.isCancelled {
                do {
                    switch try await pass() {
                    case .parcel(let parcel): group.addTask { await self.publish(parcel) }
                    case .nothing(let until):
                        if Task.isShuttingDownGracefully, state.withLock({ $0.schedule.isQuiet && !$0.isNewsWanted }) { return }
                        await signal.sleep(atMost: max(.zero, until - .now))
                    }
                    failures = 0
                } catch {
                    if Task.isCancelled { return }
                    failures += 1
                    logger.warning("outbox waits", metadata: ["reason": "\(FailureReason.text(error))", "failures": "\(failures)"])
                    try? await Task.sleep(for: backoff.wait(after: failures))
                }
            }
        }
    }

    /// Looks for what is new when that is due, and reads the next events: one transaction.
    private func pass() async throws -> Pass {
        let now = ContinuousClock.now
        let look = state.withLock { state -> Look in
            guard let leasedUntil = state.leasedUntil, leasedUntil > now, !state.schedule.shards.isEmpty else { return .no }
            defer { state.isNewsWanted = false }
            if state.seen == nil || now >= state.fullDue { return .everything }
            return state.isNewsWanted || now >= state.newsDue ? .news : .ready
        }
        guard look != .no else { return .nothing(until: now + limits.poll) }
        let picked = Mutex<RelaySchedule.Chunk?>(nil)
        do {
            let (limits, source) = (limits, "/services/\(service)")
            guard look != .ready || state.withLock({ $0.schedule.mayPick(now) }) else { return .nothing(until: nextLook(now)) }
            let parcel = try await database.platform(PlatformWork("outbox relay")) { tx -> OutboxParcel? in
                let queue = OutboxQueue(tx: tx)
                try self.take(look, queue)
                guard let chunk = self.state.withLock({ $0.schedule.pick(now) }) else { return nil }
                picked.withLock { $0 = chunk }
                return try queue.read(chunk, bytes: limits.batchBytes, source: source)
            }
            guard let parcel else { return .nothing(until: nextLook(now)) }
            return .parcel(parcel)
        } catch {
            // What was seen then counts for nothing: the server may be another one now, with fewer transactions than it had.
            state.withLock { state in
                state.forgetSeen()
                state.isNewsWanted = true
                // Also when only the end of the transaction failed: nobody has what was read.
                if let chunk = picked.withLock({ $0 }) { state.schedule.putBack(chunk, .now) }
            }
            throw error
        }
    }

    private enum Look { case no, ready, news, everything }

    private func take(_ look: Look, _ queue: OutboxQueue) throws {
        guard look != .ready else { return }
        let (shards, seen, epoch, isNet) = state.withLock { state in
            (Array(state.schedule.shards), look == .everything ? nil : state.seen, state.epoch, look == .everything && state.seen != nil)
        }
        let began = ContinuousClock.now
        let answer = try seen.map { try queue.news(since: $0, shards: shards) } ?? queue.everything(shards: shards)
        state.withLock { state in
            for found in answer.found { state.schedule.found(found.lane, found.first, isNet: isNet) }
            guard state.epoch == epoch else { return }
            // A server that has seen fewer transactions than before is another one: everything is looked at anew.
            let isOther = seen.map { before in answer.seen.map { $0.next < before.next } ?? true } ?? false
            state.seen = isOther ? nil : answer.seen
            state.newsDue = began + (state.hears || state.relays == 1 ? limits.relaxedPoll : limits.poll)
            if look == .everything { state.fullDue = began + Limits.fullLook }
        }
    }

    private func nextLook(_ now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        state.withLock { min($0.newsDue, $0.schedule.nextRest(now) ?? $0.newsDue) }
    }

    private func publish(_ parcel: OutboxParcel) async {
        let isLeased = state.withLock { state in state.leasedUntil.map { $0 > .now } ?? false }
        guard isLeased else {
            state.withLock { $0.schedule.putBack(parcel.chunk, .now) }
            return
        }
        for orphan in parcel.orphans { logger.error("an event of the outbox is gone", metadata: ["position": "\(orphan.position)"]) }
        await settle(settlement(parcel, await send(parcel)))
    }

    /// Everything at once, but for lanes in which something has failed: there the next event of a key goes when the one before has arrived.
    private func send(_ parcel: OutboxParcel) async -> [Result<Delivery, KafkaFailure>] {
        guard parcel.chunk.takes.contains(where: \.isCareful) else { return await producer.send(parcel.records) }
        var results: [Result<Delivery, KafkaFailure>] = Array(repeating: .failure(.closed), count: parcel.records.count)
        var left = Array(parcel.records.indices)
        while !left.isEmpty {
            var keys: Set<[UInt8]?> = []
            let round = left.filter { index in
                !parcel.chunk.takes[parcel.items[index].take].isCareful || keys.insert(parcel.records[index].key).inserted
            }
            var failed: [[UInt8]?: KafkaFailure] = [:]
            for (index, result) in zip(round, await producer.send(round.map { parcel.records[$0] })) {
                results[index] = result
                if case .failure(let failure) = result { failed[parcel.records[index].key] = failure }
            }
            let sent = Set(round)
            left.removeAll { index in
                if sent.contains(index) { return true }
                guard let failure = failed[parcel.records[index].key] else { return false }
                results[index] = .failure(failure)
                return true
            }
        }
        return results
    }

    private func settlement(_ parcel: OutboxParcel, _ results: [Result<Delivery, KafkaFailure>]) -> Settlement {
        let lanes = parcel.chunk.takes.map(\.lane)
        var published = parcel.orphans.map { (lane: lanes[$0.take], position: $0.position) }
        published.reserveCapacity(parcel.items.count)
        // What follows a failure of its key is sent again with it, so that order is kept.
        var failed: Set<[UInt8]?> = []
        var firstFailed: [Int: Int64] = [:]
        var failure: KafkaFailure?
        for (index, result) in results.enumerated() {
            let (item, key) = (parcel.items[index], parcel.records[index].key)
            if case .failure(let reason) = result {
                failure = reason
                failed.insert(key)
            }
            if !failed.isEmpty, failed.contains(key) {
                if firstFailed[item.take] == nil { firstFailed[item.take] = item.position }
            } else {
                published.append((lanes[item.take], item.position))
            }
        }
        if let failure, !Task.isCancelled {
            logger.warning("outbox waits", metadata: ["reason": "\(FailureReason.text(failure))", "lanes": "\(firstFailed.count)"])
        }
        let endings = lanes.indices.map { take in
            RelaySchedule.Ending(next: firstFailed[take] ?? parcel.continuations[take], failed: firstFailed[take] != nil)
        }
        return Settlement(chunk: parcel.chunk, endings: endings, published: published, events: parcel.items.count)
    }

    /// Marks what has been published, for all parcels that have ended meanwhile in one transaction. Lanes go on after it.
    private func settle(_ settlement: Settlement) async {
        let isMine = state.withLock { state in
            state.settled.append(settlement)
            defer { state.isSettling = true }
            return !state.isSettling
        }
        guard isMine else { return }
        while true {
            let settled = state.withLock { state -> [Settlement] in
                defer { state.settled = [] }
                state.isSettling = !state.settled.isEmpty
                return state.settled
            }
            guard !settled.isEmpty else { return }
            await mark(settled.flatMap(\.published))
            state.withLock { state in
                for one in settled { state.schedule.finish(one.chunk, one.endings, published: one.events, .now) }
            }
            signal.wake()
        }
    }

    private func mark(_ published: [(lane: Lane, position: Int64)]) async {
        guard !published.isEmpty else { return }
        var failures = 0
        while true {
            do {
                // A cancellation now would only publish them again.
                try await Task {
                    try await self.database.platform(PlatformWork("outbox relay")) { try OutboxQueue(tx: $0).remove(published) }
                }.value
                return MessagingMetrics.published(service.rawValue, published.count)
            } catch {
                // Whoever works on the lanes next publishes them again.
                if Task.isCancelled { return }
                failures += 1
                logger.warning("outbox is not marked", metadata: ["reason": "\(FailureReason.text(error))", "failures": "\(failures)"])
                try? await Task.sleep(for: backoff.wait(after: failures))
            }
        }
    }
}
