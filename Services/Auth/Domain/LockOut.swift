import Contracts
import Foundation

/// How long an address is locked after repeated failures: not at all at first, then longer each time, never for good.
struct LockOut: Sendable, Equatable {
    /// Failures in a row before the first lock.
    let threshold: Int
    let first: TimeInterval
    let longest: TimeInterval
    /// Failures older than this are forgotten.
    static let memory: TimeInterval = 86_400

    /// Nil while there are fewer failures than the threshold. Each further failure doubles the time, up to `longest`.
    func delay(after failures: Int) -> TimeInterval? {
        guard failures >= threshold else { return nil }
        let doublings = min(failures - threshold, 30)
        return min(first * Double(1 << doublings), longest)
    }
}

/// Too many failures for this address. Says nothing of whether an account has it.
struct LockedOut: Failure, Equatable {
    let seconds: Int
    var code: String { "too-many-attempts" }
    var kind: FailureKind { .limited(retryAfter: seconds) }
    var detail: String? { "Too many sign-ins with this address failed. Try again in \(seconds) second(s)." }

    init(until: Date, now: Date) { seconds = max(1, Int(until.timeIntervalSince(now).rounded(.up))) }
}
