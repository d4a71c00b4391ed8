package import Contracts
import Crypto
import CryptoExtras
package import Foundation
package import Logging
import Synchronization

/// What tells tokens apart: the SHA-256 of one. A cache keyed by it holds no token.
package struct TokenDigest: Hashable, Sendable {
    private let words: (UInt64, UInt64, UInt64, UInt64)

    package init(of token: UnsafeRawBufferPointer) {
        var hasher = SHA256()
        hasher.update(bufferPointer: token)
        words = hasher.finalize().withUnsafeBytes { $0.loadUnaligned(as: (UInt64, UInt64, UInt64, UInt64).self) }
    }

    package static func == (left: TokenDigest, right: TokenDigest) -> Bool { left.words == right.words }
    /// Any part of a digest is as good as all of it.
    package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

/// A token whose signature and claims were good, and what it says.
///
/// Whoever keeps one asks `TokenVerifier.check` before each use: it may have expired or ended since, or its key may be gone.
package final class VerifiedToken: Sendable {
    package let caller: Caller
    /// In seconds since 1970.
    package let expires: Int
    package let digest: TokenDigest
    let key: VerifierKey
    /// `Revocations.generation` when the caller was last looked for among them.
    let checked: Atomic<Int>

    init(caller: Caller, expires: Int, digest: TokenDigest, key: VerifierKey, checked: Int) {
        self.caller = caller
        self.expires = expires
        self.digest = digest
        self.key = key
        self.checked = Atomic(checked)
    }
}

/// What a token is worth.
package enum TokenVerdict: Sendable {
    case caller(VerifiedToken)
    case refused(AccessFailure)
    /// The keys must be fetched first: ask `verified`, which does.
    case needsKeys
}

/// Verifies access tokens (RS256) against the platform's public keys, and remembers what it has verified until it expires.
///
/// Keys come from a URL or a file. A token signed by a key not yet known makes it look again, at most once every few seconds,
/// so that rotation needs no restart and a flood of invented key ids no more than that. A file is read again when it has changed.
package final class TokenVerifier: Sendable {
    /// Verified tokens remembered; beyond this the oldest half is forgotten.
    static let cacheLimit = 20_000
    static let maximumTokenBytes = 8_192
    /// Seconds between two looks for new keys.
    static let refreshPause = 3
    /// Between two tries to get keys while there are none at all.
    static let emptyPause = Duration.milliseconds(250)
    /// Seconds after which known keys are fetched anew, and no token is taken without.
    static let refreshInterval = 300
    /// Seconds after which they are fetched beside the requests, so that none waits for it.
    static let refreshAhead = 240
    /// Seconds by which clocks of two machines may differ.
    static let leeway = 5
    /// Seconds that the longest-lived of our tokens lives; one that says more is a forgery, whoever signed it.
    static let longestLife = 3_660
    /// Headers that are known to name a key; tokens of one key share theirs.
    static let headerLimit = 16

    private struct State: Sendable {
        var cache = TokenCache(limit: TokenVerifier.cacheLimit)
        var keys: [VerifierKey] = []
        var headers: [(text: [UInt8], key: VerifierKey)] = []
        var fetchedAt: Int?
        var triedAt: Int?
        /// How often keys were asked for, and what their file was like the last time.
        var tries = 0
        var stamp: FileStamp?
        /// When the last try ended, by a clock that nobody sets.
        var lastTry: ContinuousClock.Instant?
    }

    private let source: Source
    private let revocations: Revocations?
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state = Mutex(State())
    private let fetching = AsyncMutex()
    /// The second at which somebody is to look whether the keys are still the right ones.
    private let nextLook = Atomic(0)
    /// Whether somebody has looked and found that they are not.
    private let areDue = Atomic(false)

    package init(source: Source, revocations: Revocations?, now: @escaping @Sendable () -> Date = { Date() }, logger: Logger) {
        self.source = source
        self.revocations = revocations
        self.now = now
        self.logger = logger
    }

    // MARK: - Verifying

    /// The caller a token speaks for. Throws `AccessFailure`, or `DependencyFailure` while no key could be fetched yet.
    package func verify(_ token: String) async throws -> Caller { try await verified(token).caller }

    /// As `verify`, with what a cache needs besides.
    package func verified(_ token: String) async throws -> VerifiedToken {
        let tries = state.withLock { $0.tries }
        // Whoever was told on an event loop that keys are due comes here; one who does, fetches them.
        if !areDue.exchange(false, ordering: .relaxed), let verified = try result(verdict(token, mayAsk: true)) { return verified }
        await fetchKeys(after: tries)
        if let verified = try result(verdict(token, mayAsk: false)) { return verified }
        // Without any key, nobody can be told apart from an impostor.
        throw DependencyFailure("keys", reason: "no public keys yet")
    }

    private func verdict(_ token: String, mayAsk: Bool) -> TokenVerdict {
        var token = token
        let seconds = Int(now().timeIntervalSince1970)
        return token.withUTF8 { verdict(UnsafeRawBufferPointer($0), nil, at: seconds, mayAsk: mayAsk) }
    }

    private func result(_ verdict: TokenVerdict) throws(AccessFailure) -> VerifiedToken? {
        switch verdict {
        case .caller(let verified): return verified
        case .refused(let failure): throw failure
        case .needsKeys: return nil
        }
    }

    /// Without waiting for anything, for event loops: known, or verified on the spot. `seconds` is the time since 1970; the digest
    /// saves making it again.
    package func verifyNow(_ token: UnsafeRawBufferPointer, digest: TokenDigest? = nil, at seconds: Int) -> TokenVerdict {
        verdict(token, digest, at: seconds, mayAsk: true)
    }

    /// Whether a token that was verified earlier is still good. It costs a few comparisons; only when an ending has become known since,
    /// or keys are due, more.
    package func check(_ known: VerifiedToken, at seconds: Int) -> TokenVerdict { check(known, at: seconds, mayAsk: true) }

    private func check(_ known: VerifiedToken, at seconds: Int, mayAsk: Bool) -> TokenVerdict {
        guard known.expires > seconds else { return .refused(.expiredToken) }
        if isLookDue(at: seconds), look(at: seconds), mayAsk { return .needsKeys }
        guard !known.key.isRetired.load(ordering: .relaxed) else { return .refused(.badToken) }
        return checkSession(known)
    }

    private func checkSession(_ known: VerifiedToken) -> TokenVerdict {
        guard let revocations else { return .caller(known) }
        let generation = revocations.generation
        if known.checked.load(ordering: .relaxed) != generation {
            if revocations.contains(known.caller) { return .refused(.revokedSession) }
            known.checked.store(generation, ordering: .relaxed)
        }
        return .caller(known)
    }

    private func verdict(_ token: UnsafeRawBufferPointer, _ digest: TokenDigest?, at seconds: Int, mayAsk: Bool) -> TokenVerdict {
        guard token.count <= Self.maximumTokenBytes else { return .refused(.badToken) }
        let digest = digest ?? TokenDigest(of: token)
        if let known = state.withLock({ $0.cache.find(digest) }), !known.key.isRetired.load(ordering: .relaxed) {
            let verdict = check(known, at: seconds, mayAsk: mayAsk)
            // A key that was taken away just now may be back by the time of the next question.
            if case .refused(.badToken) = verdict {} else { return verdict }
        }
        guard let reader = TokenReader(token) else { return .refused(.badToken) }
        if isLookDue(at: seconds), look(at: seconds), mayAsk { return .needsKeys }
        switch key(for: reader, at: seconds) {
        case .found(let key, let isRemembered):
            let verdict = verify(reader, with: key, digest, at: seconds)
            if case .caller = verdict, !isRemembered { remember(reader.header, key) }
            return verdict
        case .unknown(let mayBeNew, let isEmpty):
            return isEmpty || (mayBeNew && mayAsk) ? .needsKeys : .refused(.badToken)
        case .bad: return .refused(.badToken)
        }
    }

    private func verify(_ token: TokenReader, with key: VerifierKey, _ digest: TokenDigest, at seconds: Int) -> TokenVerdict {
        var hasher = SHA256()
        hasher.update(bufferPointer: token.signed)
        let signed = hasher.finalize()
        let isSigned = TokenReader.decoding(token.signature) { signature in
            key.key.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: signature), for: signed, padding: .insecurePKCS1v1_5)
        }
        guard isSigned == true, let claims = token.claims else { return .refused(.badToken) }
        guard claims.expires > seconds else { return .refused(.expiredToken) }
        guard claims.notBefore <= seconds + Self.leeway, claims.issued <= seconds + Self.leeway,
            claims.expires - claims.issued <= Self.longestLife, let caller = claims.caller
        else { return .refused(.badToken) }
        let generation = revocations?.generation ?? 0
        let isOver = revocations?.contains(caller) ?? false
        let verified = VerifiedToken(
            caller: caller, expires: claims.expires, digest: digest, key: key, checked: isOver ? generation - 1 : generation)
        // What is let go is freed outside the lock.
        let letGo = state.withLock { $0.cache.insert(verified) }
        return withExtendedLifetime(letGo) { isOver ? .refused(.revokedSession) : .caller(verified) }
    }

    // MARK: - Keys

    private enum KeyAnswer {
        case found(VerifierKey, isRemembered: Bool)
        case unknown(mayBeNew: Bool, isEmpty: Bool)
        case bad
    }

    private func key(for token: TokenReader, at seconds: Int) -> KeyAnswer {
        let remembered = state.withLock { state in state.headers.first { token.hasHeader($0.text) }?.key }
        if let remembered { return .found(remembered, isRemembered: true) }
        guard let id = token.keyID else { return .bad }
        return state.withLock { state in
            if let key = state.keys.first(where: { $0.id == id }) { return .found(key, isRemembered: false) }
            return .unknown(mayBeNew: Self.isPauseOver(state.triedAt, at: seconds), isEmpty: state.fetchedAt == nil)
        }
    }

    /// Only headers of tokens that were good: nobody else can fill the list.
    private func remember(_ header: UnsafeRawBufferPointer, _ key: VerifierKey) {
        state.withLock { state in
            guard state.keys.contains(where: { $0 === key }) else { return }
            if state.headers.count >= Self.headerLimit { state.headers.removeFirst() }
            state.headers.append((Array(header), key))
        }
    }

    /// A clock that was set back must not make the pause longer.
    private static func isPauseOver(_ triedAt: Int?, at seconds: Int) -> Bool {
        guard let triedAt else { return true }
        return seconds - triedAt > refreshPause || triedAt - seconds > leeway
    }

    /// Also when the clock was set back by so much that the time can never have been meant.
    private func isLookDue(at seconds: Int) -> Bool {
        !(1...Self.refreshInterval).contains(nextLook.load(ordering: .relaxed) - seconds)
    }

    /// Whether the keys must be fetched before anybody is let in by them. At most once a second somebody looks.
    private func look(at seconds: Int) -> Bool {
        nextLook.store(seconds + 1, ordering: .relaxed)
        let stamp = source.stamp
        let (isDue, isSoon) = state.withLock { state -> (Bool, Bool) in
            guard let fetchedAt = state.fetchedAt else { return (true, false) }
            if let stamp, stamp != state.stamp { return (true, false) }
            guard Self.isPauseOver(state.triedAt, at: seconds) else { return (false, false) }
            let age = seconds - fetchedAt
            if age > Self.refreshInterval || age < -Self.leeway { return (true, false) }
            guard age > Self.refreshAhead else { return (false, false) }
            state.triedAt = seconds
            return (false, true)
        }
        if isDue { areDue.store(true, ordering: .relaxed) }
        if isSoon {
            let tries = state.withLock { $0.tries }
            Task { await fetchKeys(after: tries) }
        }
        return isDue
    }

    /// One load serves all who wait: whoever comes when there has been a try since `tries` takes what it brought.
    private func fetchKeys(after tries: Int) async {
        await fetching.lock()
        defer { fetching.unlock() }
        let stamp = source.stamp
        let seconds = Int(now().timeIntervalSince1970)
        let isWanted = state.withLock { state in
            // Without keys each request asks, and each that comes soon after the last try is told at once that there are none.
            if state.fetchedAt == nil, let last = state.lastTry, last.duration(to: .now) < Self.emptyPause { return false }
            guard state.tries == tries else { return false }
            areDue.store(false, ordering: .relaxed)
            state.tries += 1
            state.triedAt = seconds
            state.stamp = stamp
            return true
        }
        guard isWanted else { return }
        do {
            let set = try await source.load()
            take(set)
        } catch {
            // With keys in hand we go on with them.
            logger.warning("public keys could not be read", metadata: ["reason": "\(error)"])
        }
        // The pause counts from here: a load that took as long as the pause must not let everybody who waits try in turn.
        let ended = Int(now().timeIntervalSince1970)
        state.withLock { state in
            state.triedAt = ended
            state.lastTry = .now
        }
    }

    private func take(_ set: PublicKeySet) {
        let seconds = Int(now().timeIntervalSince1970)
        state.withLock { state in
            let known = state.keys
            state.keys = set.keys.map { key in known.first { $0.isSame(as: key) } ?? key }
            // A key that is gone may have been taken away because somebody has a copy: what it signed is worth nothing any more.
            for key in known where !state.keys.contains(where: { $0 === key }) { key.isRetired.store(true, ordering: .relaxed) }
            state.headers.removeAll { $0.key.isRetired.load(ordering: .relaxed) }
            state.fetchedAt = seconds
        }
        switch source {
        case .file: nextLook.store(seconds + 1, ordering: .relaxed)
        case .url, .keys: nextLook.store(seconds + Self.refreshAhead, ordering: .relaxed)
        }
    }

    /// For tests of its bounds.
    var remembered: Int { state.withLock { $0.cache.count } }
}

