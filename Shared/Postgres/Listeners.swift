import CLibPQ
import Foundation
import Logging
import Synchronization

/// The connections that listen for notifications, one thread each.
final class Listeners: Sendable {
    private let settings: ConnectionSettings
    private let logger: Logger
    private let open = Mutex<[ObjectIdentifier: Listener]>([:])

    init(_ settings: ConnectionSettings, _ logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    func listen(_ channel: String) -> AsyncStream<String> {
        // Only the newest matter to a listener that is behind: each says no more than "look again".
        let (stream, continuation) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(Listener.buffered))
        guard let listener = Listener(channel, settings, logger, continuation) else {
            continuation.finish()
            return stream
        }
        let id = ObjectIdentifier(listener)
        open.withLock { $0[id] = listener }
        continuation.onTermination = { [weak self] _ in
            listener.stop()
            self?.open.withLock { $0[id] = nil }
        }
        listener.start()
        return stream
    }

    func close() {
        let all = open.withLock { listeners in
            defer { listeners = [:] }
            return Array(listeners.values)
        }
        for listener in all { listener.stop() }
    }
}

/// One LISTEN, on a thread of its own, until it is stopped.
final class Listener: Sendable {
    static let buffered = 256
    private static let longestRetry: Duration = .seconds(5)

    private let channel: String
    private let settings: ConnectionSettings
    private let logger: Logger
    private let continuation: AsyncStream<String>.Continuation
    private let isStopped = Mutex(false)
    /// Read end and write end: closing is told to the waiting thread through it.
    private let bell: (read: CInt, write: CInt)

    /// Nil when the process has no file descriptors left.
    init?(_ channel: String, _ settings: ConnectionSettings, _ logger: Logger, _ continuation: AsyncStream<String>.Continuation) {
        var ends: [CInt] = [0, 0]
        guard pipe(&ends) == 0 else { return nil }
        bell = (ends[0], ends[1])
        self.channel = channel
        self.settings = settings
        self.logger = logger
        self.continuation = continuation
    }

    deinit {
        close(bell.read)
        close(bell.write)
    }

    func start() {
        let thread = Thread { [self] in work() }
        thread.name = "pg-listen"
        thread.stackSize = 1 << 19
        thread.start()
    }

    func stop() {
        isStopped.withLock { $0 = true }
        var byte: UInt8 = 1
        _ = write(bell.write, &byte, 1)
    }

    private func work() {
        var delay = Duration.milliseconds(100)
        while !isStopped.withLock({ $0 }) {
            let started = ContinuousClock.now
            if let handle = open() {
                continuation.yield("")
                receive(handle)
                PQfinish(handle)
            }
            if ContinuousClock.now - started > Self.longestRetry { delay = .milliseconds(100) }
            _ = wait(on: nil, for: delay)
            delay = min(delay * 2, Self.longestRetry)
        }
        continuation.finish()
    }

    private func open() -> OpaquePointer? {
        guard let handle = settings.open() else { return nil }
        guard PQstatus(handle) == CONNECTION_OK, let name = PQescapeIdentifier(handle, channel, channel.utf8.count) else {
            logger.debug("listener cannot connect")
            PQfinish(handle)
            return nil
        }
        defer { PQfreemem(name) }
        let result = PQexec(handle, "LISTEN \(String(cString: name))")
        defer { PQclear(result) }
        guard PQresultStatus(result) == PGRES_COMMAND_OK else {
            PQfinish(handle)
            return nil
        }
        return handle
    }

    /// Passes notifications on until the connection is lost or we are stopped.
    private func receive(_ handle: OpaquePointer) {
        while !isStopped.withLock({ $0 }) {
            while let notification = PQnotifies(handle) {
                continuation.yield(notification.pointee.extra.map { String(cString: $0) } ?? "")
                PQfreemem(notification)
            }
            _ = wait(on: PQsocket(handle), for: nil)
            guard PQconsumeInput(handle) == 1 else { return }
        }
    }

    /// Waits until the socket has something, the bell rings or the time is over.
    private func wait(on socket: CInt?, for time: Duration?) -> Bool {
        var descriptors = [pollfd(fd: bell.read, events: Int16(POLLIN), revents: 0)]
        if let socket { descriptors.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0)) }
        let milliseconds = time.map { CInt($0 / .milliseconds(1)) } ?? -1
        return poll(&descriptors, nfds_t(descriptors.count), milliseconds) > 0
    }
}
