/// Decides what a connection's thread does next: connect, rest, serve, probe. Knows no sockets and no clock.
struct ConnectionMachine: Equatable {
    enum Action: Equatable {
        case connect
        /// Nothing to do before this time.
        case rest(until: ContinuousClock.Instant)
        /// Send commands; when none come before this time, ask again.
        case serve(until: ContinuousClock.Instant)
        /// Ask the server whether it is still there.
        case probe
    }

    private enum State: Equatable {
        case disconnected(notBefore: ContinuousClock.Instant)
        case connected(since: ContinuousClock.Instant, lastAnswer: ContinuousClock.Instant)
    }

    /// A connection that lived shorter than this counts as a failed attempt, so that a server which
    /// accepts and then hangs up is not asked again without a pause.
    static let shortLife: Duration = .seconds(1)

    private let backOff: BackOff
    private let probeInterval: Duration
    private var state: State
    private(set) var failures = 0

    init(backOff: BackOff, probeInterval: Duration, at now: ContinuousClock.Instant) {
        self.backOff = backOff
        self.probeInterval = probeInterval
        state = .disconnected(notBefore: now)
    }

    func action(at now: ContinuousClock.Instant) -> Action {
        switch state {
        case .disconnected(let notBefore): now >= notBefore ? .connect : .rest(until: notBefore)
        case .connected(_, let lastAnswer):
            now >= lastAnswer + probeInterval ? .probe : .serve(until: lastAnswer + probeInterval)
        }
    }

    mutating func connected(at now: ContinuousClock.Instant) {
        state = .connected(since: now, lastAnswer: now)
    }

    mutating func answered(at now: ContinuousClock.Instant) {
        guard case .connected(let since, _) = state else { return }
        if now >= since + Self.shortLife { failures = 0 }
        state = .connected(since: since, lastAnswer: now)
    }

    /// An attempt failed, or the connection broke. After a life of some length the first attempt is made at once.
    mutating func failed(at now: ContinuousClock.Instant, chance: Double) {
        if case .connected(let since, _) = state, now >= since + Self.shortLife {
            failures = 0
            state = .disconnected(notBefore: now)
            return
        }
        failures += 1
        state = .disconnected(notBefore: now + backOff.pause(afterFailures: failures, chance: chance))
    }
}
