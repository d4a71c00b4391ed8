package import Contracts
package import Foundation
package import Logging
package import Redis
import ServiceLifecycle
import Synchronization

/// Sessions that ended before their tokens expired: revoke once, dead everywhere.
///
/// Auth adds to a sorted set in Redis (score: when the last token of the session expires). Every program reads it each second,
/// so a program that was away catches up by itself. With Redis away the known ones stay refused, and the next reading
/// brings the rest; no access token outlives its 15 minutes in any case.
package final class Revocations: Service {
    package static let key = "trionex:revoked-sessions"
    static let pause = Duration.seconds(1)

    private let redis: Redis
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let revoked = Mutex<Set<SessionID>>([])

    package init(redis: Redis, now: @escaping @Sendable () -> Date = { Date() }, logger: Logger) {
        self.redis = redis
        self.now = now
        self.logger = logger
    }

    package func contains(_ session: SessionID) -> Bool { revoked.withLock { $0.contains(session) } }

    /// Ends sessions on all programs. Throws when Redis is away; the caller says so or tries again.
    package func revoke(_ sessions: [SessionID], tokensExpire: Date) async throws {
        guard !sessions.isEmpty else { return }
        revoked.withLock { $0.formUnion(sessions) }
        let score = String(Int(tokensExpire.timeIntervalSince1970) + 60)
        _ = try await redis.command(["ZADD", Self.key] + sessions.flatMap { [score, $0.description] })
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            var away = false
            while !Task.isCancelled {
                do {
                    try await read()
                    away = false
                } catch {
                    if !away { logger.warning("ended sessions cannot be read", metadata: ["reason": "\(error)"]) }
                    away = true
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Takes over the whole set: it holds the last 15 minutes only.
    package func read() async throws {
        let seconds = Int(now().timeIntervalSince1970)
        _ = try await redis.command(["ZREMRANGEBYSCORE", Self.key, "-inf", "(\(seconds)"])
        let reply = try await redis.command(["ZRANGE", Self.key, "0", "-1"])
        let sessions = Set((reply.array ?? []).compactMap { $0.text.flatMap(SessionID.init) })
        // What was revoked here while Redis was away stays; the set in memory only shrinks when the token is long dead.
        revoked.withLock { $0.formUnion(sessions) }
        if revoked.withLock({ $0.count }) > 100_000 { revoked.withLock { $0 = sessions } }
    }
}
