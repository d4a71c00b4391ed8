import DequeModule
import Kafka

/// Messages on their way through a consumer: one lane for each key, so that a key stays in order and none holds up another.
/// No clock and no tasks.
struct KeyLanes {
    struct Lane: Hashable, Sendable {
        let place: TopicPartition
        /// Messages without a key are all of one lane of their partition.
        let key: [UInt8]?
    }

    struct Work: Sendable {
        let lane: Lane
        let message: KafkaMessage
        /// Those after it that are handled with it.
        let rest: [KafkaMessage]
        /// Failures of this message so far that count as tries.
        let failures: Int
        /// All failures so far, for the back-off.
        let setbacks: Int

        var messages: [KafkaMessage] { [message] + rest }
    }

    private struct Queue {
        var messages: Deque<KafkaMessage> = []
        var failures = 0
        var setbacks = 0
    }

    private struct Held: Hashable {
        let place: TopicPartition
        let assignment: Int
    }

    private var queues: [Lane: Queue] = [:]
    /// Lanes with a message that nobody works on and that need not wait.
    private var ready: Deque<Lane> = []
    private var progress: [Held: PartitionProgress] = [:]
    private var moved: Set<Held> = []
    /// Messages begun and not finished.
    private(set) var count = 0

    mutating func add(_ message: KafkaMessage) {
        progress[Held(place: message.place, assignment: message.assignment), default: PartitionProgress()].begin(message.offset)
        count += 1
        let lane = Lane(place: message.place, key: message.key)
        if queues[lane] == nil {
            queues[lane] = Queue()
            ready.append(lane)
        }
        queues[lane]?.messages.append(message)
    }

    /// A message that needs no handling: counts as handled.
    mutating func skip(_ message: KafkaMessage) {
        let held = Held(place: message.place, assignment: message.assignment)
        progress[held, default: PartitionProgress()].begin(message.offset)
        if progress[held]?.finish(message.offset) == true { moved.insert(held) }
    }

    /// The first message of a lane that is ready, with up to `most` in all; the lane is taken until `finish` or `park`. After a setback
    /// messages come one by one, so that the one that fails is found.
    mutating func take(most: Int = 1) -> Work? {
        guard let lane = ready.popFirst(), let queue = queues[lane], let message = queue.messages.first else { return nil }
        let rest =
            most > 1 && queue.setbacks == 0
            ? Array(queue.messages.dropFirst().prefix(most - 1).prefix { $0.assignment == message.assignment }) : []
        return Work(lane: lane, message: message, rest: rest, failures: queue.failures, setbacks: queue.setbacks)
    }

    mutating func finish(_ work: Work) {
        let held = Held(place: work.message.place, assignment: work.message.assignment)
        for message in work.messages where progress[held]?.finish(message.offset) == true { moved.insert(held) }
        count -= 1 + work.rest.count
        queues[work.lane]?.messages.removeFirst(1 + work.rest.count)
        queues[work.lane]?.failures = 0
        queues[work.lane]?.setbacks = 0
        if queues[work.lane]?.messages.isEmpty == true { queues[work.lane] = nil } else { ready.append(work.lane) }
    }

    /// The message stays the first of its lane, and the lane waits until `resume`.
    mutating func park(_ work: Work, counts: Bool) {
        queues[work.lane]?.setbacks += 1
        if counts { queues[work.lane]?.failures += 1 }
    }

    mutating func resume(_ lane: Lane) {
        if queues[lane] != nil { ready.append(lane) }
    }

    /// Up to where partitions are handled, of those that have moved since the last call.
    mutating func positions() -> [KafkaPosition] {
        defer { moved = [] }
        return moved.compactMap { held in
            guard let next = progress[held]?.next else { return nil }
            return KafkaPosition(held.place, offset: next, assignment: held.assignment)
        }
    }

    /// Forgets assignments that have ended, as far as nothing of them is under way.
    mutating func forget(except isCurrent: (TopicPartition, Int) -> Bool) {
        progress = progress.filter { isCurrent($0.key.place, $0.key.assignment) || !$0.value.isIdle }
    }
}
