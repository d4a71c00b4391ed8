import AsyncHTTPClient
package import Contracts
import Crypto
package import Foundation
package import JWTKit
package import Logging
import Metrics
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import Synchronization

/// Verifies access tokens (RS256) against the platform's public keys, and remembers what it has verified until it expires.
///
/// Keys come from a URL or a file. A token signed by a key not yet known makes it look again, at most once every few seconds,
/// so that rotation needs no restart and a flood of invented key ids no more than that.
package final class TokenVerifier: Sendable {
    package enum Source: Sendable {
        case url(String)
        case file(String)
        /// In-process: auth has its own keys, tests have theirs.
        case keys(@Sendable () -> JWKS)

        package init(setting: String) {
            self = setting.hasPrefix("http://") || setting.hasPrefix("https://") ? .url(setting) : .file(setting)
        }
    }

    /// Verified tokens remembered; beyond this the oldest half is forgotten.
    static let cacheLimit = 20_000
    static let maximumTokenBytes = 8_192
    /// Seconds between two looks for new keys.
    static let refreshPause = 3.0
    /// Seconds after which known keys are fetched anew.
    static let refreshInterval = 300.0
    /// Seconds by which clocks of two machines may differ.
    static let leeway = 5
    /// Seconds that the longest-lived of our tokens lives; one that says more is a forgery, whoever signed it.
    static let longestLife = 3_660
    /// Seconds for which a token is taken without another look at the key that signed it.
    static let trustSeconds = 300

    private struct Verified: Sendable {
        let caller: Caller
        let expires: Int
        let keyID: String
        /// When its signature is looked at again.
        let trustedUntil: Int
    }

    private struct State: Sendable {
        var cache: [SHA256.Digest: Verified] = [:]
        var keys = JWTKeyCollection()
        var knownKeys: Set<String> = []
        var fetchedAt: Date?
        var triedAt: Date?
    }

    private let source: Source
    private let revocations: Revocations?
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state = Mutex(State())
    private let fetching = AsyncMutex()

    package init(source: Source, revocations: Revocations?, now: @escaping @Sendable () -> Date = { Date() }, logger: Logger) {
        self.source = source
        self.revocations = revocations
        self.now = now
        self.logger = logger
    }

    /// The caller a token speaks for. Throws `AccessFailure`, or `DependencyFailure` while no key could be fetched yet.
    package func verify(_ token: String) async throws -> Caller {
        guard token.utf8.count <= Self.maximumTokenBytes else { throw AccessFailure.badToken }
        let digest = SHA256.hash(data: Data(token.utf8))
        let seconds = Int(now().timeIntervalSince1970)
        if let known = state.withLock({ $0.cache[digest] }) {
            guard known.expires > seconds else { throw AccessFailure.expiredToken }
            if known.trustedUntil > seconds { return try checkSession(known.caller) }
        }
        let keyID = try Self.keyID(of: token)
        let claims = try await claims(of: token, signedWith: keyID)
        guard claims.exp > seconds else { throw AccessFailure.expiredToken }
        guard claims.nbf <= seconds + Self.leeway, claims.iat <= seconds + Self.leeway, claims.exp - claims.iat <= Self.longestLife else {
            throw AccessFailure.badToken
        }
        let caller = try claims.caller()
        state.withLock { state in
            if state.cache.count >= Self.cacheLimit { Self.shrink(&state.cache, now: seconds) }
            state.cache[digest] = Verified(
                caller: caller, expires: claims.exp, keyID: keyID, trustedUntil: seconds + Self.trustSeconds)
        }
        return try checkSession(caller)
    }

    private func checkSession(_ caller: Caller) throws -> Caller {
        if let revocations, revocations.contains(caller) { throw AccessFailure.revokedSession }
        return caller
    }

    private static func shrink(_ cache: inout [SHA256.Digest: Verified], now: Int) {
        cache = cache.filter { $0.value.expires > now }
        guard cache.count > cacheLimit / 2 else { return }
        let kept = cache.sorted { $0.value.expires > $1.value.expires }.prefix(cacheLimit / 2)
        cache = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
    }

    private func claims(of token: String, signedWith kid: String) async throws -> AccessClaims {
        if needsKeys(for: kid) { try await fetchKeys(for: kid) }
        let keys = state.withLock { $0.knownKeys.contains(kid) ? $0.keys : nil }
        guard let keys else { throw AccessFailure.badToken }
        do {
            return try await keys.verify(token, as: AccessClaims.self)
        } catch {
            throw AccessFailure.badToken
        }
    }

    /// Only RS256 with a key id is looked at: `none`, HMAC and every other algorithm is refused before any key is touched.
    private static func keyID(of token: String) throws(AccessFailure) -> String {
        struct Header: Decodable {
            let alg: String
            let kid: String?
        }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let data = Base64URL.decode(String(parts[0])),
            let header = try? JSONDecoder().decode(Header.self, from: data), header.alg == "RS256", let kid = header.kid
        else { throw .badToken }
        return kid
    }

    private func needsKeys(for kid: String) -> Bool {
        let now = now()
        return state.withLock { state in
            if let fetchedAt = state.fetchedAt, now.timeIntervalSince(fetchedAt) > Self.refreshInterval,
                now.timeIntervalSince(state.triedAt ?? .distantPast) > Self.refreshPause
            {
                return true
            }
            guard !state.knownKeys.contains(kid) else { return false }
            return state.fetchedAt == nil || now.timeIntervalSince(state.triedAt ?? .distantPast) > Self.refreshPause
        }
    }

    private func fetchKeys(for kid: String) async throws {
        await fetching.lock()
        defer { fetching.unlock() }
        guard needsKeys(for: kid) else { return }
        state.withLock { $0.triedAt = now() }
        do {
            let set = try await load()
            // Only signing keys of the kind we use; a key of another kind in the set is none of ours.
            let usable = set.keys.filter { $0.keyType == .rsa && $0.keyIdentifier != nil }
            let keys = JWTKeyCollection()
            try await keys.add(jwks: JWKS(keys: usable))
            state.withLock { state in
                state.keys = keys
                let names = Set(usable.compactMap { $0.keyIdentifier?.string })
                // A key that is gone may have been taken away because somebody has a copy: what it signed is worth nothing any more.
                if !state.knownKeys.isSubset(of: names) { state.cache = state.cache.filter { names.contains($0.value.keyID) } }
                state.knownKeys = names
                state.fetchedAt = now()
            }
        } catch {
            // The pause counts from here: a load that took as long as the pause must not let everybody who waits try in turn.
            state.withLock { $0.triedAt = now() }
            logger.warning("public keys could not be read", metadata: ["reason": "\(error)"])
            // With keys in hand we go on with them; without any, nobody can be told apart from an impostor.
            if state.withLock({ $0.fetchedAt == nil }) { throw DependencyFailure("keys", reason: "no public keys yet") }
        }
    }

    private func load() async throws -> JWKS {
        switch source {
        case .keys(let keys): return keys()
        case .file(let path): return try JSONDecoder().decode(JWKS.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        case .url(let url):
            let response = try await InternalHTTP.client.execute(HTTPClientRequest(url: url), timeout: .seconds(3))
            guard response.status == .ok else { throw DependencyFailure("keys", reason: "status \(response.status.code)") }
            var body = try await response.body.collect(upTo: 262_144)
            let data = body.readData(length: body.readableBytes) ?? Data()
            return try JSONDecoder().decode(JWKS.self, from: data)
        }
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
