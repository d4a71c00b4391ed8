import Foundation
import Logging
import Metrics
import Redis
import Synchronization

/// Takes from the token buckets of a request: in Redis, shared by all replicas, in one round trip;
/// in this replica's memory while Redis is away.
final class RateLimiter: Sendable {
    /// KEYS: buckets. ARGV: quota and window in microseconds for each. Answers 1 or 0, then the time and each bucket's time of being full.
    /// Takes from all or from none; the arithmetic is that of `TokenBucket`.
    static let script = RedisScript(
        """
        local clock = redis.call('TIME')
        local now = clock[1] * 1000000 + clock[2]
        local full, allowed = {}, 1
        for i, key in ipairs(KEYS) do
          local window = tonumber(ARGV[2 * i])
          local interval = window / tonumber(ARGV[2 * i - 1])
          full[i] = math.max(tonumber(redis.call('GET', key) or now), now)
          if full[i] + interval - now > window + 0.5 then allowed = 0 end
        end
        local answer = {allowed, string.format('%.0f', now)}
        for i, key in ipairs(KEYS) do
          if allowed == 1 then
            full[i] = full[i] + tonumber(ARGV[2 * i]) / tonumber(ARGV[2 * i - 1])
            redis.call('SET', key, string.format('%.3f', full[i]), 'PX', math.ceil((full[i] - now) / 1000) + 1)
          end
          answer[i + 2] = string.format('%.3f', full[i])
        end
        return answer
        """)

    private static let giveBackScript = RedisScript(
        """
        local full = redis.call('GET', KEYS[1])
        if full then redis.call('SET', KEYS[1], string.format('%.3f', tonumber(full) - tonumber(ARGV[1])), 'KEEPTTL') end
        return 1
        """)

    private let redis: Redis
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let local = Mutex(LocalBuckets())
    private let isLocal = Mutex(false)
    private let refusals = Counter(label: "trionex_gateway_limited_total")

    init(redis: Redis, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.redis = redis
        self.now = now
        self.logger = logger
    }

    /// Takes one unit of each limit, or none when one of them is used up. Never throws: without Redis it counts for itself.
    func take(_ charges: [LimitCharge]) async -> LimitOutcome {
        let outcome: LimitOutcome
        do {
            outcome = try await takeFromRedis(charges)
            note(local: false)
        } catch {
            note(local: true)
            let microseconds = now().timeIntervalSince1970 * 1_000_000
            outcome = local.withLock { $0.take(charges, at: microseconds) }
        }
        if !outcome.isAllowed { refusals.increment() }
        return outcome
    }

    /// Undoes one unit, as for a sign-in that succeeded.
    func giveBack(_ charge: LimitCharge) async {
        do {
            _ = try await redis.run(Self.giveBackScript, keys: [charge.key], arguments: [String(charge.policy.interval)])
        } catch {
            local.withLock { $0.giveBack(charge) }
        }
    }

    private func takeFromRedis(_ charges: [LimitCharge]) async throws -> LimitOutcome {
        let arguments = charges.flatMap { [String($0.policy.quota), String(Int($0.policy.windowMicroseconds))] }
        let answer = try await redis.run(Self.script, keys: charges.map(\.key), arguments: arguments).array ?? []
        let numbers = answer.dropFirst().compactMap { $0.text.flatMap(Double.init) }
        guard let allowed = answer.first?.integer, numbers.count == charges.count + 1 else { throw RedisFailure.unexpectedAnswer }
        let states = zip(charges, numbers.dropFirst()).map { charge, full in
            TokenBucket(fullAt: full).state(charge.policy, at: numbers[0])
        }
        return LimitOutcome(isAllowed: allowed == 1, states: states)
    }

    private func note(local isNowLocal: Bool) {
        let changed = isLocal.withLock { isLocal in
            defer { isLocal = isNowLocal }
            return isLocal != isNowLocal
        }
        guard changed else { return }
        if isNowLocal {
            logger.warning("limits are counted by this replica alone, because Redis is away")
        } else {
            logger.notice("limits are counted in Redis again")
        }
    }
}
