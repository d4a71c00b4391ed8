import Synchronization

/// A command on its way, and the task that waits for its answer. Whoever finishes it first (answer, failure, cancellation) wins.
final class PendingCommand: Sendable {
    private enum State {
        case fresh
        case waiting(CheckedContinuation<RedisValue, any Error>)
        case finished
    }

    let bytes: [UInt8]
    /// After this it is not sent any more.
    let deadline: ContinuousClock.Instant
    private let state = Mutex(State.fresh)

    init(bytes: [UInt8], deadline: ContinuousClock.Instant) {
        self.bytes = bytes
        self.deadline = deadline
    }

    var isFinished: Bool {
        state.withLock { if case .finished = $0 { true } else { false } }
    }

    /// False when it was cancelled before it began; then the continuation has been resumed.
    func begin(_ continuation: CheckedContinuation<RedisValue, any Error>) -> Bool {
        let begun = state.withLock { state in
            guard case .fresh = state else { return false }
            state = .waiting(continuation)
            return true
        }
        if !begun { continuation.resume(throwing: CancellationError()) }
        return begun
    }

    func finish(_ result: Result<RedisValue, any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<RedisValue, any Error>? in
            let previous = state
            state = .finished
            if case .waiting(let continuation) = previous { return continuation }
            return nil
        }
        continuation?.resume(with: result)
    }

    func answer(_ value: RedisValue) {
        if case .error(let message) = value { finish(.failure(RedisFailure.server(message))) } else { finish(.success(value)) }
    }

    func fail(_ failure: RedisFailure) { finish(.failure(failure)) }
}
