import Synchronization

/// The replicas of one service: who takes the next request, who is left alone for a while, and how many requests go at once.
///
/// A request enters, picks a replica, begins and finishes with it (once more, if it is tried again), and leaves. Any loop may call, with
/// its own `now` in nanoseconds of the monotonic clock.
final class UpstreamGroup: Sendable {
    /// Of a canary's share.
    private static let canaryScale: UInt64 = 10_000
    /// Where all are tried, one that is out counts as having so many requests more than it has.
    private static let panicPenalty = 16
    private static let smallestStep: Int64 = 1_000

    let name: String
    let spec: UpstreamSpec
    let replicas: [Replica]

    private let weights: [Int]
    private let hasEqualWeights: Bool
    private let everyone: UInt64
    private let canaries: UInt64
    /// Of `canaryScale`.
    private let canaryParts: UInt64
    private let seed: UInt64

    /// Bits of those that are neither ejected nor unhealthy.
    private let standing: Atomic<UInt64>
    /// When the next ejected one returns.
    private let nextReturn = Atomic<UInt64>(.max)
    private let changes = Mutex(())
    private let turns = Atomic<UInt64>(0)
    private let secondTurns = Atomic<UInt64>(0)
    private let median = Atomic<Int64>(0)

    private let ejection: OutlierEjection
    private let window: TrafficWindow
    private let breaker: CircuitBreaker
    private let budget: RetryBudget
    private let limit: ConcurrencyLimit
    private let queue: AdmissionQueue

    /// - Parameters:
    ///   - former: what the group was before the file changed: addresses that are in both keep their state, and the limit goes on.
    ///   - seed: of the choices among replicas.
    init(name: String, spec: UpstreamSpec, former: UpstreamGroup? = nil, seed: UInt64 = .random(in: 0...UInt64.max)) {
        self.name = name
        self.spec = spec
        self.seed = seed
        let replicas = spec.addresses.prefix(UpstreamSpec.maximumAddresses).map { address in
            let known = former?.replicas.first { $0.host == address.host && $0.port == address.port }
            known?.adopt(address)
            return known ?? Replica(group: name, address)
        }
        let weights = replicas.map { max(1, $0.weight) }, total = weights.reduce(0, +)
        self.replicas = replicas
        self.weights = weights
        hasEqualWeights = Set(weights).count <= 1
        everyone = replicas.count == 64 ? .max : (1 << UInt64(replicas.count)) - 1
        canaries = replicas.indices.reduce(0) { replicas[$1].isCanary ? $0 | 1 << UInt64($1) : $0 }
        let ofCanaries = replicas.indices.reduce(0) { replicas[$1].isCanary ? $0 + weights[$1] : $0 }
        let share = spec.canaryShare ?? (total > 0 ? Double(ofCanaries) / Double(total) : 0)
        canaryParts = UInt64((min(max(share, 0), 1) * Double(Self.canaryScale)).rounded())
        standing = Atomic(everyone)
        ejection = OutlierEjection(spec: spec.ejection)
        window = TrafficWindow(length: spec.breaker.window)
        breaker = CircuitBreaker(spec.breaker, window: window)
        budget = RetryBudget(spec.retries, window: window)
        limit = ConcurrencyLimit(spec.concurrency)
        queue = AdmissionQueue(spec.queue, limit: limit)
        if let former {
            limit.adopt(former.limit)
            median.store(former.median.load(ordering: .relaxed), ordering: .relaxed)
        }
        changes.withLock { _ in refresh(0) }
    }

    // MARK: - Places

    /// A place at once, if there is one: the usual case, without the closure that `enter` needs.
    @inline(__always)
    func tryEnter() -> Bool { queue.tryEnter() }

    /// Takes a place, or a stand in the queue for one. Whoever got `.go`, here or through `resume`, must `leave`, also when the client
    /// has gone meanwhile. `resume` is called once, on any thread, after `.wait` alone.
    func enter(_ priority: Priority, now: UInt64, resume: @escaping @Sendable (Admission) -> Void) -> Admission {
        queue.enter(priority, now: now, resume: resume)
    }

