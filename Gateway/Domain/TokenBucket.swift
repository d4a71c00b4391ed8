/// A limit: `quota` requests in `window` seconds, all at once or spread. The name is of letters, digits and `-`.
struct LimitPolicy: Sendable, Hashable {
    let name: String
    let quota: Int
    let window: Int
    /// Whoever has exceeded the limit is refused for so many seconds; 0 for no longer than it takes.
    var block = 0
    /// Units may be given back long after they were taken, as those of sign-ins that succeed; so each is asked for, none leased.
    var returnsUnits = false

    /// Microseconds until one used unit is there again.
    var interval: Double { windowMicroseconds / Double(quota) }
    var windowMicroseconds: Double { Double(window) * 1_000_000 }

    /// `"default";q=1000;w=60` (draft-ietf-httpapi-ratelimit-headers, section 3).
    var header: String { "\"\(name)\";q=\(quota);w=\(window)" }
}

/// What is left of a limit.
struct LimitState: Sendable, Hashable {
    let policy: LimitPolicy
    let remaining: Int
    /// Microseconds until one more is allowed; 0 when one is.
    let wait: Double

    /// `"default";r=999;t=60` (section 4): what remains can be used within the window; with nothing left, the seconds until there is.
    var header: String { "\"\(policy.name)\";r=\(remaining);t=\(remaining > 0 ? policy.window : retryAfter)" }
    var retryAfter: Int { max(1, Int((wait / 1_000_000).rounded(.up))) }
}

/// A token bucket in one number: the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
///
/// `RateLimiter.script` does the same arithmetic in Redis; times are microseconds.
struct TokenBucket: Sendable, Equatable {
    /// Guards against the last bit of a division.
    static let tolerance = 0.5

    private(set) var fullAt: Double

    init(fullAt: Double = 0) { self.fullAt = fullAt }

    func allows(_ policy: LimitPolicy, at now: Double) -> Bool {
        max(fullAt, now) + policy.interval - now <= policy.windowMicroseconds + Self.tolerance
    }

    mutating func take(_ policy: LimitPolicy, at now: Double) { fullAt = max(fullAt, now) + policy.interval }

    mutating func giveBack(_ policy: LimitPolicy) { fullAt -= policy.interval }

    func state(_ policy: LimitPolicy, at now: Double) -> LimitState {
        let used = max(fullAt, now) - now
        let remaining = Int(((policy.windowMicroseconds - used + Self.tolerance) / policy.interval).rounded(.down))
        return LimitState(
            policy: policy, remaining: max(0, remaining), wait: max(0, used + policy.interval - policy.windowMicroseconds - Self.tolerance))
    }
}

/// Buckets of this replica alone, for while Redis is away.
struct LocalBuckets: Sendable {
    /// Beyond this the full ones are dropped, and if that is not enough all of them: memory matters more than a limit.
    static let maximum = 100_000

    private var buckets: [String: TokenBucket] = [:]

    var count: Int { buckets.count }

    /// Takes one of each, or none when one of them is used up.
    mutating func take(_ charges: [LimitCharge], at now: Double) -> LimitOutcome {
        let held = charges.map { buckets[$0.key] ?? TokenBucket(fullAt: now) }
        let isAllowed = zip(charges, held).allSatisfy { charge, bucket in bucket.allows(charge.policy, at: now) }
        var states: [LimitState] = []
        for (charge, bucket) in zip(charges, held) {
            var bucket = bucket
            if isAllowed {
                bucket.take(charge.policy, at: now)
                if buckets.count >= Self.maximum { makeRoom(at: now) }
                buckets[charge.key] = bucket
            }
            states.append(bucket.state(charge.policy, at: now))
        }
        return LimitOutcome(isAllowed: isAllowed, states: states)
    }

    mutating func giveBack(_ charge: LimitCharge) { buckets[charge.key]?.giveBack(charge.policy) }

    private mutating func makeRoom(at now: Double) {
        buckets = buckets.filter { $0.value.fullAt > now }
        if buckets.count >= Self.maximum { buckets = [:] }
    }
}

/// One unit of one limit, for one subject.
struct LimitCharge: Sendable, Hashable {
    let policy: LimitPolicy
    let subject: String
    var key: String { "trionex:limit:\(policy.name):\(subject)" }
}

/// Whether the request may go on, and what its answer says of the limits.
struct LimitOutcome: Sendable, Equatable {
    let isAllowed: Bool
    let states: [LimitState]

    /// The limit that refuses the longest.
    var refusal: LimitState? { isAllowed ? nil : states.max { $0.wait < $1.wait } }
    var policyHeader: String { states.map(\.policy.header).joined(separator: ", ") }
    var stateHeader: String { states.map(\.header).joined(separator: ", ") }
}
