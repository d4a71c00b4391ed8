import DequeModule
import Synchronization

/// What a consumer knows between the library's thread and the tasks that handle: which partitions are ours, what waits
/// to be handled, and who waits for it. No I/O.
final class ConsumerState: Sendable {
    /// Messages waiting to be handled. Deep, because pausing throws away what the library has fetched ahead.
    static let queueLimit = 8_192
    static let queueLimitBytes = 33_554_432

    private struct Waiter {
        let most: Int
        let continuation: CheckedContinuation<[KafkaMessage]?, Never>
    }

    private struct State {
        var queue: Deque<KafkaMessage> = []
        var queuedBytes = 0
        var waiter: Waiter?
        var isStopping = false
        var isGone = false
        var closers: [CheckedContinuation<Void, Never>] = []
        /// The number of the assignment under which each of our partitions is held.
        var assignments: [TopicPartition: Int] = [:]
        var lastAssignment = 0
        /// Calls that wait for the brokers; the client outlives them.
        var calls = 0
        /// The first offset not handled yet, as far as this process knows.
        var handled: [TopicPartition: Int64] = [:]

        mutating func take(_ most: Int) -> [KafkaMessage] {
            let count = min(max(1, most), queue.count)
            let messages = Array(queue.prefix(count))
            queue.removeFirst(count)
            queuedBytes -= messages.reduce(0) { $0 + $1.size }
            return messages
        }
    }

    private let state = Mutex(State())

    var isStopping: Bool { state.withLock { $0.isStopping } }
    var isFull: Bool { state.withLock { $0.queue.count >= Self.queueLimit || $0.queuedBytes >= Self.queueLimitBytes } }
    var assigned: [TopicPartition] { state.withLock { Array($0.assignments.keys) } }

    func assignment(of place: TopicPartition) -> Int? { state.withLock { $0.assignments[place] } }

    // MARK: - From the library's thread

    func assign(_ places: [TopicPartition]) {
        state.withLock { state in
            state.lastAssignment += 1
            for place in places { state.assignments[place] = state.lastAssignment }
        }
    }

    /// Forgets the partitions and what waits of them: others handle that now.
    func revoke(_ places: [TopicPartition]) {
        state.withLock { state in
            let gone = Set(places)
            for place in places {
                state.assignments[place] = nil
                state.handled[place] = nil
            }
            state.queue.removeAll { gone.contains($0.place) }
            state.queuedBytes = state.queue.reduce(0) { $0 + $1.size }
        }
    }

    func deliver(_ messages: [KafkaMessage]) {
        let ready = state.withLock { state -> (Waiter, [KafkaMessage])? in
            for message in messages where state.assignments[message.place] == message.assignment {
                state.queue.append(message)
                state.queuedBytes += message.size
                if state.handled[message.place] == nil { state.handled[message.place] = message.offset }
            }
            guard !state.queue.isEmpty, let waiter = state.waiter else { return nil }
            state.waiter = nil
            return (waiter, state.take(waiter.most))
        }
        if let (waiter, batch) = ready { waiter.continuation.resume(returning: batch) }
    }

    /// Nobody waits any longer, neither for messages nor for the end.
    func ended() {
        let (waiter, closers) = state.withLock { state in
            state.isStopping = true
            state.isGone = true
            state.queue = []
            state.queuedBytes = 0
            defer {
                state.waiter = nil
                state.closers = []
            }
            return (state.waiter, state.closers)
        }
        waiter?.continuation.resume(returning: nil)
        for closer in closers { closer.resume() }
    }

    /// The first offset of each of our partitions that is not handled yet.
    var handledOffsets: [TopicPartition: Int64] { state.withLock { $0.handled } }

    // MARK: - From tasks

    func next(_ most: Int) async -> [KafkaMessage]? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<[KafkaMessage]?, Never>) in
                let now = state.withLock { state -> [KafkaMessage]?? in
                    if state.isStopping || Task.isCancelled { return .some(nil) }
                    precondition(state.waiter == nil, "one task at a time waits for messages")
                    guard state.queue.isEmpty else { return .some(state.take(most)) }
                    state.waiter = Waiter(most: most, continuation: continuation)
                    return .none
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            releaseWaiter()
        }
    }

    /// Keeps the positions that are ours under the assignment that brought their messages, and remembers them.
    func current(_ positions: [KafkaPosition]) -> [KafkaPosition] {
        state.withLock { state in
            guard !state.isGone else { return [] }
            let ours = positions.filter { state.assignments[$0.place] == $0.assignment }
            for position in ours { state.handled[position.place] = max(position.offset, state.handled[position.place] ?? 0) }
            return ours
        }
    }

    /// Runs `body` unless the client is gone, and keeps it from going meanwhile.
    func whileOpen<R>(_ body: () -> R) -> R? {
        state.withLock { $0.isGone ? nil : body() }
    }

    /// The same for calls that wait: nil when the client is gone, else it stays until `body` returns.
    func whileWaiting<R>(_ body: () throws -> R) rethrows -> R? {
        let isOpen = state.withLock { state in
            guard !state.isGone else { return false }
            state.calls += 1
            return true
        }
        guard isOpen else { return nil }
        defer { state.withLock { $0.calls -= 1 } }
        return try body()
    }

    var hasCalls: Bool { state.withLock { $0.calls > 0 } }

    func stop() {
        state.withLock { $0.isStopping = true }
        releaseWaiter()
    }

    func stopped() async {
        await withCheckedContinuation { continuation in
            let isGone = state.withLock { state in
                if !state.isGone { state.closers.append(continuation) }
                return state.isGone
            }
            if isGone { continuation.resume() }
        }
    }

    private func releaseWaiter() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.continuation.resume(returning: nil)
    }
}

extension KafkaMessage {
    /// What it costs to keep, nearly.
    var size: Int { (key?.count ?? 0) + (value?.count ?? 0) + headers.reduce(0) { $0 + $1.value.count } }
}
