import Foundation
import Logging
import Synchronization

/// The connection that listens. Its thread begins with the first subscription and carries all of them.
final class Subscriber: Sendable {
    /// Messages that one listener may be behind; then the oldest are dropped and the listener is told `.resubscribed`.
    static let bufferLimit = 1024

    private struct Outlet {
        let continuation: AsyncStream<RedisMessage>.Continuation
        var isLagging = false

        mutating func yield(_ message: RedisMessage, metrics: RedisMetrics) {
            switch continuation.yield(message) {
            case .dropped:
                metrics.droppedMessage()
                if !isLagging { continuation.yield(.resubscribed) }
                isLagging = true
            case .enqueued:
                if isLagging { continuation.yield(.resubscribed) }
                isLagging = false
            default: break
            }
        }
    }

    private struct State {
        var book = SubscriptionBook<Int>()
        var outlets: [Int: Outlet] = [:]
        var nextListener = 0
        /// Commands for the connection; cleared when a new connection subscribes to everything anyway.
        var commands: [[String]] = []
        var isRunning = false
        var isClosed = false
    }

    private let configuration: RedisConfiguration
    private let metrics: RedisMetrics
    private let logger: Logger
    private let state = Mutex(State())
    private let wakeUp = WakeUpPipe()

    init(configuration: RedisConfiguration, metrics: RedisMetrics, logger: Logger) {
        self.configuration = configuration
        self.metrics = metrics
        self.logger = logger
    }

    func subscribe(_ channels: [String]) -> AsyncStream<RedisMessage> {
        let (stream, continuation) = AsyncStream.makeStream(of: RedisMessage.self, bufferingPolicy: .bufferingNewest(Self.bufferLimit))
        let (listener, mustStart) = state.withLock { state -> (Int?, Bool) in
            guard !state.isClosed, !channels.isEmpty else { return (nil, false) }
            let listener = state.nextListener
            state.nextListener += 1
            let (fresh, notice) = state.book.add(listener, channels: Set(channels))
            if !fresh.isEmpty { state.commands.append(["SUBSCRIBE"] + fresh.sorted()) }
            var outlet = Outlet(continuation: continuation)
            if notice != nil { outlet.yield(.subscribed, metrics: metrics) }
            state.outlets[listener] = outlet
            defer { state.isRunning = true }
            return (listener, !state.isRunning)
        }
        guard let listener else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in self?.remove(listener) }
        if mustStart { startThread() } else { wakeUp.signal() }
        return stream
    }

    private func remove(_ listener: Int) {
        state.withLock { state in
            state.outlets[listener] = nil
            let unheard = state.book.remove(listener)
            if !unheard.isEmpty { state.commands.append(["UNSUBSCRIBE"] + unheard.sorted()) }
        }
        wakeUp.signal()
    }

    func close() {
        let outlets = state.withLock { state in
            state.isClosed = true
            defer { state.outlets = [:] }
            return state.outlets.values.map(\.continuation)
        }
        for outlet in outlets { outlet.finish() }
        wakeUp.signal()
    }

    private var isClosed: Bool { state.withLock { $0.isClosed } }

    // MARK: The thread

    private func startThread() {
        let thread = Thread { [self] in run() }
        thread.name = "redis-listen"
        thread.stackSize = ConnectionThread.stackSize
        thread.start()
    }

    private func run() {
        ConnectionThread.blockBrokenPipeSignal()
        var machine = ConnectionMachine(backOff: configuration.backOff, probeInterval: configuration.probeInterval, at: .now)
        var connection: HiredisConnection?
        var awaitsPong = false
        while !isClosed {
            do throws(HiredisConnection.Trouble) {
                switch machine.action(at: .now) {
                case .connect:
                    connection = nil
                    awaitsPong = false
                    let fresh = try HiredisConnection(configuration)
                    try subscribeAll(over: fresh)
                    machine.connected(at: .now)
                    connection = fresh
                case .rest(let until):
                    wakeUp.wait(until: until)
                case .probe:
                    // The answer to the last probe is overdue by a whole interval.
                    if awaitsPong { throw .timedOut }
                    try connection?.send(["PING"])
                    awaitsPong = true
                    machine.answered(at: .now)
                case .serve(let until):
                    guard let connection else { break }
                    try sendCommands(over: connection)
                    guard wakeUp.wait(until: until, or: connection.descriptor) else { break }
                    for value in try connection.receive() { deliver(value) }
                    awaitsPong = false
                    machine.answered(at: .now)
                }
            } catch {
                connection = nil
                machine.failed(at: .now, chance: .random(in: 0...1))
                logger.debug("subscriptions are interrupted", metadata: ["reason": "\(error.reason)"])
            }
        }
    }

    private func subscribeAll(over connection: HiredisConnection) throws(HiredisConnection.Trouble) {
        let channels = state.withLock { state in
            state.commands = []
            return state.book.reconnected()
        }
        if !channels.isEmpty { try connection.send(["SUBSCRIBE"] + channels.sorted()) }
    }

    private func sendCommands(over connection: HiredisConnection) throws(HiredisConnection.Trouble) {
        let commands = state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
        for command in commands { try connection.send(command) }
    }

    private func deliver(_ value: RedisValue) {
        guard let parts = value.array, parts.count == 3, let kind = parts[0].text, let channel = parts[1].text else { return }
        state.withLock { state in
            if kind == "subscribe" {
                for (listener, notice) in state.book.confirm(channel) {
                    state.outlets[listener]?.yield(notice == .subscribed ? .subscribed : .resubscribed, metrics: metrics)
                }
            } else if kind == "message", let payload = parts[2].bytes {
                for listener in state.book.listeners(of: channel) {
                    state.outlets[listener]?.yield(.message(channel: channel, payload: payload), metrics: metrics)
                }
            }
        }
    }
}
