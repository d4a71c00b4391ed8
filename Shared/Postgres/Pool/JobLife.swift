import Contracts
import Synchronization

/// The life of one job as a value: it decides what a cancellation does, so that no signal hits an innocent statement.
struct JobLife {
    private enum Phase {
        case queued
        /// On a thread, between statements.
        case held
        /// A statement is on the server. A signal would end this one and no other.
        case busy
        /// On the server together with others' statements, or committing: a signal is out of the question.
        case untouchable(mayBeAbandoned: Bool)
        case finished
    }

    enum Cancellation: Equatable {
        /// Take it out of the queue and answer at once.
        case withdraw
        /// Ask the server to end the statement, from a thread that may wait.
        case signal
        /// Answer at once; the statement ends by itself and its answer is dropped.
        case abandon
        /// It ends at its next step.
        case none
    }

    private var phase = Phase.queued
    private(set) var isCancelled = false
    private var wasSignalled = false

    /// False when it was cancelled or refused while it waited.
    mutating func start() -> Bool {
        guard case .queued = phase else { return false }
        phase = .held
        return true
    }

    /// A statement goes to the server. Throws `CancellationError` instead when the caller has gone.
    mutating func beginStatement() throws {
        if isCancelled { throw CancellationError() }
        phase = .busy
    }

    /// Whether a signal was sent meanwhile, which must be absorbed before the next statement.
    mutating func endStatement() -> Bool {
        phase = .held
        defer { wasSignalled = false }
        return wasSignalled
    }

    mutating func becomeUntouchable(mayBeAbandoned: Bool) throws {
        if isCancelled { throw CancellationError() }
        phase = .untouchable(mayBeAbandoned: mayBeAbandoned)
    }

    mutating func putBack() { phase = .queued }
    mutating func finish() { phase = .finished }

    mutating func cancel() -> Cancellation {
        isCancelled = true
        switch phase {
        case .queued:
            phase = .finished
            return .withdraw
        case .busy: return .signal
        case .untouchable(mayBeAbandoned: true): return .abandon
        case .held, .untouchable, .finished: return .none
        }
    }

    /// Asked under the lock, right before the signal: is the statement still the one to be ended?
    mutating func maySignal() -> Bool {
        guard case .busy = phase, !wasSignalled else { return false }
        wasSignalled = true
        return true
    }
}

/// The life of a job, shared by the thread that runs it and whoever cancels it.
final class JobControl: Sendable {
    private struct State {
        var life = JobLife()
        var handle: CancelHandle?
    }

    private let state = Mutex(State())

    func start() -> Bool { state.withLock { $0.life.start() } }

    func beginStatement(_ handle: CancelHandle?) throws {
        try state.withLock {
            try $0.life.beginStatement()
            $0.handle = handle
        }
    }

    /// Waits for a signal that is being sent; returns whether one was.
    func endStatement() -> Bool { state.withLock { $0.life.endStatement() } }
    func becomeUntouchable(mayBeAbandoned: Bool) throws {
        try state.withLock { try $0.life.becomeUntouchable(mayBeAbandoned: mayBeAbandoned) }
    }
    func putBack() { state.withLock { $0.life.putBack() } }
    func finish() { state.withLock { $0.life.finish() } }
    func cancel() -> JobLife.Cancellation { state.withLock { $0.life.cancel() } }
    var isCancelled: Bool { state.withLock { $0.life.isCancelled } }

    /// Holds the lock while the signal goes out, so that the statement cannot end and another begin in between.
    func signal() {
        state.withLock { state in
            if state.life.maySignal() { state.handle?.send() }
        }
    }
}

/// The place where a caller waits for a job's outcome; the first outcome counts.
final class Outlet<Value: Sendable>: Sendable {
    private enum State {
        case empty
        case awaited(CheckedContinuation<Value, any Error>)
        case early(Result<Value, any Error>)
        case done
    }

    private let state = Mutex(State.empty)

    /// False when the outcome was there already: there is nothing left to submit.
    func attach(_ continuation: CheckedContinuation<Value, any Error>) -> Bool {
        let early: Result<Value, any Error>? = state.withLock { state in
            if case .early(let result) = state {
                state = .done
                return result
            }
            state = .awaited(continuation)
            return nil
        }
        if let early { continuation.resume(with: early) }
        return early == nil
    }

    func resolve(_ result: Result<Value, any Error>) {
        let continuation: CheckedContinuation<Value, any Error>? = state.withLock { state in
            switch state {
            case .empty:
                state = .early(result)
                return nil
            case .awaited(let continuation):
                state = .done
                return continuation
            case .early, .done: return nil
            }
        }
        continuation?.resume(with: result)
    }
}
