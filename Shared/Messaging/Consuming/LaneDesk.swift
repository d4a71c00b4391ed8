import Kafka
import Synchronization

/// Where the fetching task and the workers of a consumer meet.
final class LaneDesk: Sendable {
    private struct State {
        var lanes = KeyLanes()
        var workers: [CheckedContinuation<KeyLanes.Work?, Never>] = []
        var fetcher: CheckedContinuation<Void, Never>?
        var isClosed = false
    }

    /// Messages taken from the consumer and not finished.
    private let limit: Int
    /// Messages of one lane handed out together.
    private let together: Int
    private let state = Mutex(State())

    init(limit: Int, together: Int = 1) {
        self.limit = limit
        self.together = together
    }

    func add(_ messages: [KafkaMessage], needed: (KafkaMessage) -> Bool) {
        let needs = messages.map(needed)
        change { state in
            for (message, isNeeded) in zip(messages, needs) {
                if isNeeded { state.lanes.add(message) } else { state.lanes.skip(message) }
            }
        }
    }

    /// Waits until there is room for more messages, or the desk is closed.
    func room() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.isClosed || state.lanes.count < limit { return true }
                state.fetcher = continuation
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    /// The next message to handle; nil when the desk is closed.
    func next() async -> KeyLanes.Work? {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> KeyLanes.Work?? in
                if state.isClosed { return .some(nil) }
                if let work = state.lanes.take(most: together) { return work }
                state.workers.append(continuation)
                return .none
            }
            if let now { continuation.resume(returning: now) }
        }
    }

    func finish(_ work: KeyLanes.Work) { change { $0.lanes.finish(work) } }
    func park(_ work: KeyLanes.Work, counts: Bool) { change { $0.lanes.park(work, counts: counts) } }
    func resume(_ lane: KeyLanes.Lane) { change { $0.lanes.resume(lane) } }

    func positions() -> [KafkaPosition] { state.withLock { $0.lanes.positions() } }

    func forget(except isCurrent: (TopicPartition, Int) -> Bool) {
        state.withLock { $0.lanes.forget(except: isCurrent) }
    }

    /// Hands out no more; what is being worked on can still be finished.
    func close() {
        let (workers, fetcher) = state.withLock { state in
            state.isClosed = true
            defer {
                state.workers = []
                state.fetcher = nil
            }
            return (state.workers, state.fetcher)
        }
        for worker in workers { worker.resume(returning: nil) }
        fetcher?.resume()
    }

    private func change(_ body: (inout State) -> Void) {
        typealias Ready = ([(CheckedContinuation<KeyLanes.Work?, Never>, KeyLanes.Work)], CheckedContinuation<Void, Never>?)
        let (workers, fetcher) = state.withLock { state -> Ready in
            body(&state)
            var ready: Ready = ([], nil)
            while !state.workers.isEmpty, let work = state.lanes.take(most: together) { ready.0.append((state.workers.removeLast(), work)) }
            if state.lanes.count < limit {
                ready.1 = state.fetcher
                state.fetcher = nil
            }
            return ready
        }
        for (worker, work) in workers { worker.resume(returning: work) }
        fetcher?.resume()
    }
}
