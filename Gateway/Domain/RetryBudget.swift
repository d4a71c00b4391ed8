import Synchronization

/// How many second attempts there may be: a share of the recent requests, and a few in any case. Without it a failing service gets twice
/// the load.
final class RetryBudget: Sendable {
    private let spec: UpstreamSpec.Retries
    private let window: TrafficWindow
    private let turn = Mutex(())
    private let granted = Atomic<UInt64>(0)
    private let refusals = Atomic<UInt64>(0)

    init(_ spec: UpstreamSpec.Retries, window: TrafficWindow) {
        self.spec = spec
        self.window = window
    }

    var retries: UInt64 { granted.load(ordering: .relaxed) }
    var refused: UInt64 { refusals.load(ordering: .relaxed) }

    /// A true answer is counted: the attempt is to be made.
    func mayRetry(now: UInt64) -> Bool {
        turn.withLock { _ in
            let counts = window.recent(now: now)
            let always = Double(spec.perSecond) * Double(window.length) / 1_000_000_000
            guard counts.retries + 1 <= max(spec.share * counts.total, always) else {
                refusals.wrappingAdd(1, ordering: .relaxed)
                return false
            }
            window.noteRetry(now: now)
            granted.wrappingAdd(1, ordering: .relaxed)
            return true
        }
    }
}
