package import Contracts
package import Foundation
package import Logging
package import Redis
import ServiceLifecycle
import Synchronization

/// What ended before its tokens expired.
package enum Revoked: Sendable, Hashable {
    case session(SessionID)
    case apiKey(APIKeyID)
    case client(ClientID)
    /// Every token of the person in one organization that was signed until then.
    case member(UserID, TenantID)
    /// Every token of the person, wherever, that was signed until then.
    case account(UserID)
    /// Every token of everybody in the organization that was signed until then.
    case organization(TenantID)

    /// One word for Redis and the wire, such as `m:<person>:<organization>`.
    package var text: String {
        switch self {
        case .session(let id): "s:\(id)"
        case .apiKey(let id): "k:\(id)"
        case .client(let id): "c:\(id)"
        case .member(let user, let tenant): "m:\(user):\(tenant)"
        case .account(let id): "a:\(id)"
        case .organization(let id): "o:\(id)"
        }
    }

    package init?(_ text: some StringProtocol) {
        let parts = String(text).split(separator: ":").map { String($0) }
        guard parts.count >= 2 else { return nil }
        switch (parts[0], parts.count) {
        case ("s", 2): if let id = SessionID(parts[1]) { self = .session(id) } else { return nil }
        case ("k", 2): if let id = APIKeyID(parts[1]) { self = .apiKey(id) } else { return nil }
        case ("c", 2): if let id = ClientID(parts[1]) { self = .client(id) } else { return nil }
        case ("m", 3): if let user = UserID(parts[1]), let tenant = TenantID(parts[2]) { self = .member(user, tenant) } else { return nil }
        case ("a", 2): if let id = UserID(parts[1]) { self = .account(id) } else { return nil }
        case ("o", 2): if let id = TenantID(parts[1]) { self = .organization(id) } else { return nil }
        default: return nil
        }
    }
}

/// Endings as auth's database has them: `GET /internal/v1/revocations?since=`.
package struct RevocationList: View {
    package struct Ending: Codable, Sendable {
        /// `Revoked.text`.
        package let subject: String
        package let revokedAt: Date
        package let tokensExpireAt: Date

        package init(_ revoked: Revoked, at time: Date, tokensExpire: Date) {
            subject = revoked.text
            revokedAt = time
            tokensExpireAt = tokensExpire
        }
    }

    package let endings: [Ending]

    package init(endings: [Ending]) { self.endings = endings }
}

