import Synchronization

/// Stops asking a group that fails, so that it can recover and its callers do not wait: closed, open for a growing time, then half open
/// for one probe at a time.
///
/// A 503 does not count: a service that says so is alive, and what it lacks may concern one route of many.
/// The ends of requests that began before the breaker opened count as probes while it is half open; they are few, and as telling.
final class CircuitBreaker: Sendable {
    private enum Phase: Sendable { case closed, open, halfOpen }

    private struct State: Sendable {
        var phase = Phase.closed
        var until: UInt64 = 0
        /// Openings without a good while between them.
        var level = 0
        var closedAt: UInt64 = 0
        var probeSince: UInt64?
        var goodProbes = 0
        var openings: UInt64 = 0
    }

    private let spec: UpstreamSpec.Breaker
    private let window: TrafficWindow
    /// Open or half open: only then is the state asked.
    private let isTroubled = Atomic<Bool>(false)
    private let state = Mutex(State())

    init(_ spec: UpstreamSpec.Breaker, window: TrafficWindow) {
        self.spec = spec
        self.window = window
    }

    /// Whether a request may go now. Half open, a true answer is the permission for a probe: its end must be told.
    @inline(__always)
    func admits(now: UInt64) -> Bool {
        isTroubled.load(ordering: .relaxed) ? admitsProbe(now) : true
    }

    /// Seconds until it is worth asking again, at least 1; nil while it is closed.
    func retryAfter(now: UInt64) -> Int? {
        guard isTroubled.load(ordering: .relaxed) else { return nil }
        return state.withLock { $0.phase == .open && $0.until > now ? Int(($0.until - now + 999_999_999) / 1_000_000_000) : 1 }
    }

    @inline(__always)
    func succeeded(now: UInt64) {
        if isTroubled.load(ordering: .relaxed) { probeSucceeded(now) }
    }

    /// After the failure was noted in the window.
    func failed(now: UInt64) {
        guard spec.isOn else { return }
        state.withLock { state in
            switch state.phase {
            case .open: break
            case .halfOpen: open(&state, now)
            case .closed:
                let counts = window.recent(now: now)
                if counts.total >= Double(spec.minimumRequests), counts.bad >= spec.failureShare * counts.total { open(&state, now) }
            }
        }
    }

    /// A request ended without saying anything of the group; if it was the probe, another may go.
    func abandoned() {
        if isTroubled.load(ordering: .relaxed) { state.withLock { $0.probeSince = nil } }
    }

    /// What it is, for people: an open one whose time is over is half open.
    func snapshot(now: UInt64) -> (state: GroupSnapshot.Breaker, openings: UInt64) {
        state.withLock { state in
            let shown: GroupSnapshot.Breaker =
                switch state.phase {
                case .closed: .closed
                case .open: now < state.until ? .open : .halfOpen
                case .halfOpen: .halfOpen
                }
            return (shown, state.openings)
        }
    }

    private func open(_ state: inout State, _ now: UInt64) {
        let wasGoodFor = state.closedAt <= now ? now - state.closedAt : 0
        state.level = state.phase == .closed && wasGoodFor >= spec.cap ? 1 : state.level + 1
        state.phase = .open
        state.until = now &+ Growth.time(base: spec.base, cap: spec.cap, level: state.level)
        state.probeSince = nil
        state.goodProbes = 0
        state.openings += 1
        isTroubled.store(true, ordering: .relaxed)
    }

    private func admitsProbe(_ now: UInt64) -> Bool {
        state.withLock { state in
            switch state.phase {
            case .closed: return true
            case .open:
                guard now >= state.until else { return false }
                state.phase = .halfOpen
            case .halfOpen:
                if let since = state.probeSince, now < since &+ spec.probePatience { return false }
            }
            state.probeSince = now
            return true
        }
    }

    private func probeSucceeded(_ now: UInt64) {
        state.withLock { state in
            guard state.phase == .halfOpen else { return }
            state.probeSince = nil
            state.goodProbes += 1
            guard state.goodProbes >= spec.probes else { return }
            state.phase = .closed
            state.closedAt = now
            window.forget()
            isTroubled.store(false, ordering: .relaxed)
        }
    }
}

/// Times that double with each level, up to a cap.
enum Growth {
    static func time(base: UInt64, cap: UInt64, level: Int) -> UInt64 {
        let doublings = min(max(0, level - 1), 62)
        let (time, overflows) = base.multipliedReportingOverflow(by: 1 << UInt64(doublings))
        return overflows ? cap : min(cap, time)
    }
}
