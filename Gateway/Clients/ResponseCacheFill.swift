import NIOCore
import Synchronization

/// One request's duty to fetch an answer for the cache. Used on the loop of its request; let go unfinished, the next one leads.
///
/// The request goes to the service without the client's own conditions and with `validators` instead. Then: `head` with every final
/// answer; if that says true, `body` with each piece and `end`. A 304 to the validators goes to `notModified`.
final class CacheFill: Sendable {
    private struct State {
        enum Phase { case open, keeping, done }
        var phase = Phase.open
        var status = 0
        var lines = ByteBuffer()
        var body = ByteBuffer()
        var freshness: CacheFreshness?
        var variation = CacheVariation()
        var receivedAt: UInt64 = 0
        var token: ResponseCacheRemote.Token?
    }

    let leading: ResponseCache.Shard.Leading
    private let cache: ResponseCache
    private let waiter: CacheWaiter
    private let state = Mutex(State())

    init(_ cache: ResponseCache, _ waiter: CacheWaiter, _ leading: ResponseCache.Shard.Leading) {
        self.cache = cache
        self.waiter = waiter
        self.leading = leading
    }

    deinit { abandon() }

    /// Lines to be added to the request, each with its CRLF; empty when nothing is kept that could still be right.
    var validators: [UInt8] { leading.stale?.validators ?? [] }

    /// For `Cache-Status`, with what `head` said.
    func status(stored: Bool) -> CacheStatus { .forwarded(leading.reason, stored: stored) }

    // MARK: From Redis

    func learn(_ token: ResponseCacheRemote.Token) { state.withLock { $0.token = token } }

    func found(_ answer: StoredAnswer, _ variation: CacheVariation, now: UInt64) {
        guard take() else { return }
        settle(now) { $0.keep(answer, variation, for: waiter.asking) }
    }

    // MARK: From the service

    /// Whether this answer will be kept. Where it will not, those who wait go on by themselves.
    func head(_ head: ResponseHead, now: UInt64, wall: Int = WallClock.seconds()) -> Bool {
        let delay = now > waiter.asking.now ? Int((now - waiter.asking.now) / Monotonic.second) : 0
        var policy = CachePolicy.judge(head, rule: waiter.rule, scope: waiter.asking.scope, wall: wall, delay: delay)
        if case .keep = policy, head.contentLength > cache.limits.answerBytes { policy = .leave(.lifetime) }
        switch policy {
        case .keep(let freshness, let variation):
            let lines = head.keptLines()
            return state.withLock {
                guard $0.phase == .open else { return false }
                $0.phase = .keeping
                $0.status = head.status
                $0.lines = lines
                $0.freshness = freshness
                $0.variation = variation
                $0.receivedAt = now
                if head.contentLength > 0 { $0.body.reserveCapacity(head.contentLength) }
                return true
            }
        case .leave(let reason):
            leave(passing: reason != .status, now)
            return false
        }
    }

    func body(_ bytes: ByteBuffer) {
        let begun = state.withLock { state -> UInt64? in
            guard state.phase == .keeping else { return nil }
            state.body.writeImmutableBuffer(bytes)
            return state.body.readableBytes + state.lines.readableBytes > cache.limits.answerBytes ? state.receivedAt : nil
        }
        // It is larger than may be kept.
        if let begun { leave(passing: true, begun) }
    }

    /// The body is whole.
    func end(now: UInt64) {
        let done = state.withLock { state -> (StoredAnswer, CacheVariation, ResponseCacheRemote.Token?)? in
            guard state.phase == .keeping, let freshness = state.freshness else { return nil }
            state.phase = .done
            let answer = StoredAnswer(
                status: state.status, lines: state.lines, body: state.body, freshness: freshness, receivedAt: state.receivedAt)
            return (answer, state.variation, state.token)
        }
        guard let (answer, variation, token) = done else { return }
        keep(answer, variation, token, now)
    }

