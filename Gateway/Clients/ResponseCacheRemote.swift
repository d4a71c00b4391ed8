import Contracts
import Logging
import NIOCore
import Redis
import Synchronization

/// What all replicas keep together, in Redis.
///
/// An answer counts only while the generation that it was kept under is the one of its organization and service. To purge is to give the
/// group a new generation: what was kept before is not read again, wherever it is, and expires. Generations are chance, so that
/// one that Redis has lost never comes back. What is slower than `patience` is not waited for.
final class ResponseCacheRemote: Sendable {
    /// What was true of a group and a path when Redis was asked. An answer is kept under this, however long it took to come.
    struct Token: Sendable, Equatable {
        /// Nil when there was none.
        let generation: [UInt8]?
        let mark: [UInt8]
    }

    enum Found: Sendable {
        case answer(StoredAnswer, CacheVariation)
        case missing(Token)
        case away
    }

    static let prefix = "trionex:cache:"
    static let patience: Duration = .milliseconds(20)
    /// Failures in a row after which Redis is left alone for a while.
    static let mostFailures = 3
    static let pause: UInt64 = Monotonic.second
    /// Answers on their way to Redis at a time; further ones stay with this replica.
    static let mostStores = 32
    /// The longest that an answer stays, and for how much longer its generation must.
    static let longest = 86_400
    static let generationSeconds = 8 * 86_400
    /// Purges that Redis has not heard of; beyond, all of them are one.
    static let mostPending = 10_000

    private struct Pending {
        /// Everything is to go.
        var isWhole = false
        var groups: Set<CacheGroup> = []
        var marks: Set<Mark> = []
    }

    private struct Mark: Hashable {
        let group: CacheGroup
        let path: CachePath
    }

    private let redis: Redis
    private let logger: Logger
    private let failures = Atomic(0)
    private let pausedUntil = Atomic<UInt64>(0)
    private let stores = Atomic(0)
    private let pending = Mutex(Pending())
    private let isBehind = Atomic(false)

    init(redis: Redis, logger: Logger) {
        self.redis = redis
        self.logger = logger
    }

    /// Not while Redis is away or slow, nor while it lacks a purge of this replica: it would give out what was purged.
    var isUsable: Bool { !isBehind.load(ordering: .acquiring) && pausedUntil.load(ordering: .relaxed) < Monotonic.now() && !redis.isAway }

    // MARK: Keys

    /// All keys of an organization lie in one slot of a cluster, so that one command may name several.
    private static func base(_ group: CacheGroup) -> String { "\(prefix){\(group.tenant)}:\(group.service.rawValue):" }
    static func generationKey(_ group: CacheGroup) -> String { base(group) + "generation" }
    static func markKey(_ group: CacheGroup, _ path: CachePath) -> String { base(group) + "path:" + String(path.hash, radix: 16) }
    static func answerKey(_ group: CacheGroup, _ key: CacheKey) -> String { base(group) + key.text }

    // MARK: Finding

    func find(_ asking: ResponseCache.Shard.Asking, _ leading: ResponseCache.Shard.Leading, now: UInt64, wall: Int) async -> Found {
        guard let first = await read(asking, leading.key) else { return .away }
        switch CacheRecord(first.bytes, under: first.token) {
        case .answer(let record): return found(record, leading.variation, now, wall, first.token)
        case .variation(let variation) where leading.variation.isPlain:
            let varied = CacheKey(asking.resource, variation, of: asking.question, scope: asking.scope)
            guard let second = await read(asking, varied) else { return .away }
            guard case .answer(let record) = CacheRecord(second.bytes, under: second.token) else { return .missing(second.token) }
            return found(record, variation, now, wall, second.token)
        case .variation, nil: return .missing(first.token)
        }
    }

    private func found(_ record: CacheRecord.Answer, _ variation: CacheVariation, _ now: UInt64, _ wall: Int, _ token: Token) -> Found {
        let answer = record.stored(now: now, wall: wall)
        return answer.isFresh(now) ? .answer(answer, variation) : .missing(token)
    }

    private func read(_ asking: ResponseCache.Shard.Asking, _ key: CacheKey) async -> (token: Token, bytes: [UInt8]?)? {
        let keys = [
            Self.generationKey(asking.group), Self.markKey(asking.group, asking.path), Self.answerKey(asking.group, key),
        ]
        guard let values = await patiently({ try await self.redis.command(["MGET"] + keys).array }), values.count == 3 else { return nil }
        return (Token(generation: values[0].bytes, mark: values[1].bytes ?? []), values[2].bytes)
    }

