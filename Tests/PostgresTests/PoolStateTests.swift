import Testing

@testable import Postgres

/// A job without content.
private final class Piece {}

@Suite("What a pool decides")
struct PoolStateTests {
    private typealias Pool = PoolState<Piece>
    private let start = ContinuousClock.now

    private func pool(connections: Int = 2, batch: Int = 2, queue: Int = 4) -> Pool {
        Pool(.init(connections: connections, batch: batch, queue: queue))
    }

    private func later(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    private func admit(_ pool: inout Pool, at seconds: Double = 0) -> (job: Piece, admission: Pool.Admission) {
        let job = Piece()
        return (job, pool.admit(job, deadline: later(seconds + 5), now: later(seconds)))
    }

    @Test("The first job starts a worker and a timer; the second waits for it")
    func first() {
        var pool = pool()
        #expect(admit(&pool).admission == .waiting(wake: false, start: true, timer: later(5)))
        #expect(admit(&pool).admission == .waiting(wake: false, start: false, timer: nil))
        #expect(pool.workers == 1)
    }

    @Test("More jobs than a starting worker takes at once start another, up to the limit")
    func growth() {
        var pool = pool(connections: 2, batch: 2, queue: 10)
        let starts = (0..<8).map { _ -> Bool in
            if case .waiting(_, true, _) = admit(&pool).admission { true } else { false }
        }
        #expect(starts == [true, false, true, false, false, false, false, false])
        #expect(pool.workers == 2)
    }

    @Test("A full line refuses")
    func full() {
        var pool = pool(queue: 2)
        _ = admit(&pool)
        _ = admit(&pool)
        #expect(admit(&pool).admission == .refused(.full))
    }

    @Test("A worker connects, takes a batch in order, and rests")
    func work() {
        var pool = pool(connections: 1)
        let jobs = (0..<3).map { _ in admit(&pool).job }
        pool.started()
        guard case .connect = pool.next(hasConnection: false, idleSince: start, now: start) else { return unexpected() }
        #expect(pool.didConnect() == false)
        guard case .run(let batch, let expired) = pool.next(hasConnection: true, idleSince: start, now: start) else { return unexpected() }
        #expect(batch.map(ObjectIdentifier.init) == jobs[0..<2].map(ObjectIdentifier.init))
        #expect(expired.isEmpty)
        #expect(pool.running == 2)
        pool.finished(2)
        guard case .run(let rest, _) = pool.next(hasConnection: true, idleSince: start, now: start) else { return unexpected() }
        #expect(rest.count == 1)
        pool.finished(1)
        guard case .wait(until: nil) = pool.next(hasConnection: true, idleSince: start, now: start) else { return unexpected() }
        #expect(admit(&pool).admission == .waiting(wake: true, start: false, timer: nil))
    }

    @Test("A spare worker leaves after its rest; the last one stays")
    func leaving() {
        var pool = pool(batch: 1)
        for _ in 0..<2 { _ = admit(&pool) }
        for _ in 0..<2 {
            pool.started()
            _ = pool.didConnect()
            _ = pool.next(hasConnection: true, idleSince: start, now: start)
            pool.finished(1)
        }
        guard case .wait(let until?) = pool.next(hasConnection: true, idleSince: start, now: later(1)) else { return unexpected() }
        #expect(until == later(60))
        pool.rested()
        guard case .leave = pool.next(hasConnection: true, idleSince: start, now: later(60)) else { return unexpected() }
        #expect(pool.workers == 1)
        #expect(pool.connected == 1)
        guard case .wait(nil) = pool.next(hasConnection: true, idleSince: start, now: later(90)) else { return unexpected() }
    }

    @Test("A withdrawn job is not run, and its place is free again")
    func withdrawal() {
        var pool = pool(connections: 1, queue: 1)
        let job = admit(&pool).job
        #expect(pool.withdraw(job) == true)
        #expect(pool.withdraw(job) == false)
        #expect(admit(&pool).admission != .refused(.full))
    }

    @Test("Jobs whose time is over are named once, and the next look is when the next one's is")
    func expiry() {
        var pool = pool()
        let first = admit(&pool).job
        _ = admit(&pool, at: 2)
        let (expired, next) = pool.expire(later(5))
        #expect(expired.count == 1 && expired[0] === first)
        #expect(next == later(7))
        #expect(pool.expire(later(7)).next == nil)
        #expect(admit(&pool, at: 8).admission == .waiting(wake: false, start: false, timer: later(13)))
    }

    @Test("An outage is ridden out for a moment, then jobs fail at once, and one worker goes on trying")
    func outage() {
        var pool = pool()
        _ = admit(&pool)
        pool.started()
        guard case .retry(let none) = pool.connectFailed("refused", jitter: 1, now: start) else { return unexpected() }
        #expect(none.isEmpty)
        #expect(admit(&pool, at: 0.5).admission == .waiting(wake: false, start: false, timer: nil))
        guard case .wait(let until?) = pool.next(hasConnection: false, idleSince: start, now: start) else { return unexpected() }
        #expect(until == later(0.05))
        pool.rested()
        guard case .connect = pool.next(hasConnection: false, idleSince: start, now: later(0.05)) else { return unexpected() }
        guard case .retry(let refused) = pool.connectFailed("still refused", jitter: 1, now: later(1.1)) else { return unexpected() }
        #expect(refused.count == 2)
        #expect(admit(&pool, at: 1.2).admission == .refused(.away("still refused")))
        pool.rested()
        guard case .connect = pool.next(hasConnection: false, idleSince: start, now: later(9)) else { return unexpected() }
        #expect(pool.didConnect() == true)
        #expect(admit(&pool, at: 9).admission != .refused(.away("still refused")))
    }

    @Test("Attempts to connect come at growing intervals with a bound")
    func backOff() {
        var pool = pool()
        _ = admit(&pool)
        pool.started()
        var now = 0.0
        var delays: [Double] = []
        for _ in 0..<9 {
            _ = pool.connectFailed("refused", jitter: 1, now: later(now))
            guard case .wait(let until?) = pool.next(hasConnection: false, idleSince: start, now: later(now)) else { return unexpected() }
            pool.rested()
            delays.append((until - later(now)) / .seconds(1))
            now += 10
        }
        #expect(zip(delays, delays.dropFirst()).allSatisfy { $0 <= $1 + 0.001 })
        #expect(abs((delays.last ?? 0) - 2) < 0.001)
    }

    @Test("While others have connections, a worker that gets none leaves, and growth pauses")
    func partialOutage() {
        var pool = pool(connections: 3, batch: 1)
        _ = admit(&pool)
        _ = admit(&pool)
        pool.started()
        pool.started()
        _ = pool.didConnect()
        guard case .leave = pool.connectFailed("too many connections", jitter: 0, now: start) else { return unexpected() }
        #expect(pool.workers == 1)
        guard case .waiting(_, let grows, _) = admit(&pool, at: 0.5).admission else { return unexpected() }
        #expect(!grows)
        guard case .waiting(_, let growsLater, _) = admit(&pool, at: 1.5).admission else { return unexpected() }
        #expect(growsLater)
    }

    @Test("A closing pool refuses, finishes what waits, and its workers leave")
    func closing() {
        var pool = pool(connections: 1)
        _ = admit(&pool)
        pool.started()
        _ = pool.didConnect()
        pool.close()
        #expect(admit(&pool).admission == .refused(.closing))
        guard case .run = pool.next(hasConnection: true, idleSince: start, now: start) else { return unexpected() }
        pool.finished(1)
        guard case .leave = pool.next(hasConnection: true, idleSince: start, now: start) else { return unexpected() }
        #expect(pool.workers == 0 && pool.connected == 0)
    }

    @Test("Jobs put back go first")
    func puttingBack() {
        var pool = pool(connections: 1, batch: 1)
        let first = admit(&pool).job
        _ = admit(&pool)
        pool.started()
        _ = pool.didConnect()
        guard case .run(let jobs, _) = pool.next(hasConnection: true, idleSince: start, now: start) else { return unexpected() }
        pool.finished(1)
        pool.putBack(jobs, deadline: later(5))
        guard case .run(let again, _) = pool.next(hasConnection: true, idleSince: start, now: start) else { return unexpected() }
        #expect(again.count == 1 && again[0] === first)
    }
}

@Suite("What a cancellation does")
struct JobLifeTests {
    @Test("In the line it leaves, and is not started any more")
    func queued() {
        var life = JobLife()
        #expect(life.cancel() == .withdraw)
        #expect(life.start() == false)
    }

