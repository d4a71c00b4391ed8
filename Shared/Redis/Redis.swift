package import Logging
import ServiceLifecycle
import Synchronization

/// A client of Redis over a few connections, each with a thread of its own.
///
/// Commands of all tasks share the connections and are sent up to `batch` in one write, so many callers at once cost
/// little more than one. Do not send commands that block (`BLPOP`, `XREAD BLOCK`): they would hold up the others.
/// While the server is gone every command fails with `RedisFailure.away` at once; the client connects again by itself.
package final class Redis: Service {
    /// How often a command looks whether the first connection has been made, just after the start.
    private static let startingInterval: Duration = .milliseconds(5)

    package let configuration: RedisConfiguration
    private let queue: CommandQueue
    private let subscriber: Subscriber
    private let metrics: RedisMetrics
    /// The digests of scripts that were run before, by their source, as Redis told them.
    private let digests = Mutex<[String: String]>([:])

    /// Begins to connect at once, in the background.
    package init(_ configuration: RedisConfiguration, logger: Logger) {
        self.configuration = configuration
        let metrics = RedisMetrics()
        self.metrics = metrics
        let queue = CommandQueue(connections: configuration.connections, limit: configuration.queueLimit)
        self.queue = queue
        subscriber = Subscriber(configuration: configuration, metrics: metrics, logger: logger)
        for line in 0..<configuration.connections {
            ConnectionThread(line: line, configuration: configuration, queue: queue, metrics: metrics, logger: logger).start()
        }
    }

    deinit {
        queue.close()
        subscriber.close()
    }

    /// Whether commands are refused just now. False while the first connection is being made.
    package var isAway: Bool { queue.isAway }

    // MARK: Lifecycle

    /// Runs until the graceful shutdown, then answers what waits and closes.
    package func run() async throws {
        try? await gracefulShutdown()
        await shutdown()
    }

    /// Takes no further commands, answers those that wait, closes every connection and ends every subscription.
    package func shutdown() async {
        subscriber.close()
        queue.close()
        await queue.drained()
    }

    /// For readiness: throws unless Redis answers.
    package func ping() async throws {
        guard try await command(["PING"]).text == "PONG" else { throw RedisFailure.unexpectedAnswer }
    }

    // MARK: Commands

    /// Sends a command, such as `["SET", key, value]`. Throws `RedisFailure`, or `CancellationError` when the task is cancelled.
    package func command(_ arguments: [String]) async throws -> RedisValue {
        try await send(CommandEncoding.encode(arguments), name: arguments.first ?? "")
    }

    /// The same with arguments of any bytes.
    package func command(_ arguments: [[UInt8]]) async throws -> RedisValue {
        try await send(CommandEncoding.encode(arguments), name: String(decoding: arguments.first ?? [], as: UTF8.self))
    }

    private func send(_ bytes: [UInt8], name: String) async throws -> RedisValue {
        let start = ContinuousClock.now
        do {
            if queue.admission == .starting { try await firstConnection(until: start + configuration.timeout) }
            let value = try await enqueue(PendingCommand(bytes: bytes, deadline: start + configuration.timeout))
            metrics.took(ContinuousClock.now - start, command: name)
            return value
        } catch {
            metrics.failed(error)
            throw error
        }
    }

    private func firstConnection(until deadline: ContinuousClock.Instant) async throws {
        while queue.admission == .starting {
            guard ContinuousClock.now < deadline else { throw RedisFailure.away }
            try await Task.sleep(for: Self.startingInterval)
        }
    }

    private func enqueue(_ command: PendingCommand) async throws -> RedisValue {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard command.begin(continuation) else { return }
                switch queue.add(command) {
                case .admitted: break
                case .refused(let failure): command.fail(failure)
                case .starting: command.fail(.away)
                }
            }
        } onCancel: {
            command.finish(.failure(CancellationError()))
        }
    }

    // MARK: Scripts

    /// Runs a script by its digest; Redis is given the source again when it has forgotten it (`SCRIPT FLUSH`, a restart).
    package func run(_ script: RedisScript, keys: [String], arguments: [String] = []) async throws -> RedisValue {
        let operands = [String(keys.count)] + keys + arguments
        let digest = try await digest(of: script)
        do {
            return try await command(["EVALSHA", digest] + operands)
        } catch RedisFailure.server(let message) where message.hasPrefix("NOSCRIPT") {
            return try await command(["EVAL", script.source] + operands)
        }
    }

    private func digest(of script: RedisScript) async throws -> String {
        if let known = digests.withLock({ $0[script.source] }) { return known }
        guard let digest = try await command(["SCRIPT", "LOAD", script.source]).text else { throw RedisFailure.unexpectedAnswer }
        digests.withLock { $0[script.source] = digest }
        return digest
    }

    // MARK: Messages

    /// Returns how many subscribers the message reached. A message reaches only those who listen just then.
    @discardableResult
    package func publish(_ channel: String, _ message: String) async throws -> Int {
        guard let count = try await command(["PUBLISH", channel, message]).integer else { throw RedisFailure.unexpectedAnswer }
        return count
    }

    /// Listens from now until the stream is dropped. Messages published while the connection is gone are lost: the stream says
    /// `.resubscribed` when it is back, so that the listener can read again what it mirrors.
    package func subscribe(_ channels: String...) -> AsyncStream<RedisMessage> { subscriber.subscribe(channels) }
}
