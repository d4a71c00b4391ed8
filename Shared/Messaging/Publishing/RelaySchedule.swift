import Contracts
import DequeModule

/// The events of one tenant in one shard of the keys, in order; those to be published again are a lane of their own.
struct Lane: Sendable, Hashable {
    let tenant: TenantID
    let shard: Int32
    let again: Bool
}

/// Decides what is read and published next: tenants in turn, a lane in one chunk at a time, so that the order of a key is kept.
///
/// A plain value without a clock or a connection. It knows lanes and where each begins, never the events, so its size is that of what
/// waits in tenants and not in events.
///
/// - A tenant that has just come with something goes ahead of those that have been published for and still have more, every other time.
/// - Those with more never fill all the chunks under way: there is always room for one that comes. While some come, theirs are smaller.
/// - What is published again is taken when nothing new is ready, one chunk at a time, not faster than its limit.
struct RelaySchedule: Sendable {
    struct Limits: Sendable {
        /// Chunks on their way at once.
        var chunks = 4
        /// Events of a chunk.
        var events = 512
        /// Lanes of a chunk.
        var lanes = 128
        /// While tenants come beside a backlog, that goes in smaller and fewer chunks: what is before an event at the brokers is its delay.
        var mixedEvents = 128
        var mixedChunks = 2
        /// How long after one has come.
        var mixedFor: Duration = .seconds(1)
        /// Events published again, a second.
        var againRate = 5_000.0
        /// For how long what is new goes before them.
        var againPatience: Duration = .milliseconds(200)
    }

    struct Take: Sendable, Equatable {
        let lane: Lane
        let from: Int64
        let most: Int
        /// Events of its tenant and shard are being published again.
        let isBehindAgain: Bool
        /// From here to `from`, what still waits was held back behind those: what follows of the same keys is held back too, also when all of
        /// theirs has been published again meanwhile.
        var heldFrom: Int64?
        /// Something of it has failed: its keys' events go one by one, so that none overtakes one that fails once more.
        var isCareful = false
    }

    struct Chunk: Sendable, Equatable {
        enum Kind { case newcomers, backlog, again }
        let kind: Kind
        let takes: [Take]
    }

    /// How a take ended.
    struct Ending: Sendable {
        /// Where the lane goes on; nil when it was read to its end and all of it is published.
        let next: Int64?
        let failed: Bool
    }

    private struct State {
        var from: Int64
        var isOut = false
        /// Found while it was out.
        var found: Int64?
        var failures = 0
        /// From here on some of it may wait behind what is published again; looked at once more when that has ended.
        var blocked: Int64?
        /// Read to its end but for that.
        var isParked = false
    }

    let limits: Limits
    private(set) var shards: Set<Int32> = []
    private var lanes: [Lane: State] = [:]
    private var newcomers = Turns()
    private var backlog = Turns()
    private var again = Turns()
    private var resting: [(until: ContinuousClock.Instant, lane: Lane)] = []
    private var out: [Chunk.Kind: Int] = [:]
    private var wereNewcomers = false
    private var mixedUntil: ContinuousClock.Instant?
    private var againAt: ContinuousClock.Instant?
    private let backoff = Backoff(first: .milliseconds(100), most: .seconds(5))

    init(_ limits: Limits) { self.limits = limits }

    /// Chunks under way.
    var underWay: Int { out.values.reduce(0, +) }
    /// Nothing is under way, and nothing new is ready; what rests after a failure does not count, nor what is to be published again.
    var isQuiet: Bool { underWay == 0 && newcomers.isEmpty && backlog.isEmpty }
    /// Lanes it knows of.
    var count: Int { lanes.count }

    // MARK: - What waits

    /// Something waits in a lane, nothing of it before `first` that was not found before. `isNet` says that all lanes were looked at should
    /// something have been missed: what is known to wait behind events published again is nothing new then.
    mutating func found(_ lane: Lane, _ first: Int64, isNet: Bool = false) {
        guard shards.contains(lane.shard) else { return }
        guard var state = lanes[lane] else {
            lanes[lane] = State(from: first)
            enqueue(lane, hasMore: false)
            return
        }
        if isNet, state.blocked != nil { return }
        if state.isOut {
            state.found = min(state.found ?? first, first)
        } else {
            state.from = min(state.from, first)
        }
        let wasParked = state.isParked
        state.isParked = false
        lanes[lane] = state
        if wasParked { enqueue(lane, hasMore: false) }
    }

