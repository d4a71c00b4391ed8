import Logging
import Metrics
import Redis
import ServiceLifecycle
import Synchronization

/// All limits' buckets of this replica. Redis has them for all replicas: each takes leases from it, and gives back what it does not use.
///
/// While Redis is away or silent each bucket counts for itself, and Redis is told afterwards.
final class LimitBook: Service, LimitSource, LimitBucketKeeper {
    struct Settings: Sendable {
        /// Buckets held here; beyond these the full ones are forgotten.
        var maximum = 100_000
        /// How long a request waits for Redis.
        var patience: Duration = .milliseconds(50)
        /// How often a silent Redis is asked whether it is there again.
        var probe: Duration = .milliseconds(100)
        /// How often it is looked for leases to give back.
        var sweep: Duration = .milliseconds(250)
    }

    /// What the admin listener shows.
    struct Snapshot: Sendable, Equatable {
        let buckets: Int
        let leased: Int
        let isAway: Bool
        /// Questions to Redis, and requests refused, since the start.
        let asked: Int
        let refused: Int
    }

    private struct State {
        var leased: [LimitBucket] = []
        var untold: [LimitBucket] = []
        var watched: [(deadline: UInt64, bucket: LimitBucket)] = []
        var isWatching = false
        var terms: [LimitPolicy: LimitTerms] = [:]
        /// Hears of blocks, once there is a policy that blocks.
        var hearing: Task<Void, Never>?
        /// Units on their way back to Redis, by their bucket; numbered, so that the last one to go clears the place.
        var returning: [ObjectIdentifier: (number: Int, task: Task<Void, Never>)] = [:]
        var returned = 0
        var cameBackAt: UInt64 = 0
        var probeDelay: Duration = .zero
    }

    /// Buckets that one command gives back or tells of.
    private static let batch = 100
    /// A Redis that is away again before this was not quite there: it is left alone for longer each time.
    private static let steady: UInt64 = 5_000_000_000
    private static let longestProbe: Duration = .seconds(2)

    private let redis: Redis
    private let settings: Settings
    private let patience: UInt64
    private let clock: @Sendable () -> UInt64
    private let logger: Logger
    private let link = LimitLink()
    private let shards: [LimitShard]
    private let state = Mutex(State())
    private let asked = Atomic(0)
    private let refusals = Counter(label: "trionex_gateway_limited_total")
    private let questions = Counter(label: "trionex_gateway_limit_questions_total")
    private let size = Gauge(label: "trionex_gateway_limit_buckets")

    /// `clock` is monotonic nanoseconds.
    init(redis: Redis, settings: Settings = Settings(), logger: Logger, clock: @escaping @Sendable () -> UInt64 = { Monotonic.now() }) {
        self.redis = redis
        self.settings = settings
        patience = settings.patience.nanoseconds
        self.clock = clock
        self.logger = logger
        let part = max(1, settings.maximum / LimitShard.count)
        shards = (0..<LimitShard.count).map { _ in LimitShard(maximum: part) }
    }

    var snapshot: Snapshot {
        Snapshot(
            buckets: shards.reduce(0) { $0 + $1.count }, leased: state.withLock { $0.leased.count },
            isAway: link.isAway.load(ordering: .relaxed), asked: asked.load(ordering: .relaxed),
            refused: link.refusals.load(ordering: .relaxed))
    }

    // MARK: Buckets

    /// The bucket of this policy and subject; made full when there is none.
    func bucket(_ policy: LimitPolicy, subject: String) -> LimitBucket {
        var subject = subject
        return subject.withUTF8 { bucket(policy, subjectBytes: UnsafeRawBufferPointer($0)) }
    }

    /// The same for a subject in bytes of UTF-8, of which no `String` is made.
    func bucket(_ policy: LimitPolicy, subjectBytes: UnsafeRawBufferPointer) -> LimitBucket {
        let place = LimitShard.place(policy.name, subjectBytes)
        return shards[LimitShard.index(place)].bucket(policy, subjectBytes, place: place, now: clock) {
            LimitBucket(terms(policy), subject: Array(subjectBytes), place: place, link: link, keeper: self)
        }
    }

    private func terms(_ policy: LimitPolicy) -> LimitTerms {
        state.withLock { state in
            if let known = state.terms[policy] { return known }
            let made = LimitTerms(policy)
            state.terms[policy] = made
            if made.block > 0, state.hearing == nil, !link.isClosing.load(ordering: .relaxed) {
                state.hearing = Task { await hearOfBlocks() }
            }
            return made
        }
    }

    /// Takes one unit, asking Redis where that is needed. Never fails, and waits no longer than `patience`.
    func ask(_ bucket: LimitBucket) async -> LimitVerdict {
        let counting = standing(bucket)
        return await withCheckedContinuation { counting.wait(clock(), $0) }
    }

    /// Whichever bucket counts for the subject of one that may have left the book.
    private func standing(_ bucket: LimitBucket) -> LimitBucket {
        var bucket = bucket
        while true {
            let (isDetached, successor) = bucket.standing
            guard isDetached else { return bucket }
            bucket = successor ?? shards[LimitShard.index(bucket.place)].restore(bucket, now: clock)
        }
    }

