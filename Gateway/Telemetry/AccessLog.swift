import Dispatch
import Foundation
import Logging
import ServiceKit
import ServiceLifecycle
import Synchronization

/// The lines that say what was asked and answered, on their way from the event loops to the log.
///
/// An event loop only copies bytes into memory of its own; one thread writes what has gathered, every tenth of a second or when there
/// is much. Where the log is slower than the requests lines are dropped and counted: no request waits for the log.
final class AccessLog: Service {
    /// Bytes of a loop at which the thread is woken.
    static let flushBytes = 65_536
    /// Full buffers of a loop that wait to be written; beyond this its lines are dropped. Four megabytes.
    static let maximumWaiting = 64
    static let interval = DispatchTimeInterval.milliseconds(100)

    /// A piece of the log. It belongs to its lane, under the lane's lock, or to the thread that took it from there.
    final class Piece: @unchecked Sendable {
        static let capacity = AccessLog.flushBytes + AccessLine.maximum
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: Piece.capacity)
        var count = 0

        deinit { base.deallocate() }

        var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    }

    /// What one event loop writes to.
    final class Lane: Sendable {
        private struct State {
            var current = Piece()
            var full: [Piece] = []
            var spare: [Piece] = []
            var dropped = 0
        }
        private let state = Mutex(State())
        private let wake: @Sendable () -> Void

        fileprivate init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

        var dropped: Int { state.withLock { $0.dropped } }

        /// Calls back once with room for `AccessLine.maximum` bytes, or not at all when there is none.
        @inline(__always)
        func write(_ body: (inout LineWriter) -> Void) {
            let isFull = state.withLock { state in
                guard state.current.count <= AccessLog.flushBytes else {
                    state.dropped += 1
                    return false
                }
                var writer = LineWriter(state.current.base + state.current.count, capacity: Piece.capacity - state.current.count)
                body(&writer)
                state.current.count += writer.count
                guard state.current.count > AccessLog.flushBytes, state.full.count < AccessLog.maximumWaiting else { return false }
                state.full.append(state.current)
                state.current = state.spare.popLast() ?? Piece()
                return true
            }
            if isFull { wake() }
        }

        /// What has gathered, in order.
        fileprivate func take() -> [Piece] {
            state.withLock { state in
                var pieces = state.full
                state.full = []
                if state.current.count > 0 {
                    pieces.append(state.current)
                    state.current = state.spare.popLast() ?? Piece()
                }
                return pieces
            }
        }

        /// Written ones are used again, as many as one interval needs.
        fileprivate func giveBack(_ pieces: [Piece]) {
            for piece in pieces { piece.count = 0 }
            state.withLock { state in
                state.spare.append(contentsOf: pieces.prefix(max(0, 8 - state.spare.count)))
            }
        }
    }

    private struct State {
        var lanes: [Lane] = []
        var isEnding = false
        var hasEnded = false
        var waiting: CheckedContinuation<Void, Never>?
    }

    let service: String
    /// Whether requests that went well are told of; otherwise only those that failed by a fault of ours.
    let tellsAll: Bool
    /// Whether any are.
    let tellsFaults: Bool
    private let write: @Sendable (UnsafeRawBufferPointer) -> Void
    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    /// `write` is given whole lines, from one thread.
    init(service: String, level: Logger.Level, write: @escaping @Sendable (UnsafeRawBufferPointer) -> Void) {
        self.service = service
        tellsAll = level <= .info
        tellsFaults = level <= .error
        self.write = write
    }

    /// Writes where the program's log goes. A log of another form than ours gets no lines.
    convenience init(_ logger: Logger) {
        if let log = logger.handler as? JSONLog {
            self.init(service: log.service, level: logger.logLevel) { log.write(lines: $0) }
        } else {
            self.init(service: logger.label, level: .critical) { _ in }
        }
    }

    func lane() -> Lane {
        let lane = Lane { [signal] in signal.signal() }
        state.withLock { $0.lanes.append(lane) }
        return lane
    }

    /// Lines that were lost, as the log could not keep up.
    var dropped: Int { state.withLock { $0.lanes }.reduce(0) { $0 + $1.dropped } }

    /// Writes all that has gathered.
    func flush() {
        for lane in state.withLock({ $0.lanes }) {
            let pieces = lane.take()
            for piece in pieces { write(piece.bytes) }
            lane.giveBack(pieces)
        }
    }

    /// Until the program ends, and then until everything is written. It is to be stopped after the event loops.
    func run() async throws {
        let thread = Thread { [self] in
            while !state.withLock({ $0.isEnding }) {
                _ = signal.wait(timeout: .now() + Self.interval)
                flush()
            }
            flush()
            ended()
        }
        thread.name = "access-log"
        thread.start()
        try? await gracefulShutdown()
        state.withLock { $0.isEnding = true }
        signal.signal()
        // Whoever reads the log may have stopped reading: the program ends all the same.
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if !state.hasEnded { state.waiting = continuation }
                    return state.hasEnded
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            ended()
        }
    }

    private func ended() {
        let waiting = state.withLock { state in
            state.hasEnded = true
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }
}