    /// The shards that are worked on. What waits in others is forgotten; what is under way of them ends by itself.
    mutating func keep(_ shards: Set<Int32>) {
        guard shards != self.shards else { return }
        self.shards = shards
        for (lane, state) in lanes where !shards.contains(lane.shard) && !state.isOut { lanes[lane] = nil }
        let isKept = { (lane: Lane) in shards.contains(lane.shard) }
        newcomers.filter(isKept)
        backlog.filter(isKept)
        again.filter(isKept)
        resting.removeAll { !isKept($0.lane) }
    }

    /// Whether events of the shard are under way.
    func isOut(_ shard: Int32) -> Bool { lanes.contains { $0.key.shard == shard && $0.value.isOut } }

    private mutating func enqueue(_ lane: Lane, hasMore: Bool) {
        if lane.again {
            again.append(lane)
        } else if hasMore || backlog.has(lane.tenant) {
            backlog.append(lane)
        } else {
            newcomers.append(lane)
        }
    }

    // MARK: - What goes

    /// When something may go that may not yet; nil when nothing rests.
    func nextRest(_ now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        let rest = resting.map(\.until).min()
        guard !again.isEmpty, let againAt, againAt > now else { return rest }
        return min(rest ?? againAt, againAt)
    }

    /// Whether `pick` would answer something.
    func mayPick(_ now: ContinuousClock.Instant) -> Bool {
        guard underWay < limits.chunks else { return false }
        return !newcomers.isEmpty || mayTakeBacklog(now) || mayPublishAgain(now) || resting.contains { $0.until <= now }
    }

    private func isMixed(_ now: ContinuousClock.Instant) -> Bool { mixedUntil.map { now < $0 } ?? false }

    private func mayTakeBacklog(_ now: ContinuousClock.Instant) -> Bool {
        let most = max(1, limits.chunks - 1)
        return !backlog.isEmpty && out[.backlog, default: 0] < (isMixed(now) ? min(limits.mixedChunks, most) : most)
    }

    /// The next chunk to read, nil when nothing is ready or enough is under way.
    mutating func pick(_ now: ContinuousClock.Instant) -> Chunk? {
        wakeRested(now)
        guard underWay < limits.chunks else { return nil }
        if !again.isEmpty, againAt == nil { againAt = now }
        let kind: Chunk.Kind
        if mayPublishAgain(now), isAgainOverdue(now) {
            kind = .again
        } else if !newcomers.isEmpty, !(wereNewcomers && mayTakeBacklog(now)) {
            kind = .newcomers
        } else if mayTakeBacklog(now) {
            kind = .backlog
        } else if mayPublishAgain(now) {
            kind = .again
        } else {
            return nil
        }
        wereNewcomers = kind == .newcomers
        if kind == .newcomers, !backlog.isEmpty || out[.backlog, default: 0] > 0 { mixedUntil = now + limits.mixedFor }
        var sizes = limits
        if kind == .backlog, isMixed(now) { sizes.events = min(limits.events, limits.mixedEvents) }
        let takes =
            switch kind {
            case .newcomers: Self.take(&newcomers, lanes, limits, spread: 1)
            case .backlog: Self.take(&backlog, lanes, sizes, spread: max(1, limits.chunks - 1))
            case .again: Self.take(&again, lanes, limits, spread: 1)
            }
        for take in takes { lanes[take.lane]?.isOut = true }
        out[kind, default: 0] += 1
        if kind == .again { againAt = now }
        return Chunk(kind: kind, takes: takes)
    }

    private func mayPublishAgain(_ now: ContinuousClock.Instant) -> Bool {
        guard !again.isEmpty, out[.again, default: 0] == 0, againAt.map({ $0 <= now }) ?? true else { return false }
        return newcomers.isEmpty && backlog.isEmpty || isAgainOverdue(now)
    }

    /// New events of a key wait behind its old ones, so under a steady load these may not wait for a quiet moment that never comes.
    private func isAgainOverdue(_ now: ContinuousClock.Instant) -> Bool { againAt.map { $0 + limits.againPatience <= now } ?? false }

    private mutating func wakeRested(_ now: ContinuousClock.Instant) {
        guard !resting.isEmpty else { return }
        let due = resting.filter { $0.until <= now }
        resting.removeAll { $0.until <= now }
        for (_, lane) in due { enqueue(lane, hasMore: true) }
    }

