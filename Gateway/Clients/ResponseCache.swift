import Contracts
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// What the cache answers to a request.
enum CacheLookup: Sendable {
    case hit(CacheHit)
    /// Give this old one at once, and let the fill fetch a new one: in the background, or for this very client as with `lead`.
    case stale(CacheHit, refresh: CacheFill)
    /// Ask the service, and tell the fill what it answers: others wait for it.
    case lead(CacheFill)
    /// Ask the service; its answer is not kept.
    case bypass(CacheStatus.Forward)
    /// The request wants only what is kept, and nothing is: 504 (RFC 9111, section 5.2.1.7).
    case absent
}

/// Answers of services, shared as their `Cache-Control` allows: in memory, and in Redis for all replicas (RFC 9111).
///
/// Of many requests for the same path one goes to the service and the others wait for it, for a bounded time.
final class ResponseCache: Service {
    struct Limits: Sendable {
        /// Of memory.
        var bytes = 67_108_864
        /// Of one answer, head and body.
        var answerBytes = 1_048_576
        /// How long one waits for another's answer.
        var wait: TimeAmount = .seconds(2)
        /// For how long nobody waits where the service did not allow its last answer to be kept.
        var pass: UInt64 = 10 * Monotonic.second
    }

    typealias Resume = @Sendable (CacheLookup) -> Void
    typealias Shard = CacheShard<CacheWaiter>

    /// A power of two.
    private static let shardCount = 8
    /// How often purges are tried again that Redis has not heard of.
    private static let mendingInterval: Duration = .milliseconds(500)

    let limits: Limits
    let remote: ResponseCacheRemote?
    private let shards: [LockedShard]
    let counts = CacheCounts()
    private let isInUse = Atomic(false)

    /// A lock of its own for each, so that event loops seldom wait for one another.
    final class LockedShard: Sendable {
        let state: Mutex<Shard>
        init(capacity: Int) { state = Mutex(Shard(capacity: capacity)) }
    }

