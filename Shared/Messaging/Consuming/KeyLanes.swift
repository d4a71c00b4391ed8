import DequeModule
import Kafka

/// Messages on their way through a consumer: one lane for each key, so that a key stays in order and none holds up another; and
/// organizations in turn, so that one with ten thousand messages does not hold up one with a single message.
/// No clock and no tasks.
struct KeyLanes {
    struct Lane: Hashable, Sendable {
        let place: TopicPartition
        /// Messages without a key are all of one lane of their partition.
        let key: [UInt8]?
    }

    /// Messages of one lane, in order.
    struct Share: Sendable {
        let lane: Lane
        let messages: [KafkaMessage]
    }

    /// What one worker handles in one transaction: messages of one organization, of one lane or of several.
    struct Work: Sendable {
        fileprivate let tenant: Tenant
        let shares: [Share]
        /// Of the first message: failures so far that count as tries.
        let failures: Int
        /// Of the first message: all failures so far, for the back-off.
        let setbacks: Int
        /// Of the first message: what happened at each of its tries.
        let history: [Attempt]

        var lane: Lane { shares[0].lane }
        var message: KafkaMessage { shares[0].messages[0] }
        var messages: [KafkaMessage] { shares.flatMap(\.messages) }
        var count: Int { shares.reduce(0) { $0 + $1.messages.count } }
    }

    /// The bytes of the header `ce_tenantid`; messages without it are all of one organization, nobody's.
    typealias Tenant = [UInt8]

    private struct Queue {
        var messages: Deque<KafkaMessage> = []
        var failures = 0
        var setbacks = 0
        var history: [Attempt] = []
        /// Offsets that are handled alone, because a transaction with one of them has failed.
        var suspects: ClosedRange<Int64>?

        func isAlone(_ message: KafkaMessage) -> Bool { suspects?.contains(message.offset) ?? false }
        var isHeadAlone: Bool { setbacks > 0 || messages.first.map(isAlone) == true }
    }

    /// One organization's lanes that are ready, and how many workers are at it.
    private struct Flow {
        var ready: Deque<Lane> = []
        var busy = 0
        var isListed = false
    }

    private struct Held: Hashable {
        let place: TopicPartition
        let assignment: Int
    }

    /// Workers that one organization may have at a time.
    private let workersEach: Int
    private var queues: [Lane: Queue] = [:]
    private var flows: [Tenant: Flow] = [:]
    /// Organizations with a ready lane that may have another worker; each once.
    private var turns: Deque<Tenant> = []
    private var progress: [Held: PartitionProgress] = [:]
    private var moved: Set<Held> = []
    /// Messages begun and not finished, and what they take.
    private(set) var count = 0
    private(set) var bytes = 0

    init(workersEach: Int = .max) { self.workersEach = workersEach }

    /// Offsets between the first that is not finished and the last that has begun, of all partitions.
    var span: Int { progress.values.reduce(0) { $0 + $1.span } }

    mutating func add(_ message: KafkaMessage) {
        progress[Held(place: message.place, assignment: message.assignment), default: PartitionProgress()].begin(message.offset)
        count += 1
        bytes += message.weight
        let lane = Lane(place: message.place, key: message.key)
        let isNew = queues[lane] == nil
        queues[lane, default: Queue()].messages.append(message)
        if isNew { makeReady(lane) }
    }

    /// A message that needs no handling: counts as handled.
    mutating func skip(_ message: KafkaMessage) {
        let held = Held(place: message.place, assignment: message.assignment)
        progress[held, default: PartitionProgress()].begin(message.offset)
        if progress[held]?.finish(message.offset) == true { moved.insert(held) }
    }

    /// Up to `most` messages of the organization whose turn it is, from the heads of its ready lanes; these are taken until `finish`,
    /// `park` or `split`. After a setback, and of suspects, one message comes alone, so that the one that fails is found.
    mutating func take(most: Int = 1, bytes mostBytes: Int = .max) -> Work? {
        guard let tenant = turns.popFirst() else { return nil }
        flows[tenant]?.isListed = false
        var shares: [Share] = []
        var first = Queue()
        var room = most
        var roomBytes = mostBytes
        while room > 0, roomBytes > 0, let lane = flows[tenant]?.ready.first, let queue = queues[lane] {
            let isAlone = queue.isHeadAlone
            if isAlone, !shares.isEmpty { break }
            let messages = isAlone ? Array(queue.messages.prefix(1)) : portion(of: queue, tenant, room, &roomBytes)
            guard !messages.isEmpty else { break }
            flows[tenant]?.ready.removeFirst()
            if shares.isEmpty { first = queue }
            shares.append(Share(lane: lane, messages: messages))
            room -= messages.count
            if isAlone { break }
        }
        if !shares.isEmpty { flows[tenant]?.busy += 1 }
        list(tenant)
        guard !shares.isEmpty else { return nil }
        return Work(tenant: tenant, shares: shares, failures: first.failures, setbacks: first.setbacks, history: first.history)
    }