    /// Gives the place back, and with it the next in the queue gets it.
    ///
    /// Places are for what services think about: leave when the head of the answer is there, at the latest. A client that reads slowly, a
    /// stream, an upgraded connection or an upload that dawdles would otherwise hold places for as long as it likes.
    /// - Parameters:
    ///   - latency: from the request being sent whole to the head of the answer; nil for streams, uploads that are under way, and requests
    ///     that never reached the service: they teach nothing.
    ///   - ok: false when the service answered 503 or did not answer in time.
    @inline(__always)
    func leave(now: UInt64, latency: UInt64?, ok: Bool) {
        limit.note(latency: latency, ok: ok, inside: queue.inside, now: now)
        queue.leave(now: now)
    }

    /// Sends away those who waited too long. To be called about every 100 ms by one loop, or several.
    func tick(now: UInt64) { queue.tick(now: now) }

    /// Whether no request has a place here, or waits for one.
    var isDeserted: Bool { queue.inside == 0 && queue.waitingNow.total == 0 }

    // MARK: - Replicas

    /// Who takes the next request; nil: nobody may be asked now (503 with `retryAfter`).
    ///
    /// Of two by chance, by weight, the one with fewer requests under way. Those that are ejected or unhealthy are passed over, unless
    /// more than half are: then there is more reason to doubt the signs than the replicas.
    /// - Parameter avoiding: where the first attempt failed; chosen again only if there is no other.
    func pick(avoiding: Replica? = nil, now: UInt64) -> Replica? {
        guard breaker.admits(now: now) else { return nil }
        guard replicas.count > 1 else { return replicas.first }
        if now >= nextReturn.load(ordering: .relaxed) { changes.withLock { _ in refresh(now) } }
        let good = standing.load(ordering: .relaxed)
        let panics = isPanic(good)
        var among = panics ? everyone : good
        let turn: UInt64
        if let avoiding {
            turn = secondTurns.wrappingAdd(1, ordering: .relaxed).oldValue &+ (1 << 63)
            if let index = replicas.firstIndex(where: { $0 === avoiding }), among & ~(1 << UInt64(index)) != 0 {
                among &= ~(1 << UInt64(index))
            }
        } else {
            turn = turns.wrappingAdd(1, ordering: .relaxed).oldValue
        }
        if canaries != 0 {
            let isCanarysTurn = avoiding == nil && (turn &* canaryParts) % Self.canaryScale < canaryParts
            let part = among & (isCanarysTurn ? canaries : ~canaries)
            if part != 0 { among = part }
        }
        return replicas[choose(among, good: panics ? good : everyone, chance: Self.mix(turn &+ seed))]
    }

    @inline(__always)
    func began(_ replica: Replica) { replica.began() }

    /// - Parameter latency: to the head of the answer, in nanoseconds; counts only where there was an answer.
    func finished(_ replica: Replica, _ outcome: Outcome, latency: UInt64, now: UInt64) {
        switch outcome {
        case .answered(let status) where status != 502 && status != 503 && status != 504:
            replica.finished(failed: false)
            replica.sample(latency: latency)
            follow(latency)
            window.note(failed: false, now: now)
            ejection.succeeded(replica.record, now: now)
            breaker.succeeded(now: now)
        case .answered(503):
            // Alive, but perhaps another can do it.
            window.note(failed: false, now: now)
            breaker.succeeded(now: now)
            failed(replica, connecting: false, now)
        case .answered, .broken, .timedOut, .connectFailed:
            window.note(failed: true, now: now)
            breaker.failed(now: now)
            failed(replica, connecting: outcome == .connectFailed, now)
        case .cancelled:
            replica.finished(failed: false)
            breaker.abandoned()
        }
    }

    /// What the health checks found. True when it is news.
    func setHealthy(_ replica: Replica, _ isHealthy: Bool, now: UInt64) -> Bool {
        guard replica.setHealthy(isHealthy) else { return false }
        changes.withLock { _ in
            // Whoever is well again after an illness need not sit out an ejection from before.
            if isHealthy, replica.record.isEjected { ejection.takeBack(replica.record, now: now) }
            refresh(now)
        }
        return true
    }

    /// Whether a second attempt fits the budget; a true answer is counted as one.
    func mayRetry(now: UInt64) -> Bool { budget.mayRetry(now: now) }

    /// Seconds for `Retry-After` while the breaker is not closed; nil: nothing is known.
    func retryAfter(now: UInt64) -> Int? { breaker.retryAfter(now: now) }