    init(limits: Limits = Limits(), remote: ResponseCacheRemote? = nil) {
        self.limits = limits
        self.remote = remote
        shards = (0..<Self.shardCount).map { _ in LockedShard(capacity: limits.bytes / Self.shardCount) }
    }

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while true {
                try await Task.sleep(for: Self.mendingInterval)
                await self.remote?.mend()
            }
        }
    }

    /// Some service lets answers be shared: from now on there may be something to take away.
    func begin() { isInUse.store(true, ordering: .relaxed) }
    var hasBegun: Bool { isInUse.load(ordering: .relaxed) }

    // MARK: Looking

    /// For a route with a `CacheRule`. Answers at once, or nil and later through `resume`, once, on `loop`.
    func look(
        _ question: CacheQuestion, service: ServiceName, rule: CacheRule, scope: CacheScope, on loop: any EventLoop, now: UInt64,
        resume: @escaping Resume
    ) -> CacheLookup? {
        if let unfit = question.unfit {
            counts.bypassed.add(1, ordering: .relaxed)
            return .bypass(unfit == .method ? .method : .bypass)
        }
        // Only the service can tell who that is: what it answers must not be taken for an answer to anybody.
        guard !scope.isAnonymous || !question.hasCredential else {
            counts.bypassed.add(1, ordering: .relaxed)
            return .bypass(.bypass)
        }
        let owner = rule.perPrincipal ? scope.own : scope.shared
        let (key, path) = question.withTarget { (CacheKey(scope: owner, service: service, target: $0), CachePath($0)) }
        let asking = Shard.Asking(
            resource: key, group: CacheGroup(tenant: scope.tenant, service: service), path: path, question: question, scope: scope, now: now
        )
        return look(CacheWaiter(asking: asking, rule: rule, loop: loop, resume: resume), now: now)
    }

    func shard(of asking: Shard.Asking) -> LockedShard { shards[Int(truncatingIfNeeded: asking.resource.words.1) & (Self.shardCount - 1)] }

    private func look(_ waiter: CacheWaiter, now: UInt64) -> CacheLookup? {
        let found = shard(of: waiter.asking).state.withLock { shard in
            let found = shard.find(waiter.asking, mayWait: waiter.mayWait)
            if case .wait(let key) = found { shard.wait(for: key, waiter) }
            return found
        }
        switch found {
        case .hit(let answer): return .hit(hit(answer, waiter, now))
        case .stale(let answer, let leading): return .stale(hit(answer, waiter, now), refresh: CacheFill(self, waiter, leading))
        case .pass(let reason):
            counts.bypassed.add(1, ordering: .relaxed)
            return .bypass(reason)
        case .absent: return .absent
        case .wait:
            waiter.begin(limits.wait)
            counts.waited.add(1, ordering: .relaxed)
            return nil
        case .lead(let leading):
            let fill = CacheFill(self, waiter, leading)
            // A question that wants the service's own word has no use for what other replicas have.
            // One that is answered anew has what Redis would say before it.
            guard let remote, leading.reason != .request, !waiter.hasWaited, remote.isUsable else {
                counts.missed.add(1, ordering: .relaxed)
                return .lead(fill)
            }
            ask(remote, for: fill, waiter)
            return nil
        }
    }

    func hit(_ answer: StoredAnswer, _ waiter: CacheWaiter, _ now: UInt64) -> CacheHit {
        counts.hits.add(1, ordering: .relaxed)
        let age = answer.age(now)
        let isUnchanged =
            waiter.asking.question.isConditional
            && (answer.entityTag ?? []).withUnsafeBytes {
                waiter.asking.question.isAnswered(entityTag: answer.entityTag == nil ? nil : $0, lastModified: answer.lastModified)
            }
        let ttl = answer.freshness.lifetime - age
        return CacheHit(
            answer: answer, age: age, isUnchanged: isUnchanged && answer.status == 200,
            status: waiter.hasWaited ? .collapsed(ttl: ttl) : .hit(ttl: ttl))
    }

    // MARK: Redis

    private func ask(_ remote: ResponseCacheRemote, for fill: CacheFill, _ waiter: CacheWaiter) {
        let now = waiter.asking.now
        Task {
            let found = await remote.find(waiter.asking, fill.leading, now: now, wall: WallClock.seconds())
            switch found {
            case .answer(let answer, let variation):
                counts.remoteHits.add(1, ordering: .relaxed)
                fill.found(answer, variation, now: now)
                waiter.finish(.hit(self.hit(answer, waiter, now)))
            case .missing(let token):
                counts.missed.add(1, ordering: .relaxed)
                fill.learn(token)
                waiter.finish(.lead(fill))
            case .away:
                counts.missed.add(1, ordering: .relaxed)
                waiter.finish(.lead(fill))
            }
        }
    }

    // MARK: Those who wait

    /// Lets those go on who waited: they look again, and find what has come.
    func wake(_ waiters: [CacheWaiter], now: UInt64) {
        for waiter in waiters where !waiter.isDone {
            waiter.hasComeBack()
            if let lookup = look(waiter, now: now) { waiter.finish(lookup) }
        }
    }

    func release(_ waiters: [CacheWaiter]) {
        for waiter in waiters { waiter.finish(.bypass(.missing)) }
    }

    // MARK: Purging

    /// An organization's answers of one service, here alone; of all services when none is named.
    func forget(tenant: String, service: ServiceName?) {
        var purged = 0
        for shard in shards {
            purged += shard.state.withLock { shard in
                guard let service else { return shard.purge(tenant: tenant) }
                return shard.purge(CacheGroup(tenant: tenant, service: service))
            }
        }
        counts.purged.add(purged, ordering: .relaxed)
    }

    /// The same here and for all replicas in Redis.
    func purge(tenant: String, services: [ServiceName]) async {
        for service in services { forget(tenant: tenant, service: service) }
        await remote?.purge(services.map { CacheGroup(tenant: tenant, service: $0) })
    }

    /// Everybody's answers of all services, here and in Redis for all replicas.
    func purgeAll() async {
        forgetAll()
        await remote?.purgeAll()
    }

    /// All that this replica keeps.
    func forgetAll() {
        let purged = shards.reduce(0) { $0 + $1.state.withLock { $0.purgeAll() } }
        counts.purged.add(purged, ordering: .relaxed)
    }

    /// An unsafe method has changed what is under its path (RFC 9111, section 4.4): to be called when it was answered with less than 400.
    func invalidate(_ question: CacheQuestion, service: ServiceName, scope: CacheScope) {
        let path = question.withTarget { CachePath($0) }
        let groups = [CacheGroup(tenant: scope.tenant, service: service), CacheGroup(tenant: CacheScope.everybody, service: service)]
        for group in scope.tenant == CacheScope.everybody ? [groups[1]] : groups {
            let purged = shards.reduce(0) { $0 + $1.state.withLock { $0.purge(group, path: path) } }
            counts.purged.add(purged, ordering: .relaxed)
            guard let remote else { continue }
            Task { await remote.invalidate(group, path) }
        }
    }

    // MARK: Seen from outside

    /// For the admin listener and metrics.
    struct Snapshot: Sendable, Equatable, Codable {
        var answers = 0
        var bytes = 0
        var capacity = 0
        var evictions = 0
        var hits = 0
        var remoteHits = 0
        var misses = 0
        var bypassed = 0
        var waited = 0
        var purged = 0
        var redis = "off"
    }

    var snapshot: Snapshot {
        var snapshot = Snapshot()
        for shard in shards {
            shard.state.withLock {
                snapshot.answers += $0.store.count
                snapshot.bytes += $0.store.bytes
                snapshot.capacity += $0.store.capacity
                snapshot.evictions += $0.store.evictions
            }
        }
        snapshot.hits = counts.hits.load(ordering: .relaxed)
        snapshot.remoteHits = counts.remoteHits.load(ordering: .relaxed)
        snapshot.misses = counts.missed.load(ordering: .relaxed)
        snapshot.bypassed = counts.bypassed.load(ordering: .relaxed)
        snapshot.waited = counts.waited.load(ordering: .relaxed)
        snapshot.purged = counts.purged.load(ordering: .relaxed)
        snapshot.redis = remote.map { $0.isUsable ? "on" : "away" } ?? "off"
        return snapshot
    }
}

