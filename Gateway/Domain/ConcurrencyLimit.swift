import Synchronization

/// How many requests a group may have at once, learnt from how long answers take against how long they usually do (after the gradient
/// limit of Netflix's concurrency-limits): well above the usual with many under way, there is a queue in the service, and fewer at once
/// are as fast and each sooner done.
///
/// It lowers only what is used to at least half: latency that rises without load has another cause.
final class ConcurrencyLimit: Sendable {
    /// A window moves the usual latency so far towards its own.
    private static let falling = 0.2
    private static let rising = 0.05
    /// Under load the usual rises slowly, or an overload would become the usual: by half in about seven minutes.
    private static let risingUnderLoad = 1.0005
    /// The most that one window takes away is half of this.
    private static let smoothing = 0.5
    /// Of the answers, those that say "overloaded" or never came.
    private static let refusedShare = 0.1
    private static let refusedFactor = 0.9

    private let spec: UpstreamSpec.Concurrency
    private let limit: Atomic<Int>
    private let sum = Atomic<UInt64>(0)
    private let samples = Atomic<Int>(0)
    private let refused = Atomic<Int>(0)
    private let peak = Atomic<Int>(0)
    private let windowEnd = Atomic<UInt64>(0)
    /// The usual latency in nanoseconds; 0 before the first window.
    private let usual = Mutex(0.0)

    init(_ spec: UpstreamSpec.Concurrency) {
        self.spec = spec
        limit = Atomic(spec.initial)
    }

    var current: Int {
        @inline(__always) get { limit.load(ordering: .relaxed) }
    }

    /// Goes on from where another, for an earlier form of the same group, had come.
    func adopt(_ former: ConcurrencyLimit) {
        limit.store(min(max(former.current, spec.floor), spec.ceiling), ordering: .relaxed)
        let learnt = former.usual.withLock { $0 }
        usual.withLock { $0 = learnt }
    }

    /// One request gave its place back. Without a latency it was a stream, or never reached the service: it teaches nothing.
    /// - Parameter ok: false when the service was overloaded, or silent for too long.
    @inline(__always)
    func note(latency: UInt64?, ok: Bool, inside: Int, now: UInt64) {
        if !ok {
            refused.wrappingAdd(1, ordering: .relaxed)
        } else if let latency {
            sum.wrappingAdd(latency, ordering: .relaxed)
            samples.wrappingAdd(1, ordering: .relaxed)
        }
        if inside > peak.load(ordering: .relaxed) { peak.store(inside, ordering: .relaxed) }
        if now >= windowEnd.load(ordering: .relaxed) { adjust(now) }
    }

    private func adjust(_ now: UInt64) {
        usual.withLock { usual in
            let end = windowEnd.load(ordering: .relaxed)
            guard now >= end else { return }
            windowEnd.store(now &+ spec.window, ordering: .relaxed)
            // The first request of all only opens the window.
            guard end != 0 else { return }
            let count = samples.load(ordering: .relaxed), bad = refused.load(ordering: .relaxed)
            guard count + bad >= spec.minimumSamples else { return }
            samples.store(0, ordering: .relaxed)
            refused.store(0, ordering: .relaxed)
            let total = sum.exchange(0, ordering: .relaxed), peak = peak.exchange(0, ordering: .relaxed)
            let present = limit.load(ordering: .relaxed)
            let isUsed = peak * 2 >= present
            let average = count > 0 ? Double(total) / Double(count) : 0
            let bound = usual == 0 ? .infinity : usual * spec.tolerance + Double(spec.slack)
            let next: Double
            if Double(bad) > Self.refusedShare * Double(count + bad) {
                next = Double(present) * Self.refusedFactor
            } else if average > bound, isUsed {
                next = Double(present) * (1 - Self.smoothing * (1 - max(0.5, bound / average)))
            } else {
                next = Double(present) + (isUsed || present < spec.initial ? max(4, Double(present).squareRoot()) : 0)
            }
            if count > 0 { learn(&usual, average, isUsed: isUsed) }
            limit.store(min(max(Int(next), spec.floor), spec.ceiling), ordering: .relaxed)
        }
    }

    private func learn(_ usual: inout Double, _ average: Double, isUsed: Bool) {
        if usual == 0 {
            usual = average
        } else if average < usual {
            usual += (average - usual) * Self.falling
        } else if isUsed {
            usual = min(average, usual * Self.risingUnderLoad)
        } else {
            usual += (average - usual) * Self.rising
        }
    }
}
