import CRdKafka
import Foundation
import Synchronization

/// One producing client of the library with the thread that serves its delivery reports.
final class ProducerConnection: Sendable {
    private struct State {
        var isOpen = true
        var isGone = false
        var closing: Duration?
        var closers: [CheckedContinuation<Int, Never>] = []
        var left = 0
        var pings: [CheckedContinuation<Bool, Never>] = []
    }

    enum Queued {
        case all
        /// The library has no room for the record at this index, nor for those after it.
        case full(Int)
        case closed(Int)
    }

    private let handle: KafkaHandle
    private let observer: KafkaObserver
    /// Held while records are handed over, so that the client is never destroyed under them.
    private let state = Mutex(State())
    /// Set when the library declares itself broken (a gap in an idempotent sequence): a new client is needed.
    private let broken = Atomic<Bool>(false)

    init(_ configuration: KafkaConfiguration, observer: KafkaObserver) throws(KafkaFailure) {
        let conf = try KafkaConfiguration.make(configuration.producerSettings)
        observer.attach(to: conf)
        rd_kafka_conf_set_dr_msg_cb(conf) { _, message, _ in
            guard let message, let slot = message.pointee._private else { return }
            Unmanaged<DeliverySlot>.fromOpaque(slot).takeRetainedValue().resolve(ProducerConnection.outcome(of: message.pointee))
        }
        handle = try KafkaHandle(RD_KAFKA_PRODUCER, conf)
        observer.serveTokens(of: handle)
        self.observer = observer
        BlockingThread.start("kafka-producer") { self.serve() }
    }

    var isBroken: Bool { broken.load(ordering: .relaxed) }

    /// Records queued or on their way.
    var depth: Int { state.withLock { $0.isGone ? 0 : Int(rd_kafka_outq_len(handle.pointer)) } }

    private static func outcome(of message: rd_kafka_message_t) -> Result<Delivery, KafkaFailure> {
        let topic = message.rkt.map { String(cString: rd_kafka_topic_name($0)) } ?? ""
        let outcome = message.err.isError ? "failed" : message.offset < 0 ? "inferred" : "delivered"
        KafkaMetrics.produced.increment(("topic", topic), ("outcome", outcome))
        guard !message.err.isError else { return .failure(KafkaFailure(message.err, "delivery to \(topic)")) }
        // Without an offset nobody said that it has this record: the library infers it from a later one's success, or from a broker that has
        // seen it before. A broker that does not check sequences makes the first wrong. To send it again does no harm: inboxes drop it.
        guard message.offset >= 0 else { return .failure(.away("delivery to \(topic): confirmed without a place")) }
        return .success(Delivery(partition: message.partition, offset: message.offset))
    }

    /// Hands over records from `start` on. One that is refused gets its result at once, and the others go on.
    func enqueue(_ records: [KafkaRecord], from start: Int, into batch: DeliveryBatch) -> Queued {
        state.withLock { state in
            guard state.isOpen else { return .closed(start) }
            for index in start..<records.count {
                let error = produce(records[index], DeliverySlot(batch, index))
                switch error {
                case RD_KAFKA_RESP_ERR_NO_ERROR: continue
                case RD_KAFKA_RESP_ERR__QUEUE_FULL: return .full(index)
                case RD_KAFKA_RESP_ERR__FATAL:
                    broken.store(true, ordering: .relaxed)
                    return .closed(index)
                default: batch.resolve(index, .failure(KafkaFailure(error, "sending to \(records[index].topic)")))
                }
            }
            return .all
        }
    }

