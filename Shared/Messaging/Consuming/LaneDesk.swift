import Kafka
import Synchronization

/// Where the fetching task and the workers of a consumer meet.
final class LaneDesk: Sendable {
    private struct State {
        var lanes: KeyLanes
        var workers: [CheckedContinuation<KeyLanes.Work?, Never>] = []
        var fetcher: CheckedContinuation<Void, Never>?
        var isClosed = false
        /// What handling an event has taken of late.
        var secondsEach = 0.0
    }

    /// How much the last transaction says of the next.
    private static let newest = 0.2
    /// Below so many a transaction's own cost would grow over that of its events, and slowness would make things slower.
    private static let fewest = 10

    private let limits: EventConsumer.Limits
    private let state: Mutex<State>

    init(_ limits: EventConsumer.Limits) {
        self.limits = limits
        state = Mutex(State(lanes: KeyLanes(workersEach: limits.workersOfOne)))
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
                if state.isClosed || hasRoom(state.lanes) { return true }
                state.fetcher = continuation
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    /// What to handle next; nil when the desk is closed.
    func next() async -> KeyLanes.Work? {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> KeyLanes.Work?? in
                if state.isClosed { return .some(nil) }
                if let work = take(&state) { return work }
                state.workers.append(continuation)
                return .none
            }
            if let now { continuation.resume(returning: now) }
        }
    }

    func finish(_ work: KeyLanes.Work) { change { $0.lanes.finish(work) } }

    /// What the handlers of a transaction took, without its own cost: slow ones get fewer events together.
    func handled(_ count: Int, in elapsed: Duration) {
        guard count > 0 else { return }
        state.withLock { $0.secondsEach += (elapsed / .seconds(1) / Double(count) - $0.secondsEach) * Self.newest }
    }

    func park(_ work: KeyLanes.Work, after attempt: Attempt, counts: Bool) {
        change { $0.lanes.park(work, after: attempt, counts: counts) }
    }
    func split(_ work: KeyLanes.Work, suspects: Set<Suspect>) { change { $0.lanes.split(work, suspects: suspects) } }
    func resume(_ lanes: [KeyLanes.Lane]) {
        change { state in
            for lane in lanes { state.lanes.resume(lane) }
        }
    }

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

    private func take(_ state: inout State) -> KeyLanes.Work? {
        let fitting = limits.transactionTarget / .seconds(1) / max(state.secondsEach, .ulpOfOne)
        return state.lanes.take(
            most: min(limits.together, max(Self.fewest, Int(min(Double(limits.together), fitting)))), bytes: limits.togetherBytes)
    }

    private func hasRoom(_ lanes: KeyLanes) -> Bool {
        lanes.count < limits.readAhead && lanes.bytes < limits.readAheadBytes && lanes.span < limits.span
    }

    private func change(_ body: (inout State) -> Void) {
        typealias Ready = ([(CheckedContinuation<KeyLanes.Work?, Never>, KeyLanes.Work)], CheckedContinuation<Void, Never>?)
        let (workers, fetcher) = state.withLock { state -> Ready in
            body(&state)
            var ready: Ready = ([], nil)
            while !state.workers.isEmpty, let work = take(&state) { ready.0.append((state.workers.removeLast(), work)) }
            if state.fetcher != nil, hasRoom(state.lanes) {
                ready.1 = state.fetcher
                state.fetcher = nil
            }
            return ready
        }
        for (worker, work) in workers { worker.resume(returning: work) }
        fetcher?.resume()
    }
}