/// Verified tokens, in two halves: when the younger is full the older is forgotten as a whole, so that no request pays for sorting out.
struct TokenCache: Sendable {
    private var young: [TokenDigest: VerifiedToken] = [:]
    private var old: [TokenDigest: VerifiedToken] = [:]
    private let half: Int

    init(limit: Int) { half = limit / 2 }

    var count: Int { young.count + old.count }

    /// What is asked for stays longest.
    mutating func find(_ digest: TokenDigest) -> VerifiedToken? {
        if let token = young[digest] { return token }
        guard let token = old[digest] else { return nil }
        if young.count < half {
            old[digest] = nil
            young[digest] = token
        }
        return token
    }

    /// Returns what is forgotten for it.
    mutating func insert(_ token: VerifiedToken) -> [TokenDigest: VerifiedToken] {
        var letGo: [TokenDigest: VerifiedToken] = [:]
        old[token.digest] = nil
        if young.count >= half {
            letGo = old
            old = young
            young = [:]
        }
        young[token.digest] = token
        return letGo
    }
}

/// Lets one task at a time through; the others wait in order.
final class AsyncMutex: Sendable {
    private struct State {
        var isLocked = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Mutex(State())

    func lock() async {
        await withCheckedContinuation { continuation in
            let free = state.withLock { state in
                if state.isLocked {
                    state.waiting.append(continuation)
                    return false
                }
                state.isLocked = true
                return true
            }
            if free { continuation.resume() }
        }
    }

    func unlock() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.isLocked = false
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