    /// Each tenant in its turn gets an equal part. When they are few, each leaves lanes for the chunks that follow while this one is
    /// under way.
    private static func take(_ turns: inout Turns, _ lanes: [Lane: State], _ limits: Limits, spread most: Int) -> [Take] {
        let tenants = turns.count
        let part = max(1, limits.events / max(1, min(tenants, limits.lanes)))
        var takes: [Take] = []
        var events = 0
        for _ in 0..<tenants {
            guard events < limits.events, takes.count < limits.lanes else { break }
            let spread = tenants <= most ? most : 1
            let chosen = turns.next { ready in min((ready + spread - 1) / spread, max(1, part / 4), limits.lanes - takes.count) }
            let most = max(1, part / max(1, chosen.count))
            for lane in chosen {
                guard let state = lanes[lane] else { continue }
                let isBehindAgain = !lane.again && lanes[Lane(tenant: lane.tenant, shard: lane.shard, again: true)] != nil
                takes.append(
                    Take(
                        lane: lane, from: state.from, most: most, isBehindAgain: isBehindAgain,
                        heldFrom: state.blocked.flatMap { isBehindAgain && $0 < state.from ? $0 : nil }, isCareful: state.failures > 0))
                events += most
            }
        }
        return takes
    }

    // MARK: - What has gone

    /// The chunk was not read: its lanes are as before.
    mutating func putBack(_ chunk: Chunk, _ now: ContinuousClock.Instant) {
        finish(chunk, chunk.takes.map { Ending(next: $0.from, failed: false) }, published: 0, now)
    }

    /// A chunk has been published as far as its endings say, and marked.
    mutating func finish(_ chunk: Chunk, _ endings: [Ending], published: Int, _ now: ContinuousClock.Instant) {
        out[chunk.kind, default: 1] -= 1
        if chunk.kind == .again {
            againAt = now + .milliseconds(Int64(Double(published) / limits.againRate * 1_000))
        }
        for (take, ending) in zip(chunk.takes, endings) { finish(take, ending, now) }
    }

    private mutating func finish(_ take: Take, _ ending: Ending, _ now: ContinuousClock.Instant) {
        let lane = take.lane
        guard var state = lanes[lane] else { return }
        guard shards.contains(lane.shard) else {
            lanes[lane] = nil
            return
        }
        state.isOut = false
        let found = state.found
        state.found = nil
        if take.isBehindAgain { state.blocked = min(state.blocked ?? .max, take.from) }
        if ending.failed {
            state.failures += 1
            state.from = min(ending.next ?? take.from, found ?? .max)
            lanes[lane] = state
            resting.append((now + backoff.wait(after: state.failures), lane))
            return
        }
        state.failures = 0
        var next = [ending.next, found].compactMap(\.self).min()
        if let blocked = state.blocked, lanes[Lane(tenant: lane.tenant, shard: lane.shard, again: true)] == nil {
            next = min(next ?? .max, blocked)
            state.blocked = nil
        }
        if let next {
            state.from = next
            lanes[lane] = state
            enqueue(lane, hasMore: ending.next != nil)
        } else if state.blocked != nil {
            // What comes is found with its place: what is blocked is not walked again for it.
            state.from = .max
            state.isParked = true
            lanes[lane] = state
        } else {
            lanes[lane] = nil
            if lane.again { unblock(Lane(tenant: lane.tenant, shard: lane.shard, again: false)) }
        }
    }

    /// What it waited for has been published again. One under way is told when it ends.
    private mutating func unblock(_ lane: Lane) {
        guard var state = lanes[lane], let blocked = state.blocked, !state.isOut else { return }
        let wasParked = state.isParked
        state.from = min(state.from, blocked)
        state.blocked = nil
        state.isParked = false
        lanes[lane] = state
        if wasParked { enqueue(lane, hasMore: false) }
    }
}

/// Lanes that are ready, by tenants that take turns.
private struct Turns: Sendable {
    private var order: Deque<TenantID> = []
    private var ready: [TenantID: Deque<Lane>] = [:]

    var isEmpty: Bool { ready.isEmpty }
    /// Tenants.
    var count: Int { ready.count }
    func has(_ tenant: TenantID) -> Bool { ready[tenant] != nil }

    mutating func append(_ lane: Lane) {
        if ready[lane.tenant] == nil { order.append(lane.tenant) }
        ready[lane.tenant, default: []].append(lane)
    }

    /// Some lanes of the tenant whose turn it is; `most` says how many, given how many are ready. The others wait for its next turn.
    mutating func next(_ most: (Int) -> Int) -> [Lane] {
        guard let tenant = order.popFirst(), var lanes = ready[tenant] else { return [] }
        let count = min(lanes.count, most(lanes.count))
        let chosen = Array(lanes.prefix(count))
        lanes.removeFirst(count)
        ready[tenant] = lanes.isEmpty ? nil : lanes
        if !lanes.isEmpty { order.append(tenant) }
        return chosen
    }

    mutating func filter(_ isKept: (Lane) -> Bool) {
        for (tenant, lanes) in ready {
            let kept = lanes.filter(isKept)
            ready[tenant] = kept.isEmpty ? nil : kept
        }
        order.removeAll { ready[$0] == nil }
    }
}
