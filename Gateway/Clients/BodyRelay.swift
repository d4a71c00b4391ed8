import NIOCore
import Synchronization

/// Hands the chunks of a request body from the task that reads the client to the one that writes to the service, one at a time:
/// a chunk is read only once the one before it was taken, so a slow service slows down the client and nothing piles up.
final class BodyRelay: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    /// The service no longer takes the body: it has answered, or has gone.
    struct Abandoned: Error {}

    private enum State {
        case empty
        case offered(ByteBuffer, CheckedContinuation<Void, any Error>)
        case awaited(CheckedContinuation<ByteBuffer?, any Error>)
        case finished((any Error)?)
        case abandoned
    }

    private struct Progress {
        var last = ContinuousClock.now
        var hasStarted = false
        var hasEnded = false
        var failure: (any Error)?
    }

    private let state = Mutex(State.empty)
    private let progress = Mutex(Progress())

    // MARK: The reader of the client

    /// Returns when the chunk was taken. Throws `Abandoned` when it will not be.
    func send(_ chunk: ByteBuffer) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            let action = state.withLock { state -> (() -> Void) in
                switch state {
                case .awaited(let consumer):
                    state = .empty
                    return {
                        consumer.resume(returning: chunk)
                        continuation.resume()
                    }
                case .empty:
                    state = .offered(chunk, continuation)
                    return {}
                case .offered, .finished, .abandoned:
                    return { continuation.resume(throwing: Abandoned()) }
                }
            }
            action()
        }
        progress.withLock {
            $0.last = .now
            $0.hasStarted = true
        }
    }

    func finish(throwing error: (any Error)? = nil) {
        progress.withLock { progress in
            guard !progress.hasEnded else { return }
            progress.last = .now
            progress.hasEnded = true
            progress.failure = error
        }
        let consumer = state.withLock { state -> CheckedContinuation<ByteBuffer?, any Error>? in
            switch state {
            case .awaited(let consumer):
                state = .finished(nil)
                return consumer
            case .empty: state = .finished(error)
            case .offered, .finished, .abandoned: break
            }
            return nil
        }
        if let error { consumer?.resume(throwing: error) } else { consumer?.resume(returning: nil) }
    }

    // MARK: The writer to the service

    /// Takes no more: a chunk on offer is given back, later ones are refused.
    func abandon() {
        let action = state.withLock { state -> (() -> Void) in
            defer { state = .abandoned }
            switch state {
            case .offered(_, let producer): return { producer.resume(throwing: Abandoned()) }
            case .awaited(let consumer): return { consumer.resume(throwing: Abandoned()) }
            case .empty, .finished, .abandoned: return {}
            }
        }
        action()
    }

    func makeAsyncIterator() -> Iterator { Iterator(relay: self) }

    struct Iterator: AsyncIteratorProtocol {
        let relay: BodyRelay
        func next() async throws -> ByteBuffer? { try await relay.next() }
    }

    private func next() async throws -> ByteBuffer? {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<ByteBuffer?, any Error>) in
            let action = state.withLock { state -> (() -> Void) in
                switch state {
                case .offered(let chunk, let producer):
                    state = .empty
                    return {
                        continuation.resume(returning: chunk)
                        producer.resume()
                    }
                case .empty:
                    state = .awaited(continuation)
                    return {}
                case .finished(let error):
                    return { if let error { continuation.resume(throwing: error) } else { continuation.resume(returning: nil) } }
                case .awaited, .abandoned:
                    return { continuation.resume(throwing: Abandoned()) }
                }
            }
            action()
        }
    }

    // MARK: How far it is

    var hasStarted: Bool { progress.withLock { $0.hasStarted } }
    var hasEnded: Bool { progress.withLock { $0.hasEnded } }
    /// Why the body could not be read to its end.
    var failure: (any Error)? { progress.withLock { $0.failure } }

    /// Returns when no chunk has moved for `idle`, or when `answer` has passed since the body ended.
    func stalled(idle: Duration, answer: Duration) async throws {
        while true {
            let (last, hasEnded) = progress.withLock { ($0.last, $0.hasEnded) }
            let deadline = last + (hasEnded ? answer : idle)
            if ContinuousClock.now >= deadline { return }
            // The body may end while this sleeps, and the shorter time begins to count then.
            try await Task.sleep(until: Swift.min(deadline, .now + answer))
        }
    }
}