    func snapshot(now: UInt64) -> GroupSnapshot {
        let (breaker, openings) = breaker.snapshot(now: now)
        return GroupSnapshot(
            name: name, replicas: replicas.map { Self.describe($0, now) }, isPanicking: isPanic(standing.load(ordering: .relaxed)),
            breaker: breaker, breakerOpenings: openings, inFlight: queue.inside, limit: limit.current, waiting: queue.waitingNow,
            shed: queue.shedSoFar, retries: budget.retries, retriesRefused: budget.refused,
            medianLatency: UInt64(max(0, median.load(ordering: .relaxed))))
    }

    // MARK: - Inside

    private static func describe(_ replica: Replica, _ now: UInt64) -> GroupSnapshot.OfReplica {
        let until = replica.record.ejectedUntil
        return GroupSnapshot.OfReplica(
            id: replica.id, authority: replica.authority, weight: replica.weight, isCanary: replica.isCanary,
            state: !replica.isHealthy ? .unhealthy : until > now ? .ejected : .healthy, inFlight: replica.inFlight,
            requests: replica.requests, failures: replica.failures, failuresInARow: replica.record.failuresInARow,
            ejections: replica.record.timesEjected, ejectedFor: until > now ? until - now : 0, latency: replica.latency)
    }

    private func isPanic(_ good: UInt64) -> Bool { good.nonzeroBitCount * 2 < replicas.count }

    private func failed(_ replica: Replica, connecting: Bool, _ now: UInt64) {
        replica.finished(failed: true)
        guard ejection.failed(replica.record, connecting: connecting) else { return }
        changes.withLock { _ in
            let out = replicas.count { $0.record.isEjected }
            guard !replica.record.isEjected, out < ejection.most(of: replicas.count) else { return }
            ejection.eject(replica.record, now: now)
            refresh(now)
        }
    }

    /// Takes back whose time is over, and writes down who is in good standing. Within `changes`.
    private func refresh(_ now: UInt64) {
        var good: UInt64 = 0
        var next = UInt64.max
        for (index, replica) in replicas.enumerated() {
            let until = replica.record.ejectedUntil
            if until != 0, now >= until { ejection.takeBack(replica.record, now: now) }
            if replica.record.isEjected { next = min(next, until) } else if replica.isHealthy { good |= 1 << UInt64(index) }
        }
        standing.store(good, ordering: .relaxed)
        nextReturn.store(next, ordering: .relaxed)
    }

    private func follow(_ latency: UInt64) {
        let sample = Int64(clamping: latency), present = median.load(ordering: .relaxed)
        if present == 0 { return median.store(sample, ordering: .relaxed) }
        let step = max(Self.smallestStep, present >> 6)
        median.store(sample > present ? present &+ step : max(1, present &- step), ordering: .relaxed)
    }

    /// SplitMix64's finish: even chances out of a counter, without a generator to guard.
    private static func mix(_ number: UInt64) -> UInt64 {
        var z = number &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    private func choose(_ among: UInt64, good: UInt64, chance: UInt64) -> Int {
        let first = draw(among, UInt32(truncatingIfNeeded: chance))
        let rest = among & ~(1 << UInt64(first))
        guard rest != 0 else { return first }
        let second = draw(rest, UInt32(truncatingIfNeeded: chance >> 32))
        return load(second, good) * weights[first] < load(first, good) * weights[second] ? second : first
    }

    private func load(_ index: Int, _ good: UInt64) -> Int {
        replicas[index].inFlight + (good & (1 << UInt64(index)) == 0 ? Self.panicPenalty : 0)
    }

    /// One of the set bits, each with the chance of its weight.
    private func draw(_ among: UInt64, _ chance: UInt32) -> Int {
        var rest = among
        guard !hasEqualWeights else {
            var steps = (UInt64(chance) &* UInt64(among.nonzeroBitCount)) >> 32
            while steps > 0 {
                rest &= rest &- 1
                steps &-= 1
            }
            return rest.trailingZeroBitCount
        }
        var total = 0
        while rest != 0 {
            total &+= weights[rest.trailingZeroBitCount]
            rest &= rest &- 1
        }
        var mark = Int((UInt64(chance) &* UInt64(total)) >> 32)
        rest = among
        while true {
            let index = rest.trailingZeroBitCount
            mark &-= weights[index]
            rest &= rest &- 1
            if mark < 0 || rest == 0 { return index }
        }
    }
}
