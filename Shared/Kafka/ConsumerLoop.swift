import CRdKafka
import Foundation
import Logging
import Synchronization

/// The thread of one consuming client: takes messages from the library into `ConsumerState`, and serves its callbacks.
final class ConsumerLoop: Sendable {
    private static let pollMilliseconds: CInt = 100
    /// Messages moved under one lock.
    private static let burst = 500
    /// How long a full queue is waited for before partitions are paused. Pausing throws away what was fetched ahead,
    /// not pausing would in the end break `max.poll.interval.ms`.
    private static let pauseAfter: Duration = .seconds(1)
    private static let roomPause: Duration = .milliseconds(2)
    private static let lagInterval: Duration = .seconds(5)

    private let handle: KafkaHandle
    private let observer: KafkaObserver
    private let state: ConsumerState
    private let group: String
    private let logger: Logger

    init(
        settings: [(String, String)], security: KafkaSecurity, group: String, topics: [String], state: ConsumerState, logger: Logger
    ) throws(KafkaFailure) {
        self.state = state
        self.group = group
        self.logger = logger
        let conf = try KafkaConfiguration.make(settings)
        observer = KafkaObserver(security, logger: logger, assignments: state)
        observer.attach(to: conf)
        rd_kafka_conf_set_rebalance_cb(conf) { client, error, partitions, _ in
            guard let client, let partitions, let state = KafkaObserver.of(client)?.assignments else { return }
            ConsumerLoop.rebalance(client, error, partitions, state)
        }
        rd_kafka_conf_set_offset_commit_cb(conf) { client, error, _, _ in
            guard error.isError, error != RD_KAFKA_RESP_ERR__NO_OFFSET, let client else { return }
            KafkaObserver.of(client)?.error(error, "offsets are not committed")
        }
        handle = try KafkaHandle(RD_KAFKA_CONSUMER, conf)
        observer.serveTokens(of: handle)
        rd_kafka_poll_set_consumer(handle.pointer)
        let error = withPartitionList(topics.map { (TopicPartition($0, RD_KAFKA_PARTITION_UA), 0) }) {
            rd_kafka_subscribe(handle.pointer, $0)
        }
        guard !error.isError else {
            rd_kafka_destroy(handle.pointer)
            throw KafkaFailure(error, "subscribing")
        }
    }

    func start() { BlockingThread.start("kafka-consumer") { self.serve() } }

    private static func rebalance(
        _ client: OpaquePointer, _ error: rd_kafka_resp_err_t, _ partitions: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>,
        _ state: ConsumerState
    ) {
        let places = partitions.elements.map(\.place)
        let isCooperative = rd_kafka_rebalance_protocol(client).map { String(cString: $0) } == "COOPERATIVE"
        var failure: OpaquePointer?
        switch error {
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
            state.assign(places)
            if isCooperative { failure = rd_kafka_incremental_assign(client, partitions) } else { rd_kafka_assign(client, partitions) }
        case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
            state.revoke(places)
            if isCooperative { failure = rd_kafka_incremental_unassign(client, partitions) } else { rd_kafka_assign(client, nil) }
        default:
            state.revoke(state.assigned)
            rd_kafka_assign(client, nil)
        }
        guard let failure else { return }
        KafkaObserver.of(client)?.error(rd_kafka_error_code(failure), "rebalance")
        rd_kafka_error_destroy(failure)
    }

    // MARK: - The thread