    @Test("A statement under way is signalled once, and the signal is to be absorbed")
    func busy() throws {
        var life = JobLife()
        #expect(life.start() == true)
        try life.beginStatement()
        #expect(life.cancel() == .signal)
        #expect(life.maySignal() == true)
        #expect(life.maySignal() == false)
        #expect(life.endStatement() == true)
        #expect(throws: CancellationError.self) { try life.beginStatement() }
    }

    @Test("A signal that comes after the statement has ended is not sent")
    func late() throws {
        var life = JobLife()
        _ = life.start()
        try life.beginStatement()
        #expect(life.cancel() == .signal)
        #expect(life.endStatement() == false)
        #expect(life.maySignal() == false)
    }

    @Test("Between statements it waits for the next step, which refuses")
    func held() {
        var life = JobLife()
        _ = life.start()
        #expect(life.cancel() == .none)
        #expect(life.maySignal() == false)
        #expect(throws: CancellationError.self) { try life.becomeUntouchable(mayBeAbandoned: false) }
    }

    @Test("Among others' statements it is abandoned; while it commits it is left alone")
    func untouchable() throws {
        var life = JobLife()
        _ = life.start()
        try life.becomeUntouchable(mayBeAbandoned: true)
        #expect(life.cancel() == .abandon)
        #expect(life.maySignal() == false)
        var committing = JobLife()
        _ = committing.start()
        try committing.becomeUntouchable(mayBeAbandoned: false)
        #expect(committing.cancel() == .none)
        #expect(committing.maySignal() == false)
    }
}
