import CRdKafka
import Foundation
import Logging
import Synchronization

/// A handle of librdkafka. The library locks for itself: any thread may use one, until it is destroyed.
struct KafkaHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Takes over the configuration, also when it fails.
    init(_ type: rd_kafka_type_t, _ conf: OpaquePointer) throws(KafkaFailure) {
        var sentence = [CChar](repeating: 0, count: 512)
        guard let pointer = rd_kafka_new(type, conf, &sentence, sentence.count) else {
            rd_kafka_conf_destroy(conf)
            throw .misconfigured([KafkaConfiguration.text(sentence)])
        }
        self.pointer = pointer
    }
}

/// Hears what the library says: its log lines and its errors, said again in our log, each kind once in a while.
final class KafkaObserver: Sendable {
    /// The same complaint is logged once in this time.
    static let repeatAfter: Duration = .seconds(30)

    let logger: Logger
    /// Of a consumer: what its callbacks change.
    let assignments: ConsumerState?
    /// Where tokens come from, when the library asks for them.
    let tokenPath: String?
    private let said = Mutex<[String: ContinuousClock.Instant]>([:])

    init(_ security: KafkaSecurity, logger: Logger, assignments: ConsumerState? = nil) {
        tokenPath = security.asksForTokens ? security.tokenPath : nil
        self.logger = logger
        self.assignments = assignments
    }

    /// Registers as the opaque of the configuration, with callbacks for logs and errors. The client's owner keeps the observer
    /// alive until the client is destroyed.
    func attach(to conf: OpaquePointer) {
        rd_kafka_conf_set_opaque(conf, Unmanaged.passUnretained(self).toOpaque())
        rd_kafka_conf_set_log_cb(conf) { client, level, facility, text in
            guard let client, let text, let observer = KafkaObserver.of(client) else { return }
            observer.log(level: level, facility: facility.map { String(cString: $0) } ?? "", String(cString: text))
        }
        rd_kafka_conf_set_error_cb(conf) { client, error, reason, _ in
            guard let client, let observer = KafkaObserver.of(client) else { return }
            observer.error(rd_kafka_resp_err_t(error), reason.map { String(cString: $0) } ?? "")
        }
        guard tokenPath != nil else { return }
        rd_kafka_conf_enable_sasl_queue(conf, 1)
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf) { client, _, _ in
            guard let client, let path = KafkaObserver.of(client)?.tokenPath else { return }
            KafkaToken.refresh(client, from: path)
        }
    }

    /// Has the library ask for tokens on a thread of its own: a client that waits for an answer polls nothing.
    func serveTokens(of client: KafkaHandle) {
        guard tokenPath != nil, let error = rd_kafka_sasl_background_callbacks_enable(client.pointer) else { return }
        logger.error("kafka tokens", metadata: ["reason": "\(String(cString: rd_kafka_error_string(error)))"])
        rd_kafka_error_destroy(error)
    }

    static func of(_ client: OpaquePointer) -> KafkaObserver? {
        guard let opaque = rd_kafka_opaque(client) else { return nil }
        return Unmanaged<KafkaObserver>.fromOpaque(opaque).takeUnretainedValue()
    }

    private func log(level: CInt, facility: String, _ text: String) {
        // syslog's levels: 3 error, 4 warning, 5 notice, 6 info, 7 debug
        let metadata: Logger.Metadata = ["facility": "\(facility)", "reason": "\(text)"]
        guard level <= 4 else { return logger.debug("kafka library", metadata: metadata) }
        guard isNew(facility) else { return }
        logger.warning("kafka library", metadata: metadata)
    }

    func error(_ error: rd_kafka_resp_err_t, _ reason: String) {
        KafkaMetrics.errors.increment(("code", error.name))
        guard isNew(error.name) else { return }
        logger.warning("kafka error", metadata: ["code": "\(error.name)", "reason": "\(reason)"])
    }

    private func isNew(_ kind: String) -> Bool {
        said.withLock { said in
            let now = ContinuousClock.now
            if let last = said[kind], now - last < Self.repeatAfter { return false }
            said[kind] = now
            return true
        }
    }
}

/// Work that blocks, kept off the threads of Swift's tasks.
enum BlockingThread {
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.name = name
        thread.start()
    }

    static func run<T: Sendable>(_ name: String, _ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            start(name) { continuation.resume(with: Result { try body() }) }
        }
    }
}