/// Revoke once, dead everywhere: what ended before its tokens expired, known to every program within about a second.
///
/// Auth adds to a sorted set in Redis, whose score is the millisecond of the ending and whose members carry the second until
/// which any token of it may live. Every program reads what is new each second, and everything when it starts or Redis was
/// away, so whoever was away catches up by itself. While Redis is away, and once after it was, or after the start, since it may
/// have forgotten some, auth's own database is asked. With both away the known ones stay refused.
package final class Revocations: Service {
    package static let key = "trionex:revoked"
    static let pause = Duration.seconds(1)
    /// Seconds read again each time, for those written by a clock that is behind.
    static let overlap: TimeInterval = 10
    /// Seconds by which the clocks of two programs may differ.
    static let clockLeeway = 5
    /// Readings between two questions to auth while Redis answers and auth does not.
    static let readingsPerQuestion = 5
    /// Readings after which the whole set is read, and what is over forgotten.
    static let readingsPerSweep = 60

    private struct Ending {
        /// Tokens signed in this second, or before, are dead.
        var second: Int
        /// When the last of them has expired.
        var expires: Int
    }

    private struct State {
        var ended: [Revoked: Ending] = [:]
        /// Nil: everything is to be read.
        var readUntil: Date?
        var readings = 0
        /// Nil: auth is to be asked for everything.
        var askedUntil: Date?
        var source: Source?
        var isAsking = false
    }

    /// Asks auth for what was written since then; for nil, all that still matters.
    package typealias Source = @Sendable (Date?) async throws -> RevocationList

    private let redis: Redis
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state = Mutex(State())
    private let additions = Atomic(0)

    /// Moves whenever a new ending has become known. Whoever was not among them while it stood where it stands is not among them now.
    package var generation: Int { additions.load(ordering: .acquiring) }

    package init(redis: Redis, now: @escaping @Sendable () -> Date = { Date() }, logger: Logger) {
        self.redis = redis
        self.now = now
        self.logger = logger
    }

    /// Whether a token that speaks for this caller is dead.
    package func contains(_ caller: Caller) -> Bool {
        state.withLock { state in
            guard !state.ended.isEmpty else { return false }
            if let session = caller.session, state.ended[.session(session)] != nil { return true }
            switch caller.principal {
            case .apiKey(let key, _): if state.ended[.apiKey(key)] != nil { return true }
            case .client(let client): if state.ended[.client(client)] != nil { return true }
            case .person, .service, .anonymous: break
            }
            let issued = Int(caller.issuedAt?.timeIntervalSince1970 ?? 0)
            func isDead(_ subject: Revoked) -> Bool { state.ended[subject].map { issued <= $0.second } ?? false }
            if let client = caller.client, state.ended[.client(client)] != nil { return true }
            if let admin = caller.impersonator, isDead(.account(admin)) { return true }
            if let user = caller.user, isDead(.member(user, caller.tenant)) || isDead(.account(user)) { return true }
            return caller.tenant != .platform && isDead(.organization(caller.tenant))
        }
    }

    /// Before this no token of the person may be signed: one of the same second as an ending would be taken for an older one.
    package func earliestIssue(user: UserID?, tenant: TenantID) -> Date? {
        let subjects = (user.map { [.member($0, tenant), .account($0)] } ?? []) + [Revoked.organization(tenant)]
        let last = state.withLock { state in subjects.compactMap { state.ended[$0]?.second }.max() }
        return last.map { Date(timeIntervalSince1970: TimeInterval($0 + 1)) }
    }

    /// Ends them on all programs. Throws when Redis is away: then this program refuses them already, and the caller sees to it
    /// that the others are told later.
    package func revoke(_ ended: [Revoked], at time: Date, tokensExpire: Date) async throws {
        guard !ended.isEmpty else { return }
        let second = Int(time.timeIntervalSince1970)
        let expires = Int(tokensExpire.timeIntervalSince1970) + 60
        add(ended.map { ($0, Ending(second: second, expires: expires)) })
        let score = String(Int(now().timeIntervalSince1970 * 1_000))
        _ = try await redis.command(["ZADD", Self.key] + ended.flatMap { [score, "\(expires) \(second) \($0.text)"] })
    }

    /// Where endings are asked for that Redis cannot tell.
    package func use(_ source: @escaping Source) { state.withLock { $0.source = source } }

    package func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            // Auth is asked beside the readings: should it take its time, they go on.
            await withDiscardingTaskGroup { group in
                var isAway = false
                var rounds = 0
                while !Task.isCancelled {
                    // What Redis has had since it started is not all there was: auth says the rest, once.
                    let isIncomplete = state.withLock { $0.askedUntil == nil } && rounds % Self.readingsPerQuestion == 0
                    if isAway || isIncomplete { ask(in: &group) }
                    do {
                        try await read()
                        if isAway {
                            logger.notice("ended sessions are read from Redis again")
                            state.withLock { $0.askedUntil = nil }
                        }
                        isAway = false
                        rounds += 1
                    } catch {
                        if !isAway {
                            logger.warning("ended sessions cannot be read from Redis", metadata: ["reason": "\(error)"])
                            ask(in: &group)
                        }
                        state.withLock { $0.readUntil = nil }
                        isAway = true
                        rounds = 0
                    }
                    try? await Task.sleep(for: Self.pause)
                }
                group.cancelAll()
            }
        }
    }

    /// One question at a time.
    private func ask(in group: inout DiscardingTaskGroup) {
        let isFirst = state.withLock { state in
            defer { state.isAsking = true }
            return !state.isAsking
        }
        guard isFirst else { return }
        group.addTask { [self] in
            await ask()
            state.withLock { $0.isAsking = false }
        }
    }

    /// Takes over what auth's database has. With auth away too, what is known stays refused, and the next round asks again.
    package func ask() async {
        let (source, until) = state.withLock { ($0.source, $0.askedUntil) }
        guard let source else { return }
        let asked = now()
        do {
            let list = try await source(until?.addingTimeInterval(-Self.overlap))
            add(
                list.endings.compactMap { ending in
                    Revoked(ending.subject).map {
                        (
                            $0,
                            Ending(
                                second: Int(ending.revokedAt.timeIntervalSince1970),
                                expires: Int(ending.tokensExpireAt.timeIntervalSince1970) + 60)
                        )
                    }
                })
            state.withLock { $0.askedUntil = asked }
        } catch {
            logger.debug("ended sessions cannot be asked for", metadata: ["reason": "\(error)"])
        }
    }

    /// Takes over what is new since the last reading.
    package func read() async throws {
        let now = now()
        let from = state.withLock { state -> Date? in
            state.readings += 1
            return state.readings % Self.readingsPerSweep == 0 ? nil : state.readUntil
        }
        if from == nil { try await sweep(now) }
        let since = from.map { String(Int($0.addingTimeInterval(-Self.overlap).timeIntervalSince1970 * 1_000)) } ?? "-inf"
        let reply = try await redis.command(["ZRANGEBYSCORE", Self.key, since, "+inf"])
        add((reply.array ?? []).compactMap { $0.text.flatMap(Self.parse) })
        state.withLock { $0.readUntil = now }
    }

    /// Forgets what no living token can be of, here and in Redis. A day is longer than any token lives.
    private func sweep(_ now: Date) async throws {
        let seconds = Int(now.timeIntervalSince1970)
        state.withLock { state in state.ended = state.ended.filter { $0.value.expires > seconds } }
        _ = try await redis.command(["ZREMRANGEBYSCORE", Self.key, "-inf", String((seconds - 86_400) * 1_000)])
    }

    private func add(_ endings: [(Revoked, Ending)]) {
        let seconds = Int(now().timeIntervalSince1970)
        state.withLock { state in
            var isNew = false
            for (subject, ending) in endings where ending.expires > seconds {
                let known = state.ended[subject]
                // A clock that is far ahead must not end what has not been signed yet.
                let second = max(min(ending.second, seconds + Self.clockLeeway), known?.second ?? 0)
                state.ended[subject] = Ending(second: second, expires: max(ending.expires, known?.expires ?? 0))
                if second != known?.second { isNew = true }
            }
            // Within the lock: whoever reads the new number also finds what is new.
            if isNew { additions.add(1, ordering: .releasing) }
        }
    }

    private static func parse(_ text: String) -> (Revoked, Ending)? {
        let parts = text.split(separator: " ", maxSplits: 2)
        guard parts.count == 3, let expires = Int(parts[0]), let second = Int(parts[1]), let subject = Revoked(parts[2]) else { return nil }
        return (subject, Ending(second: second, expires: expires))
    }
}