    private func produce(_ record: KafkaRecord, _ slot: DeliverySlot) -> rd_kafka_resp_err_t {
        let headers = rd_kafka_headers_new(record.headers.count)
        for header in record.headers {
            header.value.withUnsafeBytes { _ = rd_kafka_header_add(headers, header.name, -1, $0.baseAddress, $0.count) }
        }
        let opaque = Unmanaged.passRetained(slot)
        let timestamp = record.timestamp.map { Int64($0.timeIntervalSince1970 * 1_000) } ?? 0
        let error = Self.withBytes(record.key) { key in
            Self.withBytes(record.value) { value in
                trionex_produce(
                    handle.pointer, record.topic, record.partition ?? RD_KAFKA_PARTITION_UA, key?.baseAddress, key?.count ?? 0,
                    value?.baseAddress, value?.count ?? 0, timestamp, headers, opaque.toOpaque())
            }
        }
        if error.isError {
            opaque.release()
            rd_kafka_headers_destroy(headers)
        }
        return error
    }

    /// Nil stays nil, and an empty array is empty and not nil, although its bytes may have no address.
    private static func withBytes<R>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
        guard let bytes else { return body(nil) }
        guard bytes.isEmpty else { return bytes.withUnsafeBytes { body($0) } }
        var nothing: UInt8 = 0
        return withUnsafeBytes(of: &nothing) { body(UnsafeRawBufferPointer(rebasing: $0[..<0])) }
    }

    // MARK: - The thread

    private static let pollMilliseconds: CInt = 100
    /// What is left for reports after the queue has been purged.
    private static let purgeMilliseconds: CInt = 1_000

    private static let pingMilliseconds: CInt = 1_000

    /// Whether a broker answers within a second; false also when the client is being closed.
    func ping() async -> Bool {
        await withCheckedContinuation { continuation in
            let isClosing = state.withLock { state in
                if state.isOpen { state.pings.append(continuation) }
                return !state.isOpen
            }
            if isClosing { continuation.resume(returning: false) }
        }
    }

    /// On the client's own thread, which is the one that cannot outlive the client.
    private func answerPings() {
        let waiting = state.withLock { state in
            defer { state.pings = [] }
            return state.pings
        }
        guard !waiting.isEmpty else { return }
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let error = rd_kafka_metadata(handle.pointer, 0, nil, &metadata, Self.pingMilliseconds)
        if let metadata { rd_kafka_metadata_destroy(metadata) }
        for continuation in waiting { continuation.resume(returning: !error.isError) }
    }

    private func serve() {
        var closing: Duration?
        while closing == nil {
            rd_kafka_poll(handle.pointer, Self.pollMilliseconds)
            if rd_kafka_fatal_error(handle.pointer, nil, 0).isError { broken.store(true, ordering: .relaxed) }
            closing = state.withLock { $0.closing }
            answerPings()
        }
        // A broken client never delivers: it would only make us wait.
        let limit = isBroken ? .zero : closing ?? .zero
        rd_kafka_flush(handle.pointer, CInt(clamping: limit.milliseconds))
        let left = Int(rd_kafka_outq_len(handle.pointer))
        if left > 0 {
            // Every record gets its report, so that nobody waits for ever.
            rd_kafka_purge(handle.pointer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
            rd_kafka_flush(handle.pointer, Self.purgeMilliseconds)
        }
        let closers = state.withLock { state in
            state.isGone = true
            state.left = left
            defer { state.closers = [] }
            return state.closers
        }
        answerPings()
        rd_kafka_destroy(handle.pointer)
        // The library no longer calls: the observer may go.
        withExtendedLifetime(observer) {}
        for closer in closers { closer.resume(returning: left) }
    }

    /// Takes no more records, waits up to `limit` for the deliveries under way, and gives up the rest. Answers how many those were.
    @discardableResult
    func close(within limit: Duration) async -> Int {
        await withCheckedContinuation { continuation in
            let left = state.withLock { state -> Int? in
                guard !state.isGone else { return state.left }
                state.isOpen = false
                if state.closing == nil { state.closing = limit }
                state.closers.append(continuation)
                return nil
            }
            if let left { continuation.resume(returning: left) }
        }
    }

    /// The same without waiting for it.
    func abandon() {
        state.withLock { state in
            state.isOpen = false
            if state.closing == nil { state.closing = .zero }
        }
    }
}