    private func serve() {
        var isPaused = false
        var fullSince: ContinuousClock.Instant?
        var lagAt = ContinuousClock.now + Self.lagInterval
        while !state.isStopping {
            if ContinuousClock.now >= lagAt {
                reportLag()
                lagAt = .now + Self.lagInterval
            }
            guard state.isFull else {
                if isPaused { setPaused(false) }
                isPaused = false
                fullSince = nil
                receive()
                continue
            }
            let since = fullSince ?? .now
            fullSince = since
            if ContinuousClock.now - since < Self.pauseAfter {
                Thread.sleep(forTimeInterval: Double(Self.roomPause.milliseconds) / 1_000)
                continue
            }
            if !isPaused { setPaused(true) }
            isPaused = true
            // Keeps us in the group; what a partition assigned meanwhile brings is taken too.
            receive()
        }
        rd_kafka_consumer_close(handle.pointer)
        state.ended()
        while state.hasCalls { Thread.sleep(forTimeInterval: Double(Self.roomPause.milliseconds) / 1_000) }
        rd_kafka_destroy(handle.pointer)
        withExtendedLifetime(observer) {}
    }

    /// Polled one by one: the batch call of the library may answer messages of partitions already revoked.
    private func receive() {
        var messages: [KafkaMessage] = []
        var topics: [OpaquePointer: String] = [:]
        var wait = Self.pollMilliseconds
        while messages.count < Self.burst, let message = rd_kafka_consumer_poll(handle.pointer, wait) {
            wait = 0
            defer { rd_kafka_message_destroy(message) }
            guard !message.pointee.err.isError else {
                observer.error(message.pointee.err, rd_kafka_message_errstr(message).map { String(cString: $0) } ?? "")
                continue
            }
            guard let raw = message.pointee.rkt else { continue }
            let topic = topics[raw] ?? String(cString: rd_kafka_topic_name(raw))
            topics[raw] = topic
            guard let assignment = state.assignment(of: TopicPartition(topic, message.pointee.partition)) else { continue }
            messages.append(KafkaMessage(message, topic: topic, assignment: assignment))
        }
        guard !messages.isEmpty else { return }
        for topic in topics.values { KafkaMetrics.consumed.increment(("topic", topic), by: messages.count { $0.topic == topic }) }
        state.deliver(messages)
    }

    private func setPaused(_ paused: Bool) {
        withPartitionList(state.assigned.map { ($0, 0) }) { list in
            let error = paused ? rd_kafka_pause_partitions(handle.pointer, list) : rd_kafka_resume_partitions(handle.pointer, list)
            if error.isError { observer.error(error, paused ? "pausing" : "resuming") }
        }
    }

    private func reportLag() {
        let byTopic = Dictionary(lag().map { ($0.key.topic, $0.value) }, uniquingKeysWith: +)
        for (topic, records) in byTopic { KafkaMetrics.lag(group: group, topic: topic, records) }
    }

    // MARK: - From tasks

    func lag() -> [TopicPartition: Int64] {
        var lag: [TopicPartition: Int64] = [:]
        for (place, handled) in state.handledOffsets {
            var low: Int64 = -1
            var high: Int64 = -1
            let error = state.whileOpen { rd_kafka_get_watermark_offsets(handle.pointer, place.topic, place.partition, &low, &high) }
            guard error == RD_KAFKA_RESP_ERR_NO_ERROR, high >= 0 else { continue }
            lag[place] = max(0, high - handled)
        }
        return lag
    }

    func commit(_ positions: [KafkaPosition]) {
        let ours = state.current(positions)
        guard !ours.isEmpty else { return }
        let error = state.whileOpen { () -> rd_kafka_resp_err_t in
            withPartitionList(ours.map { ($0.place, $0.offset) }) { rd_kafka_commit(handle.pointer, $0, 1) }
        }
        if let error, error.isError { observer.error(error, "offsets are not committed") }
    }

    func commitAndWait(_ positions: [KafkaPosition]) async throws {
        let ours = state.current(positions)
        guard !ours.isEmpty else { return }
        try await BlockingThread.run("kafka-commit") {
            let error = self.state.whileWaiting {
                withPartitionList(ours.map { ($0.place, $0.offset) }) { rd_kafka_commit(self.handle.pointer, $0, 0) }
            }
            guard let error else { throw KafkaFailure.closed }
            if error.isError, error != RD_KAFKA_RESP_ERR__NO_OFFSET { throw KafkaFailure(error, "committing offsets") }
        }
    }
}
