import Synchronization

/// How many requests went well, failed and were tried again lately: what is left of the former slice of time, and all of this one.
///
/// Two loops that turn the slice at once may count a few requests in the wrong one, which shares and budgets bear.
final class TrafficWindow: Sendable {
    struct Counts: Sendable, Equatable {
        var good = 0.0
        var bad = 0.0
        var retries = 0.0
        var total: Double { good + bad }
    }

    private struct Former: Sendable {
        var good: UInt64 = 0
        var bad: UInt64 = 0
        var retries: UInt64 = 0
    }

    /// Nanoseconds.
    let length: UInt64
    private let end = Atomic<UInt64>(0)
    private let good = Atomic<UInt64>(0)
    private let bad = Atomic<UInt64>(0)
    private let retries = Atomic<UInt64>(0)
    private let former = Mutex(Former())

    init(length: UInt64) { self.length = max(1, length) }

    func note(failed: Bool, now: UInt64) {
        turn(now)
        if failed { bad.wrappingAdd(1, ordering: .relaxed) } else { good.wrappingAdd(1, ordering: .relaxed) }
    }

    func noteRetry(now: UInt64) {
        turn(now)
        retries.wrappingAdd(1, ordering: .relaxed)
    }

    func recent(now: UInt64) -> Counts {
        turn(now)
        return former.withLock { former in
            let end = end.load(ordering: .relaxed)
            let share = end > now ? min(1, Double(end - now) / Double(length)) : 0
            return Counts(
                good: Double(good.load(ordering: .relaxed)) + Double(former.good) * share,
                bad: Double(bad.load(ordering: .relaxed)) + Double(former.bad) * share,
                retries: Double(retries.load(ordering: .relaxed)) + Double(former.retries) * share)
        }
    }

    /// Forgets what went well and failed, not what was tried again.
    func forget() {
        former.withLock { former in
            former.good = 0
            former.bad = 0
            good.store(0, ordering: .relaxed)
            bad.store(0, ordering: .relaxed)
        }
    }

    @inline(__always)
    private func turn(_ now: UInt64) {
        if now >= end.load(ordering: .relaxed) { turnSlice(now) }
    }

    private func turnSlice(_ now: UInt64) {
        former.withLock { former in
            let ended = end.load(ordering: .relaxed)
            guard now >= ended else { return }
            let isNext = now - ended < length
            let last = Former(
                good: good.exchange(0, ordering: .relaxed), bad: bad.exchange(0, ordering: .relaxed),
                retries: retries.exchange(0, ordering: .relaxed))
            former = isNext ? last : Former()
            end.store((isNext ? ended : now) &+ length, ordering: .relaxed)
        }
    }
}