    /// Undoes a take: of a sign-in that succeeded (whose policy `returnsUnits`), or of a request that another limit refused.
    /// `takenAt` is the time given to `LimitBucket.take`; without one, a unit of a leased policy is not given back.
    func giveBack(_ bucket: LimitBucket, takenAt: UInt64? = nil) {
        let bucket = standing(bucket)
        guard !bucket.untake(takenAt: takenAt) else { return }
        returnInOrder(LeaseReturn(redisEnd: 0, microseconds: bucket.terms.microseconds), of: bucket)
    }

    /// Sends back what the next question about this bucket must find returned.
    private func returnInOrder(_ unit: LeaseReturn, of bucket: LimitBucket) {
        let id = ObjectIdentifier(bucket)
        state.withLock { state in
            let before = state.returning[id]
            state.returned += 1
            let number = state.returned
            let task = Task {
                await before?.task.value
                await sendBack([(bucket, unit)])
                self.state.withLock { if $0.returning[id]?.number == number { $0.returning[id] = nil } }
            }
            state.returning[id] = (number, task)
        }
    }

    // MARK: Questions

    func ask(_ request: LeaseRequest, for bucket: LimitBucket) {
        asked.add(1, ordering: .relaxed)
        Task { await exchange(request, for: bucket) }
    }

    private func exchange(_ request: LeaseRequest, for bucket: LimitBucket) async {
        let terms = bucket.terms
        // What was given back before counts: a sign-in that succeeded has no part in the next one.
        if let returning = state.withLock({ $0.returning[ObjectIdentifier(bucket)] }) { await returning.task.value }
        do {
            let arguments = [
                String(terms.microseconds), String(terms.windowMicroseconds), String(request.need), String(request.want),
                String(terms.block / 1_000), LimitScripts.blockedChannel,
            ]
            let answer = try await redis.run(LimitScripts.lease, keys: [bucket.key], arguments: arguments)
            guard let grant = LeaseGrant(answer) else { throw RedisFailure.unexpectedAnswer }
            if let surplus = bucket.answered(grant, to: request, at: clock()) { returnInOrder(surplus, of: bucket) }
        } catch {
            // Too many questions at once are no reason to ask none.
            if error as? RedisFailure != .busy { wentAway() }
            bucket.failed(at: clock())
        }
    }

    /// Answers whoever waits too long from memory. One task watches all, as long as there are any.
    func watch(_ bucket: LimitBucket) {
        let deadline = clock() + patience
        let mustStart = state.withLock { state in
            state.watched.append((deadline, bucket))
            defer { state.isWatching = true }
            return !state.isWatching
        }
        if mustStart { Task { await watchAll() } }
    }

    private func watchAll() async {
        while true {
            let now = clock()
            let (due, next) = state.withLock { state -> (ArraySlice<(deadline: UInt64, bucket: LimitBucket)>, UInt64?) in
                let due = state.watched.prefix { $0.deadline <= now }
                state.watched.removeFirst(due.count)
                if state.watched.isEmpty { state.isWatching = false }
                return (due, state.watched.first?.deadline)
            }
            for (_, bucket) in due where bucket.isLate(at: now, patience: patience) {
                // Said before, so that nobody begins to wait anew.
                wentAway()
                bucket.expire(at: now, patience: patience)
            }
            guard let next else { return }
            try? await Task.sleep(for: .nanoseconds(Int64(next - now)))
        }
    }

    // MARK: Away and back

    private func wentAway() {
        guard !link.isAway.exchange(true, ordering: .relaxed), !link.isClosing.load(ordering: .relaxed) else { return }
        logger.warning("limits are counted by this replica alone, because Redis is away")
        let now = clock()
        let delay = state.withLock { state in
            let isSteady = now > state.cameBackAt + Self.steady
            state.probeDelay = isSteady ? settings.probe : min(Self.longestProbe, state.probeDelay * 2)
            return state.probeDelay
        }
        Task { await probe(each: delay) }
    }

    private func probe(each delay: Duration) async {
        while !link.isClosing.load(ordering: .relaxed) {
            try? await Task.sleep(for: delay)
            guard !redis.isAway else { continue }
            do {
                try await knock()
                try await tell()
                let now = clock()
                state.withLock { $0.cameBackAt = now }
                link.isAway.store(false, ordering: .relaxed)
                logger.notice("limits are counted in Redis again")
                return
            } catch {
                continue
            }
        }
    }

    /// Asks for a unit that nobody needs: a Redis that only reads would answer a ping.
    private func knock() async throws {
        let arguments = ["1", "1000", "1", "0", "0", LimitScripts.blockedChannel]
        _ = try await redis.run(LimitScripts.lease, keys: [LimitBucket.keyPrefix + "probe"], arguments: arguments)
    }

    func countedInMemory(_ bucket: LimitBucket) { state.withLock { $0.untold.append(bucket) } }

