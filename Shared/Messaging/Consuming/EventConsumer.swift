package import Contracts
package import Foundation
package import Kafka
package import Logging
package import Postgres
import ServiceLifecycle
import Synchronization
import Tracing

/// Handles events of other services, as the consumer group `trionex.<service>.<name>`.
///
/// Each event takes effect once: handlers and the inbox's record commit together, and offsets are committed after that. Keys are
/// handled side by side and each in order. A message that keeps failing goes to the dead-letter topic, and its key goes on.
package final class EventConsumer: Service, Sendable {
    /// The limits and paces of a consumer.
    package struct Limits: Sendable {
        /// Messages handled side by side.
        package var workers = 8
        /// Messages taken from the brokers and not finished.
        package var inFlight = 1_000
        /// Messages of one key handled in one transaction, where the handler takes several.
        package var together = 200
        /// Tries before a message is given up.
        package var attempts = 3
        /// Between the tries of a message that fails.
        package var retry = Backoff(first: .milliseconds(200), most: .seconds(2))
        /// Between tries while something it needs is away; these have no end.
        package var outage = Backoff(first: .milliseconds(100), most: .seconds(5))
        package var commitInterval: Duration = .milliseconds(250)
        /// How long a shutdown waits for what is being handled, and then for the last commit.
        package var drain: Duration = .seconds(8)
        package init() {}
    }

    /// The consumer group: `trionex.<service>.<name>`.
    package let group: String
    private let service: ServiceName
    private let handlers: HandlerTable
    private let database: Database
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
        self.service = service
        self.handlers = HandlerTable(handlers)
        self.database = database
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
        let consumer = try KafkaConsumer(kafka, group: group, topics: handlers.topics, logger: logger)
        let desk = LaneDesk(limit: limits.inFlight, together: handlers.batch == nil ? 1 : limits.together)
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
            guard !Task.isCancelled, let messages = await consumer.next(max: limits.inFlight / 2) else { return }
            desk.add(messages) { message in
                let isOurs = message.text(DeadLetter.Header.replayFor).map { $0 == group } ?? true
                let isNeeded = isOurs && message.text("ce_type").map(handlers.handles) ?? true
                if !isNeeded { MessagingMetrics.consumed(group, .skipped) }
                return isNeeded
            }
        }
    }

    private func commitNowAndThen(_ consumer: KafkaConsumer, _ desk: LaneDesk) async {
        while (try? await Task.sleep(for: limits.commitInterval)) != nil {
            consumer.commit(desk.positions())
            desk.forget { consumer.owns($0, assignment: $1) }
        }
    }

    // MARK: - One message

    private func handle(_ work: KeyLanes.Work, _ consumer: KafkaConsumer, _ desk: LaneDesk) async {
        // A partition that others have now: they begin at our last commit.
        guard consumer.owns(work.message) else { return desk.finish(work) }
        let start = ContinuousClock.now
        if let batch = handlers.batch, !work.rest.isEmpty {
            return await handle(together: work, batch, desk)
        }
        do {
            let wasNew = try await apply(work.message)
            MessagingMetrics.consumed(group, wasNew ? .handled : .duplicate, since: start)
            desk.finish(work)
        } catch {
            let verdict = Task.isCancelled ? Verdict.stop : Verdict(error)
            await act(on: verdict, error, work, desk)
        }
    }

    private func handle(together work: KeyLanes.Work, _ batch: @escaping HandlerTable.BatchEntry, _ desk: LaneDesk) async {
        let start = ContinuousClock.now
        do {
            let new = try await apply(work.messages, batch)
            for index in work.messages.indices { MessagingMetrics.consumed(group, index < new ? .handled : .duplicate, since: start) }
            desk.finish(work)
        } catch {
            guard !Task.isCancelled else { return }
            // One by one, at once: then the one that cannot be handled is found, and waits or is given up by itself.
            desk.park(work, counts: false)
            desk.resume(work.lane)
        }
    }

    /// Several messages of one key in one transaction; gives how many had not been handled before.
    private func apply(_ messages: [KafkaMessage], _ batch: @escaping HandlerTable.BatchEntry) async throws -> Int {
        let events = try messages.map { (payload: Data($0.value ?? []), envelope: try CloudEvent.envelope(of: $0)) }
        guard let first = events.first?.envelope, events.allSatisfy({ $0.envelope.tenant == first.tenant }) else { throw MixedKey() }
        let group = group
        return try await withSpan(
            "consume \(first.type)", context: TraceCarrying.context(first.traceparent), ofKind: .consumer
        ) { span in
            span.attributes["messaging.batch.message_count"] = messages.count
            return try await database.transaction(as: .service(service, for: first.tenant)) { tx in
                var fresh = try InboxStore(tx: tx).claim(events.map(\.envelope.id), by: group)
                // The first of several with the same id.
                let new = events.filter { fresh.remove($0.envelope.id) != nil }
                if !new.isEmpty { try batch(new)(tx) }
                return new.count
            }
        }
    }

    private func act(on verdict: Verdict, _ error: any Error, _ work: KeyLanes.Work, _ desk: LaneDesk) async {
        let reason = FailureReason.text(error)
        switch verdict {
        case .stop:
            // Not finished: it is delivered again.
            return
        case .outage:
            logger.warning("event waits", metadata: ["reason": "\(reason)", "setbacks": "\(work.setbacks + 1)"])
            postpone(work, by: limits.outage.wait(after: work.setbacks + 1), counts: false, desk)
        case .failed where work.failures + 1 < limits.attempts:
            MessagingMetrics.consumed(group, .retried)
            postpone(work, by: limits.retry.wait(after: work.failures + 1), counts: true, desk)
        case .failed:
            await bury(work, reason: reason, attempts: work.failures + 1, desk)
        case .hopeless:
            await bury(work, reason: reason, attempts: 1, desk)
        }
    }

    /// The worker goes on with other keys meanwhile.
    private func postpone(_ work: KeyLanes.Work, by wait: Duration, counts: Bool, _ desk: LaneDesk) {
        desk.park(work, counts: counts)
        Task {
            try? await Task.sleep(for: wait)
            desk.resume(work.lane)
        }
    }

    private func bury(_ work: KeyLanes.Work, reason: String, attempts: Int, _ desk: LaneDesk) async {
        let message = work.message
        let record = DeadLetter.record(of: message, group: group, reason: reason, attempts: attempts, time: Timestamp.text(now()))
        do {
            _ = try await producer.send(record)
            MessagingMetrics.consumed(group, .dead)
            logger.error(
                "event given up",
                metadata: [
                    "reason": "\(reason)", "type": "\(message.text("ce_type") ?? "")", "eventId": "\(message.text("ce_id") ?? "")",
                    "place": "\(message.place)", "offset": "\(message.offset)",
                ])
            desk.finish(work)
        } catch {
            guard !Task.isCancelled else { return }
            // Without a grave it is not given up: the whole of it is tried again.
            postpone(work, by: limits.outage.wait(after: work.setbacks + 1), counts: false, desk)
        }
    }

    /// False when the event had been handled before.
    private func apply(_ message: KafkaMessage) async throws -> Bool {
        let envelope = try CloudEvent.envelope(of: message)
        let effects = try handlers.effects(of: Data(message.value ?? []), envelope)
        let group = group
        let context = TraceCarrying.context(envelope.traceparent)
        return try await withSpan("consume \(envelope.type)", context: context, ofKind: .consumer) { _ in
            try await database.transaction(as: .service(service, for: envelope.tenant)) { tx in
                guard try InboxStore(tx: tx).claim(envelope.id, by: group) else { return false }
                for effect in effects { try effect(tx) }
                return true
            }
        }
    }
}

/// Messages of one key that are of several organizations: nobody of ours writes such.
private struct MixedKey: Error {}

/// What a failure of handling means for the message.
enum Verdict: Equatable {
    /// We are shutting down.
    case stop
    /// Something it needs is away: no fault of the message.
    case outage
    /// Worth some more tries.
    case failed
    /// Cannot be read, and never will be.
    case hopeless

    init(_ error: any Error) {
        self =
            switch error {
            case is DecodingError, is CloudEventProblem: .hopeless
            case is CancellationError: .outage
            case let error as PostgresFailure: error.isSerializationFailure || error.isLockNotAvailable ? .outage : .failed
            case let error as any Failure: Self.isAway(error) ? .outage : .failed
            default: .failed
            }
    }

    private static func isAway(_ failure: any Failure) -> Bool {
        if case .unavailable = failure.kind { true } else { false }
    }
}