    /// The service said 304 to the validators: what is kept lives on, and is this request's answer. Nil when it is not kept any more;
    /// then there is nothing to answer with but to ask again without conditions.
    func notModified(_ head: ResponseHead, now: UInt64, wall: Int = WallClock.seconds()) -> CacheHit? {
        guard let stale = leading.stale, let whole = stale.freshened(by: head) else { return nil }
        let policy = CachePolicy.judge(whole, rule: waiter.rule, scope: waiter.asking.scope, wall: wall, delay: 0)
        guard case .keep(let freshness, let variation) = policy else {
            leave(passing: true, now)
            return hit(stale, now)
        }
        let answer = StoredAnswer(status: stale.status, lines: whole.keptLines(), body: stale.body, freshness: freshness, receivedAt: now)
        let token = state.withLock { $0.token }
        if take() { keep(answer, variation, token, now) }
        return hit(answer, now)
    }

    private func hit(_ answer: StoredAnswer, _ now: UInt64) -> CacheHit {
        let hit = cache.hit(answer, waiter, now)
        return CacheHit(answer: answer, age: hit.age, isUnchanged: hit.isUnchanged, status: .revalidated)
    }

    /// Whether a 200 with this head is what the client's own conditions, which the service did not see, name: then 304 goes to the client.
    func isAnswered(by head: ResponseHead) -> Bool {
        guard head.status == 200, waiter.asking.question.isConditional else { return false }
        let lastModified = head.withValue(.lastModified) { CacheDate.seconds($0) } ?? nil
        return head.withValue(.etag) { waiter.asking.question.isAnswered(entityTag: $0, lastModified: lastModified) }
            ?? waiter.asking.question.isAnswered(entityTag: nil, lastModified: lastModified)
    }

    // MARK: When nothing comes of it

    /// The service does not answer, or answers 500, 502, 503 or 504. Those who wait go on by themselves; an old answer comes back
    /// where the service has allowed that (`stale-if-error`).
    func failed(now: UInt64) -> CacheHit? {
        leave(passing: false, now)
        guard let stale = leading.stale, stale.mayBeUsedForError(now) else { return nil }
        return cache.hit(stale, waiter, now)
    }

    /// The client went away, or the answer broke off: the next who waits leads.
    func abandon() {
        guard take() else { return }
        let next = cache.shard(of: waiter.asking).state.withLock { $0.promote(leading) }
        guard let (waiter, leading) = next else { return }
        waiter.hasComeBack()
        waiter.finish(.lead(CacheFill(cache, waiter, leading)))
    }

    // MARK: The end

    /// Whether it was open until now.
    private func take() -> Bool {
        state.withLock {
            guard $0.phase != .done else { return false }
            $0.phase = .done
            $0.body = ByteBuffer()
            return true
        }
    }

    private func leave(passing: Bool, _ now: UInt64) {
        guard take() else { return }
        let waiters = cache.shard(of: waiter.asking).state.withLock { shard in
            if passing { shard.pass(until: now + cache.limits.pass, for: waiter.asking) }
            return shard.end(leading)
        }
        cache.release(waiters)
    }

    private func keep(_ answer: StoredAnswer, _ variation: CacheVariation, _ token: ResponseCacheRemote.Token?, _ now: UInt64) {
        let isKept = settle(now) { $0.keep(answer, variation, for: waiter.asking) }
        guard isKept, let token, let remote = cache.remote else { return }
        remote.store(answer, variation, for: waiter.asking, token, now: now, wall: WallClock.seconds())
    }

    /// Keeps something unless it was purged meanwhile, and lets those look again who waited for it.
    @discardableResult
    private func settle(_ now: UInt64, _ body: (inout ResponseCache.Shard) -> Void) -> Bool {
        let (isKept, waiters) = cache.shard(of: waiter.asking).state.withLock { shard in
            let isTainted = shard.isTainted(leading)
            if !isTainted { body(&shard) }
            return (!isTainted, shard.end(leading))
        }
        cache.wake(waiters, now: now)
        return isKept
    }
}
