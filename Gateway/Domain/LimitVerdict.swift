import NIOCore

/// What a bucket says to one request.
enum LimitVerdict: Sendable, Hashable {
    /// One unit is taken. `resetSeconds`: how long what remains may be spread over.
    case allowed(remaining: Int, resetSeconds: Int)
    /// Nothing is taken. Seconds until one more is allowed, 1 at the least.
    case refused(retryAfter: Int)
    /// Nothing is known here: `LimitBook.ask`.
    case ask

    var isAllowed: Bool { if case .allowed = self { true } else { false } }
}

/// A policy as the machines count it, with its header fields ready as bytes; one for all buckets of the policy.
final class LimitTerms: Sendable {
    /// Smaller quotas are asked for each time: a lease would hold back a large part of them.
    static let smallestLeasedQuota = 50
    /// A lease is this part of the quota at most.
    static let largestPart = 20
    /// A first lease lasts this long, as far as it may be so large.
    static let firstLeaseNanoseconds: UInt64 = 50_000_000

    let policy: LimitPolicy
    let quota: Int
    /// Nanoseconds until one used unit is there again.
    let interval: UInt64
    /// Nanoseconds in which all of them are.
    let window: UInt64
    /// Nanoseconds for which whoever exceeded the limit is refused.
    let block: UInt64
    let isLeased: Bool
    let firstLease: Int
    let largestLease: Int
    /// `"default";q=1000;w=60` (draft-ietf-httpapi-ratelimit-headers, section 3).
    let policyField: [UInt8]
    /// `"default";r=`
    private let stateStart: [UInt8]

    init(_ policy: LimitPolicy) {
        self.policy = policy
        quota = max(1, policy.quota)
        let nanoseconds = UInt64(max(1, policy.window)) * 1_000_000_000
        interval = max(1, (nanoseconds + UInt64(quota) - 1) / UInt64(quota))
        window = interval * UInt64(quota)
        block = UInt64(max(0, policy.block)) * 1_000_000_000
        isLeased = quota >= Self.smallestLeasedQuota && !policy.returnsUnits
        largestLease = max(1, quota / Self.largestPart)
        firstLease = isLeased ? min(largestLease, max(1, Int(Self.firstLeaseNanoseconds / interval))) : 1
        policyField = Array(policy.header.utf8)
        stateStart = Array("\"\(policy.name)\";r=".utf8)
    }

    /// Writes `"default";r=999;t=60` (section 4): what remains can be used within the window; with nothing left, the seconds until there is.
    func writeState(_ verdict: LimitVerdict, into buffer: inout ByteBuffer) {
        let (remaining, seconds) =
            switch verdict {
            case .allowed(let remaining, let seconds): (remaining, seconds)
            case .refused(let retryAfter): (0, retryAfter)
            case .ask: (0, policy.window)
            }
        buffer.writeBytes(stateStart)
        buffer.writeDecimal(remaining)
        buffer.writeStaticString(";t=")
        buffer.writeDecimal(seconds)
    }
}

extension ByteBuffer {
    /// Writes a number that is not negative as its decimal digits, without making a `String`.
    mutating func writeDecimal(_ number: Int) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: 20) { room in
            var rest = UInt64(max(0, number))
            var length = 1
            var bound: UInt64 = 10
            while length < 19, rest >= bound {
                length += 1
                bound *= 10
            }
            for index in stride(from: length - 1, through: 0, by: -1) {
                room[index] = UInt8(truncatingIfNeeded: 48 + rest % 10)
                rest /= 10
            }
            return length
        }
    }
}