    /// Nil when it took too long or failed.
    private func patiently<T: Sendable>(_ body: @escaping @Sendable () async throws -> T?) async -> T? {
        let value = await withTaskGroup(of: T?.self) { group in
            group.addTask { try? await body() }
            group.addTask {
                try? await Task.sleep(for: Self.patience)
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        if value == nil {
            if failures.add(1, ordering: .relaxed).newValue >= Self.mostFailures {
                pausedUntil.store(Monotonic.now() + Self.pause, ordering: .relaxed)
            }
        } else {
            failures.store(0, ordering: .relaxed)
        }
        return value
    }

    // MARK: Keeping

    /// In the background; nobody waits for it.
    func store(
        _ answer: StoredAnswer, _ variation: CacheVariation, for asking: ResponseCache.Shard.Asking, _ token: Token, now: UInt64, wall: Int
    ) {
        let stale = max(answer.freshness.staleWhileRevalidate, answer.freshness.staleIfError)
        let seconds = min(answer.freshness.lifetime + stale - answer.age(now), Self.longest)
        guard seconds > 0, isUsable else { return }
        guard stores.add(1, ordering: .relaxed).newValue <= Self.mostStores else {
            stores.subtract(1, ordering: .relaxed)
            return
        }
        Task {
            defer { stores.subtract(1, ordering: .relaxed) }
            do {
                guard let generation = try await generation(of: asking.group, token) else { return }
                let token = Token(generation: generation, mark: token.mark)
                var key = asking.resource
                if !variation.isPlain {
                    try await redis.set(
                        Self.answerKey(asking.group, key), CacheRecord.bytes(of: variation, under: token), expiresIn: .seconds(seconds))
                    key = CacheKey(key, variation, of: asking.question, scope: asking.scope)
                }
                let bytes = CacheRecord.bytes(of: answer, under: token, now: now, wall: wall)
                try await redis.set(Self.answerKey(asking.group, key), bytes, expiresIn: .seconds(seconds))
            } catch {
                logger.debug("an answer is not kept in Redis", metadata: ["error": "\(error)"])
            }
        }
    }

    /// That of the token, or the first one of the group. Nil when somebody else gave it one meanwhile: perhaps to purge it.
    private func generation(of group: CacheGroup, _ token: Token) async throws -> [UInt8]? {
        if let known = token.generation { return known }
        let chosen = Self.chance()
        let key = Self.generationKey(group)
        return try await redis.set(key, chosen, expiresIn: .seconds(Self.generationSeconds), onlyIfAbsent: true) ? chosen : nil
    }

    private static func chance() -> [UInt8] { withUnsafeBytes(of: UInt64.random(in: 1 ... .max)) { Array($0) } }

    // MARK: Purging

    func purge(_ groups: [CacheGroup]) async {
        for group in groups {
            do {
                try await redis.set(Self.generationKey(group), Self.chance(), expiresIn: .seconds(Self.generationSeconds))
            } catch {
                fallBehind { $0.groups.insert(group) }
            }
        }
    }

    /// Of everybody and all services: what is kept belongs to a generation, and without its key none is known any more.
    func purgeAll() async {
        var cursor = "0"
        do {
            repeat {
                let found = try await redis.command(["SCAN", cursor, "MATCH", Self.prefix + "*:generation", "COUNT", "1000"])
                guard let parts = found.array, parts.count == 2, let next = parts[0].text else { throw RedisFailure.unexpectedAnswer }
                let keys = parts[1].array?.compactMap(\.text) ?? []
                for key in keys { _ = try await redis.delete(key) }
                cursor = next
            } while cursor != "0"
        } catch {
            fallBehind { $0.isWhole = true }
        }
    }

    func invalidate(_ group: CacheGroup, _ path: CachePath) async {
        do {
            try await redis.set(Self.markKey(group, path), Self.chance(), expiresIn: .seconds(2 * Self.longest))
        } catch {
            fallBehind { $0.marks.insert(Mark(group: group, path: path)) }
        }
    }

    private func fallBehind(_ note: (inout Pending) -> Void) {
        pending.withLock { pending in
            note(&pending)
            // A group's purge stands for those of all its paths.
            if pending.marks.count > Self.mostPending {
                pending.groups.formUnion(pending.marks.map(\.group))
                pending.marks = []
            }
            isBehind.store(true, ordering: .releasing)
        }
    }

    /// Tells Redis of the purges that it has missed. Until it knows them all, nothing is read from it.
    func mend() async {
        guard isBehind.load(ordering: .acquiring), !redis.isAway else { return }
        let missed = pending.withLock { pending in
            defer { pending = Pending() }
            return pending
        }
        if missed.isWhole { await purgeAll() }
        await purge(Array(missed.groups))
        for mark in missed.marks { await invalidate(mark.group, mark.path) }
        pending.withLock { pending in
            if !pending.isWhole, pending.groups.isEmpty, pending.marks.isEmpty { isBehind.store(false, ordering: .releasing) }
        }
    }
}
