import Contracts
import Foundation

/// How long repeated failures keep somebody out: not at all at first, then longer each time, never for good.
///
/// Three counts, so that failing on purpose shuts out whoever fails and nobody else:
/// - an address at one place (a range of network addresses, or a browser that has signed in with it before) is locked, and told so;
/// - an address, over all places, is closed to places where it has never signed in, and to no others;
/// - a range, over all addresses, is closed to addresses that have never signed in there.
///
/// What is closed answers as a wrong password does, at the same cost: whether a place is known to an account is nobody's business.
/// Whoever is shut out by others resets the password by mail: the place of the reset is known from then on.
struct LockOut: Sendable, Equatable {
    /// Failures in a row before the first lock of an address at one place.
    let threshold: Int
    let first: TimeInterval
    let longest: TimeInterval
    /// Failures from one range of addresses, over all accounts, before it is closed.
    var networkThreshold = 100
    /// An address is closed to unknown places after so many times the threshold.
    static let strangersFactor = 4
    /// Failures older than this are forgotten.
    static let memory: TimeInterval = 86_400
    /// Failures of a range are forgotten sooner: many people share one.
    static let networkMemory: TimeInterval = 3_600

    /// Nil while there are fewer failures than the threshold. Each further failure doubles the time, up to `longest`.
    func delay(after failures: Int) -> TimeInterval? { delay(after: failures, threshold) }

    func delay(after failures: Int, of counter: FailureCounter) -> TimeInterval? { delay(after: failures, limit(of: counter)) }

    /// The failure that begins the first lock of a counter.
    func limit(of counter: FailureCounter) -> Int {
        switch counter {
        case .place, .device: threshold
        case .address: threshold * Self.strangersFactor
        case .network: networkThreshold
        }
    }

    private func delay(after failures: Int, _ threshold: Int) -> TimeInterval? {
        guard failures >= threshold else { return nil }
        let doublings = min(failures - threshold, 30)
        return min(first * Double(1 << doublings), longest)
    }
}

/// What failed sign-ins are counted by.
enum FailureCounter: Hashable, Sendable {
    /// An address, from one range of network addresses.
    case place(EmailAddress, NetworkRange)
    /// An address, from one browser that has signed in with it before.
    case device(EmailAddress, DeviceMark)
    /// An address, wherever from.
    case address(EmailAddress)
    /// A range of network addresses, whatever the address that was tried.
    case network(NetworkRange)

    var memory: TimeInterval {
        switch self {
        case .place, .device, .address: LockOut.memory
        case .network: LockOut.networkMemory
        }
    }

    /// One text for each counter; an address has no space in it.
    var name: String {
        switch self {
        case .place(let email, let network): "\(email) \(network)"
        case .device(let email, let mark): "\(email) device \(mark.text)"
        case .address(let email): email.rawValue
        case .network(let network): "network \(network)"
        }
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
