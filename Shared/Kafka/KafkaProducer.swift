package import Logging
import ServiceLifecycle
import Synchronization

/// Publishes records: idempotent, `acks=all`, in the order of sending for each key.
///
/// Works from `init` on. The library reconnects by itself; a client that it declares broken is replaced here.
/// Bounded by what the library queues (100,000 records, 64 MiB): beyond it `send` waits.
package final class KafkaProducer: Service, Sendable {
    /// How long a shutdown waits for deliveries under way.
    package static let flushLimit: Duration = .seconds(10)
    /// Between two tries when the library's queue is full.
    private static let roomPause: Duration = .milliseconds(5)

    private let configuration: KafkaConfiguration
    private let logger: Logger
    private let connection: Mutex<ProducerConnection?>

    /// Fails with `.misconfigured` when the settings cannot work; a broker that is away is no failure here.
    package init(_ configuration: KafkaConfiguration, logger: Logger) throws(KafkaFailure) {
        let problems = configuration.problems
        guard problems.isEmpty else { throw .misconfigured(problems) }
        self.configuration = configuration
        self.logger = logger
        connection = Mutex(try ProducerConnection(configuration, observer: KafkaObserver(configuration.security, logger: logger)))
    }

    /// A producer that is let go without `shutdown` gives up what it still holds.
    deinit { connection.withLock { $0 }?.abandon() }

    /// Publishes one record and waits until all in-sync replicas have it.
    /// Throws `KafkaFailure`; after `.closed` or a time-out the record may have been published all the same.
    package func send(_ record: KafkaRecord) async throws(KafkaFailure) -> Delivery {
        guard let result = await send([record]).first else { throw .closed }
        return try result.get()
    }

    /// Publishes records in their order and waits for all; one result for each, in the same order.
    package func send(_ records: [KafkaRecord]) async -> [Result<Delivery, KafkaFailure>] {
        guard !records.isEmpty else { return [] }
        let batch = DeliveryBatch(count: records.count)
        let deadline = ContinuousClock.now + configuration.deliveryTimeout
        var next = 0
        /// Has a part of this batch.
        var used: ProducerConnection?
        while next < records.count {
            guard let connection = usable() else {
                batch.abandon(.closed)
                break
            }
            // It may have been replaced while room was waited for.
            if let used, used !== connection {
                await used.close(within: .zero)
                batch.abandon(.away("the client broke in the middle of a batch"))
                break
            }
            switch connection.enqueue(records, from: next, into: batch) {
            case .all: next = records.count
            case .closed(let index):
                next = index
                guard connection.isBroken else {
                    batch.abandon(.closed)
                    return await batch.results()
                }
                // What the broken client has of this batch fails. Were the rest given to a new one, it would overtake that.
                guard index == 0 else {
                    // And nothing of it may arrive after the caller sends it again.
                    await connection.close(within: .zero)
                    batch.abandon(.away("the client broke in the middle of a batch"))
                    return await batch.results()
                }
            case .full(let index):
                next = index
                if index > 0 { used = connection }
                guard ContinuousClock.now < deadline, (try? await Task.sleep(for: Self.roomPause)) != nil else {
                    batch.abandon(Task.isCancelled ? .closed : .away("the queue is full"))
                    return await batch.results()
                }
            }
        }
        return await batch.results()
    }

    /// Records that wait for their delivery.
    package var depth: Int { connection.withLock { $0 }?.depth ?? 0 }

    /// Throws `.away` unless a broker answers within a second.
    package func ping() async throws(KafkaFailure) {
        guard await usable()?.ping() == true else { throw .away("no broker answers") }
    }

    /// Until the program shuts down; then waits for deliveries under way.
    package func run() async throws {
        try? await gracefulShutdown()
        await shutdown()
    }

    /// Waits up to `flushLimit` for deliveries under way; later sends answer `.closed`.
    package func shutdown() async {
        let last = connection.withLock { connection in
            defer { connection = nil }
            return connection
        }
        guard let left = await last?.close(within: Self.flushLimit), left > 0 else { return }
        logger.warning("kafka records given up at shutdown", metadata: ["count": "\(left)"])
    }

    private func usable() -> ProducerConnection? {
        connection.withLock { current in
            guard let old = current, old.isBroken else { return current }
            logger.error("kafka producer is broken and is replaced")
            old.abandon()
            // The settings were accepted before; should the library refuse now, the broken one stays and sends fail.
            if let new = try? ProducerConnection(configuration, observer: KafkaObserver(configuration.security, logger: logger)) {
                current = new
            }
            return current === old ? nil : current
        }
    }
}