    /// Tells Redis of what was counted without it.
    private func tell() async throws {
        while true {
            let buckets = state.withLock { state in
                let buckets = Array(state.untold.suffix(Self.batch))
                state.untold.removeLast(buckets.count)
                return buckets
            }
            if buckets.isEmpty { return }
            let now = clock()
            let reports = buckets.compactMap { bucket in bucket.report(at: now).map { (bucket, $0) } }
            if reports.isEmpty { continue }
            let arguments = reports.flatMap { bucket, report in
                [bucket.terms.windowMicroseconds, report.floor, report.used, report.blockedFor].map { String($0) }
            }
            do {
                _ = try await redis.run(LimitScripts.tell, keys: reports.map(\.0.key), arguments: arguments)
            } catch {
                for (bucket, report) in reports { bucket.untell(report) }
                throw error
            }
        }
    }

    // MARK: Giving back

    func holdsLease(_ bucket: LimitBucket) { state.withLock { $0.leased.append(bucket) } }

    private func giveBack(evenInUse: Bool) async {
        let now = clock()
        let buckets = state.withLock { state in
            defer { state.leased = [] }
            return state.leased
        }
        var returns: [(LimitBucket, LeaseReturn)] = []
        var kept: [LimitBucket] = []
        for bucket in buckets {
            let (given, holdsLease) = bucket.giveBack(at: now, evenInUse: evenInUse)
            returns += given.map { (bucket, $0) }
            if holdsLease { kept.append(bucket) }
        }
        state.withLock { $0.leased += kept }
        while !returns.isEmpty {
            await sendBack(Array(returns.suffix(Self.batch)))
            returns.removeLast(min(Self.batch, returns.count))
        }
    }

    /// What cannot be given back is lost: it lapses in Redis by itself.
    private func sendBack(_ returns: [(LimitBucket, LeaseReturn)]) async {
        let arguments = returns.flatMap { bucket, lease in
            [bucket.terms.windowMicroseconds, lease.redisEnd, lease.microseconds].map { String($0) }
        }
        _ = try? await redis.run(LimitScripts.giveBack, keys: returns.map(\.0.key), arguments: arguments)
    }

    // MARK: Lifecycle

    /// Gives back what lies idle until the graceful shutdown; then gives back everything.
    func run() async throws {
        try? await cancelWhenGracefulShutdown { try await self.sweep() }
        link.isClosing.store(true, ordering: .relaxed)
        state.withLock { $0.hearing }?.cancel()
        await giveBack(evenInUse: true)
        if !redis.isAway { try? await tell() }
    }

    private func sweep() async throws {
        // The connection is open, and the script known, before the first request has to wait for either.
        try? await knock()
        var refused = 0
        var questioned = 0
        while true {
            try await Task.sleep(for: settings.sweep)
            await giveBack(evenInUse: false)
            if !link.isAway.load(ordering: .relaxed) { try? await tell() }
            let now = snapshot
            refusals.increment(by: Int64(now.refused - refused))
            questions.increment(by: Int64(now.asked - questioned))
            (refused, questioned) = (now.refused, now.asked)
            size.record(now.buckets)
        }
    }

    private func hearOfBlocks() async {
        for await message in redis.subscribe(LimitScripts.blockedChannel) {
            guard let text = message.text, let colon = text.firstIndex(of: ":"), let milliseconds = UInt64(text[..<colon]),
                text[colon...].dropFirst().hasPrefix(LimitBucket.keyPrefix)
            else { continue }
            let key = text[colon...].dropFirst(1 + LimitBucket.keyPrefix.count)
            guard let end = key.firstIndex(of: ":") else { continue }
            blocked(policy: String(key[..<end]), subject: String(key[end...].dropFirst()), for: min(milliseconds, 1 << 40) * 1_000_000)
        }
    }

    private func blocked(policy: String, subject: String, for nanoseconds: UInt64) {
        var subject = subject
        let now = clock()
        subject.withUTF8 { bytes in
            let place = LimitShard.place(policy, UnsafeRawBufferPointer(bytes))
            for bucket in shards[LimitShard.index(place)].buckets(policy, UnsafeRawBufferPointer(bytes), place: place)
            where bucket.terms.block > 0 {
                bucket.blocked(for: min(nanoseconds, bucket.terms.block), at: now)
            }
        }
    }
}

extension LeaseGrant {
    /// Nil when this is no answer of `LimitScripts.lease`.
    fileprivate init?(_ answer: RedisValue) {
        guard let parts = answer.array, parts.count == 8 else { return nil }
        let numbers = parts.compactMap { part in part.integer.map(Double.init) ?? part.text.flatMap(Double.init) }
        guard numbers.count == 8, numbers.allSatisfy(\.isFinite), numbers[0] >= 0, numbers[1] >= 0, numbers[0] < 1e12, numbers[1] < 1e12,
            abs(numbers[4]) < 1e12
        else { return nil }
        self.init(
            granted: Int(numbers[0]), leased: Int(numbers[1]), leaseTime: numbers[2], redisEnd: numbers[3], available: Int(numbers[4]),
            fullIn: numbers[5], wait: numbers[6], blockedFor: numbers[7])
    }
}

extension Duration {
    fileprivate var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        return UInt64(max(0, seconds)) * 1_000_000_000 + UInt64(max(0, attoseconds / 1_000_000_000))
    }
}