/// What happened since the start.
final class CacheCounts: Sendable {
    let hits = Atomic(0)
    let remoteHits = Atomic(0)
    let missed = Atomic(0)
    let bypassed = Atomic(0)
    let waited = Atomic(0)
    let purged = Atomic(0)
}

/// A request that may have to wait for another's answer.
final class CacheWaiter: Sendable {
    /// Times that one waits anew when what came was not for it.
    private static let mostRounds = 2

    let asking: ResponseCache.Shard.Asking
    let rule: CacheRule
    let loop: any EventLoop
    private let resume: ResponseCache.Resume
    private let rounds = Atomic(0)
    private let isFinished = Atomic(false)

    init(asking: ResponseCache.Shard.Asking, rule: CacheRule, loop: any EventLoop, resume: @escaping ResponseCache.Resume) {
        self.asking = asking
        self.rule = rule
        self.loop = loop
        self.resume = resume
    }

    var isDone: Bool { isFinished.load(ordering: .acquiring) }
    var hasWaited: Bool { rounds.load(ordering: .relaxed) > 0 }
    var mayWait: Bool { rounds.load(ordering: .relaxed) < Self.mostRounds }

    func hasComeBack() { rounds.add(1, ordering: .relaxed) }

    /// From here on it waits so long at most.
    func begin(_ wait: TimeAmount) {
        guard !hasWaited else { return }
        loop.scheduleTask(in: wait) { self.finish(.bypass(.missing)) }
    }

    /// Whatever comes first counts.
    func finish(_ lookup: CacheLookup) {
        guard !isFinished.exchange(true, ordering: .acquiringAndReleasing) else { return }
        loop.execute { self.resume(lookup) }
    }
}