    private func portion(of queue: Queue, _ tenant: Tenant, _ most: Int, _ bytes: inout Int) -> [KafkaMessage] {
        guard let head = queue.messages.first else { return [] }
        var messages: [KafkaMessage] = []
        for message in queue.messages {
            guard messages.count < most, bytes > 0, message.assignment == head.assignment, message.tenant == tenant, !queue.isAlone(message)
            else { break }
            bytes -= message.weight
            messages.append(message)
        }
        return messages
    }

    mutating func finish(_ work: Work) {
        for share in work.shares {
            for message in share.messages {
                let held = Held(place: message.place, assignment: message.assignment)
                if progress[held]?.finish(message.offset) == true { moved.insert(held) }
                bytes -= message.weight
            }
            count -= share.messages.count
            queues[share.lane]?.messages.removeFirst(share.messages.count)
            queues[share.lane]?.failures = 0
            queues[share.lane]?.setbacks = 0
            queues[share.lane]?.history = []
            if let last = share.messages.last?.offset, let suspects = queues[share.lane]?.suspects, last >= suspects.upperBound {
                queues[share.lane]?.suspects = nil
            }
            if queues[share.lane]?.messages.isEmpty == true { queues[share.lane] = nil } else { makeReady(share.lane) }
        }
        release(work)
    }

    /// The messages stay the first of their lanes, and these wait until `resume`. Of several messages the first of each lane gets the
    /// setback.
    mutating func park(_ work: Work, after attempt: Attempt, counts: Bool) {
        for share in work.shares {
            queues[share.lane]?.setbacks += 1
            if counts { queues[share.lane]?.failures += 1 }
            queues[share.lane]?.history.append(attempt)
            if let count = queues[share.lane]?.history.count, count > Attempt.limit { queues[share.lane]?.history.removeFirst() }
        }
        release(work)
    }

    /// The messages stay the first of their lanes and are ready again; the suspects among them will be handled alone.
    mutating func split(_ work: Work, suspects: Set<Suspect>) {
        for share in work.shares {
            let offsets = share.messages.map(\.offset).filter { suspects.contains(Suspect(place: share.lane.place, offset: $0)) }
            if let low = offsets.first, let high = offsets.last {
                let known = queues[share.lane]?.suspects
                queues[share.lane]?.suspects = min(low, known?.lowerBound ?? low)...max(high, known?.upperBound ?? high)
            }
            makeReady(share.lane)
        }
        release(work)
    }

    mutating func resume(_ lane: Lane) {
        if queues[lane] != nil { makeReady(lane) }
    }

    // MARK: - Turns

    private mutating func makeReady(_ lane: Lane) {
        guard let head = queues[lane]?.messages.first else { return }
        flows[head.tenant, default: Flow()].ready.append(lane)
        list(head.tenant)
    }

    private mutating func release(_ work: Work) {
        flows[work.tenant]?.busy -= 1
        list(work.tenant)
    }

    /// Puts an organization at the end of the line when it has something ready, and forgets one that has nothing.
    private mutating func list(_ tenant: Tenant) {
        guard let flow = flows[tenant], !flow.isListed else { return }
        if flow.ready.isEmpty {
            if flow.busy == 0 { flows[tenant] = nil }
        } else if flow.busy < workersEach {
            flows[tenant]?.isListed = true
            turns.append(tenant)
        }
    }

    // MARK: - Progress

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

/// A message that may be the one for which a transaction failed.
struct Suspect: Hashable, Sendable {
    let place: TopicPartition
    let offset: Int64
}

extension KafkaMessage {
    /// What it takes in memory, nearly: each header is an allocation or two.
    var weight: Int { 256 + (key?.count ?? 0) + (value?.count ?? 0) + headers.reduce(0) { $0 + 80 + $1.value.count } }

    fileprivate var tenant: KeyLanes.Tenant { header("ce_tenantid") ?? [] }
}
