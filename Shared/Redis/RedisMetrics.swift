import Metrics
import Synchronization

/// `trionex_redis_command_duration_seconds{command}`, `trionex_redis_errors_total{kind}`, `trionex_redis_up`,
/// `trionex_redis_messages_dropped_total`.
final class RedisMetrics: Sendable {
    /// What the `command` label may be, so that its values stay few; anything else is `other`.
    private static let commands = [
        "get", "set", "del", "mget", "incr", "incrby", "expire", "pexpire", "pttl", "eval", "evalsha", "script", "publish", "ping",
        "hget", "hset", "hgetall", "sadd", "srem", "smembers", "zadd", "zrem", "zrangebyscore", "zcard", "xadd",
    ]
    private static let errors = ["away", "timed-out", "busy", "server", "unexpected-answer", "cancelled"]

    private let durations: [String: Timer]
    private let otherDuration: Timer
    private let failures: [String: Counter]
    private let up = Gauge(label: "trionex_redis_up")
    private let droppedMessages = Counter(label: "trionex_redis_messages_dropped_total")

    init() {
        func timer(_ command: String) -> Timer {
            Timer(label: "trionex_redis_command_duration_seconds", dimensions: [("command", command)])
        }
        durations = Dictionary(uniqueKeysWithValues: Self.commands.map { ($0, timer($0)) })
        otherDuration = timer("other")
        failures = Dictionary(
            uniqueKeysWithValues: Self.errors.map { ($0, Counter(label: "trionex_redis_errors_total", dimensions: [("kind", $0)])) })
        up.record(0)
    }

    func took(_ duration: Duration, command: String) {
        let timer = durations[command.lowercased()] ?? otherDuration
        let (seconds, attoseconds) = duration.components
        timer.recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    func failed(_ error: any Error) {
        let kind =
            switch error as? RedisFailure {
            case .away: "away"
            case .timedOut: "timed-out"
            case .busy: "busy"
            case .server: "server"
            case .unexpectedAnswer: "unexpected-answer"
            case nil: "cancelled"
            }
        failures[kind]?.increment()
    }

    func isUp(_ isUp: Bool) { up.record(isUp ? 1 : 0) }

    func droppedMessage() { droppedMessages.increment() }
}
