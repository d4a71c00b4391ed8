import Foundation
import Synchronization

/// How many wrong API keys each address has shown of late, counted by this replica: one that guesses is not let through to auth.
final class KeyGuesses: Sendable {
    private let policy: LimitPolicy
    private let now: @Sendable () -> Date
    private let buckets = Mutex<[String: TokenBucket]>([:])

    init(policy: LimitPolicy, now: @escaping @Sendable () -> Date) {
        self.policy = policy
        self.now = now
    }

    private var microseconds: Double { now().timeIntervalSince1970 * 1_000_000 }

    /// Throws `GatewayFailure.limited` for an address that has used up its wrong keys.
    func admit(_ client: ClientAddress) throws(GatewayFailure) {
        let time = microseconds
        guard let bucket = buckets.withLock({ $0[client.limitSubject] }), !bucket.allows(policy, at: time) else { return }
        throw .limited(policy: policy.name, retryAfter: bucket.state(policy, at: time).retryAfter)
    }

    func note(_ client: ClientAddress) {
        let time = microseconds
        buckets.withLock { buckets in
            if buckets.count >= LocalBuckets.maximum { buckets = buckets.filter { $0.value.fullAt > time } }
            if buckets.count >= LocalBuckets.maximum { buckets = [:] }
            var bucket = buckets[client.limitSubject] ?? TokenBucket(fullAt: time)
            if bucket.allows(policy, at: time) { bucket.take(policy, at: time) }
            buckets[client.limitSubject] = bucket
        }
    }
}
