package import Contracts
package import Foundation
package import Kafka
package import Logging
package import Postgres
import ServiceLifecycle
import Synchronization

/// Handles events of other services, as the consumer group `trionex.<service>.<name>`.
///
/// Each event takes effect once: handlers and the inbox's record commit together, and offsets are committed after that. Keys are
/// handled side by side and each in order, organizations in turn. A message that keeps failing goes to the dead-letter topic, and its key
/// goes on (Decisions/0018).
package final class EventConsumer: Service, Sendable {
    /// The limits and paces of a consumer.
    package struct Limits: Sendable {
        /// Transactions side by side.
        package var workers = 4
        /// Transactions side by side for one organization: the other workers are for the other organizations.
        package var workersOfOne = 2
        /// Messages of one organization handled in one transaction, and their bytes.
        package var together = 100
        package var togetherBytes = 1_048_576
        /// Where handlers are slow, only so many are handled together as take about this long: that is what others wait for, and how long
        /// a transaction holds its locks.
        package var transactionTarget: Duration = .milliseconds(50)
        /// Messages taken from the brokers and not finished, and what they take in memory. As far as this reaches, an organization's
        /// flood does not hold up what lies behind it in the same partition.
        package var readAhead = 20_000
        package var readAheadBytes = 33_554_432
        /// Offsets between the first that is not finished and the last read: a key that waits for an outage holds up nobody until then.
        package var span = 1_000_000
        /// Tries before a message is given up.
        package var attempts = 3
        /// Tries of a message whose statements take too long: some minutes, which a busy database may need.
        package var slowTries = 20
        /// Between the tries of a message that fails.
        package var retry = Backoff(first: .milliseconds(200), most: .seconds(2))
        /// Between tries while something it needs is away; these have no end.
        package var outage = Backoff(first: .milliseconds(100), most: .seconds(5))
        package var commitInterval: Duration = .milliseconds(250)
        /// How long a shutdown waits for what is being handled, and then for the last commit.
        package var drain: Duration = .seconds(8)
        package init() {}
    }

    /// Messages taken from the client's queue at once.
    private static let fetched = 1_000

    /// The consumer group: `trionex.<service>.<name>`.
    package let group: String
    private let handlers: HandlerTable
    private let inbox: InboxTransaction
    private let kafka: KafkaConfiguration
    private let producer: KafkaProducer
    private let limits: Limits
    private let logger: Logger
    private let now: @Sendable () -> Date

    package init(
        name: String, service: ServiceName, handlers: [any EventHandler], database: Database, kafka: KafkaConfiguration,
        producer: KafkaProducer, limits: Limits = Limits(), now: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) {
        group = Self.group(service: service, consumer: name)
        self.handlers = HandlerTable(handlers)
        inbox = InboxTransaction(service: service, group: group, handlers: self.handlers, database: database)
        self.kafka = kafka
        self.producer = producer
        self.limits = limits
        self.now = now
        var logger = logger
        logger[metadataKey: "consumer"] = "\(group)"
        self.logger = logger
    }

    package static func group(service: ServiceName, consumer: String) -> String { "trionex.\(service).\(consumer)" }

    /// Until the program shuts down. Throws `KafkaFailure.misconfigured` when the settings cannot work.
    package func run() async throws {
        guard !handlers.topics.isEmpty else {
            try? await gracefulShutdown()
            return
        }
        MessagingMetrics.begin(group)
        let consumer = try KafkaConsumer(kafka, group: group, topics: handlers.topics, logger: logger)
        let desk = LaneDesk(limits)
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.work(consumer, desk) }
            tasks.addTask { await self.commitNowAndThen(consumer, desk) }
            tasks.addTask {
                try? await gracefulShutdown()
                desk.close()
                // What is handled by then is committed; the rest is cancelled, rolled back, and delivered again.
                try? await Task.sleep(for: self.limits.drain)
            }
            await tasks.next()
            tasks.cancelAll()
        }
        consumer.commit(desk.positions())
        await leave(consumer)
    }

    /// Leaving waits for the last commit, and with the brokers away that takes long: then it goes on without us, and what was not
    /// committed is delivered again.
    private func leave(_ consumer: KafkaConsumer) async {
        let (ends, end) = AsyncStream<Void>.makeStream()
        Task {
            await consumer.close()
            end.finish()
        }
        // New tasks, as this one may be cancelled.
        await Task {
            let alarm = Task {
                if (try? await Task.sleep(for: limits.drain)) != nil { end.finish() }
            }
            for await _ in ends {}
            alarm.cancel()
        }.value
    }

    /// Fetches and handles until the desk is closed and everyone has finished.
    private func work(_ consumer: KafkaConsumer, _ desk: LaneDesk) async {
        await withTaskGroup(of: Void.self) { tasks in
            for _ in 0..<limits.workers {
                tasks.addTask {
                    while let work = await desk.next() { await self.handle(work, consumer, desk) }
                }
            }
            let fetcher = Task { await self.fetch(consumer, desk) }
            await withTaskCancellationHandler {
                await tasks.waitForAll()
            } onCancel: {
                desk.close()
            }
            fetcher.cancel()
            await fetcher.value
        }
    }

    private func fetch(_ consumer: KafkaConsumer, _ desk: LaneDesk) async {
        while !Task.isCancelled {
            await desk.room()
            guard !Task.isCancelled, let messages = await consumer.next(max: Self.fetched) else { return }
            var skipped = 0
            desk.add(messages) { message in
                let isOurs = message.text(DeadLetter.Header.replayFor).map { $0 == group } ?? true
                let isNeeded = isOurs && message.text("ce_type").map(handlers.handles) ?? true
                if !isNeeded { skipped += 1 }
                return isNeeded
            }
            MessagingMetrics.consumed(group, .skipped, skipped)
        }
    }

    private func commitNowAndThen(_ consumer: KafkaConsumer, _ desk: LaneDesk) async {
        while (try? await Task.sleep(for: limits.commitInterval)) != nil {
            consumer.commit(desk.positions())
            desk.forget { consumer.owns($0, assignment: $1) }
        }
    }

    // MARK: - One transaction

    private func handle(_ work: KeyLanes.Work, _ consumer: KafkaConsumer, _ desk: LaneDesk) async {
        let start = ContinuousClock.now
        // Of partitions that others have now: they begin at our last commit.
        let messages = work.messages.filter { consumer.owns($0) }
        do {
            let outcome = try await inbox.apply(messages)
            MessagingMetrics.consumed(group, .handled, outcome.new)
            MessagingMetrics.consumed(group, .duplicate, messages.count - outcome.new)
            MessagingMetrics.handled(group, since: start)
            desk.handled(outcome.new, in: outcome.handling)
            desk.finish(work)
        } catch {
            // Not finished: it is delivered again.
            guard !Task.isCancelled else { return }
            await act(on: error, work, desk)
        }
    }

    private func act(on failed: InboxTransaction.Failed, _ work: KeyLanes.Work, _ desk: LaneDesk) async {
        let verdict = Verdict(failed.cause)
        let attempt = Attempt(
            at: now(), reason: FailureReason.text(failed.cause), counts: verdict == .failed || verdict == .hopeless)
        switch verdict {
        case .slow where work.setbacks >= limits.slowTries && work.count == 1:
            // It would hold up its key for ever.
            await bury(work, attempt, desk)
        case .outage, .slow:
            logger.warning("events wait", metadata: ["reason": "\(attempt.reason)", "setbacks": "\(work.setbacks + 1)"])
            postpone(work, by: limits.outage.wait(after: work.setbacks + 1), after: attempt, desk)
        case .collision:
            postpone(work, by: limits.outage.wait(after: work.setbacks + 1), after: attempt, desk)
        case .failed where work.count > 1, .hopeless where work.count > 1:
            // At once, those that might be the cause alone: so it is found, and waits or is given up by itself.
            desk.split(work, suspects: failed.suspects)
        case .failed where work.failures + 1 < limits.attempts:
            MessagingMetrics.consumed(group, .retried, 1)
            postpone(work, by: limits.retry.wait(after: work.failures + 1), after: attempt, desk)
        case .failed, .hopeless:
            await bury(work, attempt, desk)
        }
    }

    /// The worker goes on with other keys meanwhile.
    private func postpone(_ work: KeyLanes.Work, by wait: Duration, after attempt: Attempt, _ desk: LaneDesk) {
        desk.park(work, after: attempt, counts: attempt.counts)
        Task {
            try? await Task.sleep(for: wait)
            desk.resume(work.shares.map(\.lane))
        }
    }

    private func bury(_ work: KeyLanes.Work, _ attempt: Attempt, _ desk: LaneDesk) async {
        let message = work.message
        let record = DeadLetter.record(
            of: message, group: group, tries: work.failures + 1, history: work.history + [attempt])
        do {
            _ = try await producer.send(record)
            MessagingMetrics.consumed(group, .dead, 1)
            logger.error(
                "event given up",
                metadata: [
                    "reason": "\(attempt.reason)", "type": "\(message.text("ce_type") ?? "")", "eventId": "\(message.text("ce_id") ?? "")",
                    "place": "\(message.place)", "offset": "\(message.offset)", "traceparent": "\(message.text("traceparent") ?? "")",
                ])
            desk.finish(work)
        } catch {
            guard !Task.isCancelled else { return }
            // Without a grave it is not given up: the whole of it is tried again.
            let setback = Attempt(at: now(), reason: FailureReason.text(error), counts: false)
            postpone(work, by: limits.outage.wait(after: work.setbacks + 1), after: setback, desk)
        }
    }
}
