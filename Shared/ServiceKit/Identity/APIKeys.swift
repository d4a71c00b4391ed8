package import Contracts
import Crypto
package import Foundation
import HTTPTypes
import Synchronization

/// Exchanges API keys for short-lived access tokens at auth, so that a key can be used wherever a token is, and no program
/// but auth ever looks at one. Answers are kept under the key's digest: a good one while its token lives, a bad one a few seconds.
package final class APIKeys: Sendable {
    /// What every API key begins with.
    package static let prefix = "trx_"
    /// A longer text is no key.
    static let maximumBytes = 512
    /// Answers kept; beyond this the oldest are forgotten.
    static let cacheLimit = 20_000
    /// Seconds for which a key is known to be bad.
    static let refusalSeconds: TimeInterval = 5
    /// Seconds before its end at which a token is no longer handed out.
    static let renewBefore: TimeInterval = 5

    /// Exchanges a key; throws `AccessFailure.badAPIKey` for one that is worth nothing.
    package typealias Source = @Sendable (String) async throws -> ServiceToken

    private enum Answer: Sendable {
        case good(ServiceToken)
        case bad(until: Date)
    }

    private struct State {
        var source: Source
        var answers: [SHA256.Digest: Answer] = [:]
        var running: [SHA256.Digest: Task<ServiceToken, any Error>] = [:]
    }

    private let state: Mutex<State>
    private let now: @Sendable () -> Date

    package init(now: @escaping @Sendable () -> Date = { Date() }, source: @escaping Source) {
        self.now = now
        state = Mutex(State(source: source))
    }

    /// Asks auth over `/internal/v1`.
    package convenience init(neighbours: Neighbours, now: @escaping @Sendable () -> Date = { Date() }) {
        self.init(now: now) { key in
            do {
                return try await neighbours.call(
                    .post, .auth, "/internal/v1/api-keys/exchange", body: APIKeyExchangeRequest(key: key), as: ServiceToken.self)
            } catch let refusal as RemoteFailure where refusal.status == 401 || refusal.status == 403 {
                throw AccessFailure.badAPIKey
            }
        }
    }

    /// Auth itself looks into its own tables.
    package func use(_ source: @escaping Source) { state.withLock { $0.source = source } }

    /// Whether the text has the form of a key; sessions' refresh tokens, which begin alike, are none.
    package static func isKey(_ text: some StringProtocol) -> Bool {
        text.hasPrefix(prefix) && !text.hasPrefix("trx_rt_") && !text.hasPrefix("trx_inv_") && text.utf8.count <= maximumBytes
    }

    /// The token of a key that was exchanged a short while ago; nil for one that auth must be asked about. Throws
    /// `AccessFailure.badAPIKey` for one that was refused a short while ago.
    package func known(_ key: String) throws -> String? {
        guard Self.isKey(key) else { throw AccessFailure.badAPIKey }
        return try known(Self.digest(key), at: now())
    }

    /// Who calls with a key, and the access token that says so. A token that has ended, since its owner has other rights by now, is
    /// exchanged anew, once; then a key that was revoked is a bad one.
    package func exchange(_ key: String, with verifier: TokenVerifier) async throws -> (caller: Caller, token: String) {
        let first = try await token(for: key)
        do {
            return (try await verifier.verify(first), first)
        } catch let failure as AccessFailure where failure == .revokedSession || failure == .expiredToken {
            forget(key, first)
        }
        let second = try await token(for: key)
        do {
            return (try await verifier.verify(second), second)
        } catch AccessFailure.revokedSession {
            throw AccessFailure.badAPIKey
        }
    }

    /// The access token that the key is good for. Throws `AccessFailure.badAPIKey`, or `DependencyFailure` while auth is away.
    package func token(for key: String) async throws -> String {
        if let known = try known(key) { return known }
        let digest = Self.digest(key), now = now()
        // Many calls with one key ask auth once.
        let task = state.withLock { state in
            if let running = state.running[digest] { return running }
            let started = Task { [source = state.source] in try await source(key) }
            state.running[digest] = started
            return started
        }
        do {
            let token = try await task.value
            keep(.good(token), for: digest)
            return token.token
        } catch let refusal as AccessFailure {
            keep(.bad(until: now.addingTimeInterval(Self.refusalSeconds)), for: digest)
            throw refusal
        } catch {
            state.withLock { $0.running[digest] = nil }
            throw error
        }
    }

    private static func digest(_ key: String) -> SHA256.Digest { SHA256.hash(data: Data(key.utf8)) }

    private func known(_ digest: SHA256.Digest, at now: Date) throws -> String? {
        switch state.withLock({ $0.answers[digest] }) {
        case .good(let token) where token.expiresAt.timeIntervalSince(now) > Self.renewBefore: return token.token
        case .bad(let until) where until > now: throw AccessFailure.badAPIKey
        default: return nil
        }
    }

    /// Unless another has been put in its place meanwhile.
    private func forget(_ key: String, _ token: String) {
        let digest = Self.digest(key)
        state.withLock { state in
            if case .good(let held) = state.answers[digest], held.token == token { state.answers[digest] = nil }
        }
    }

    private func keep(_ answer: Answer, for digest: SHA256.Digest) {
        let now = now()
        state.withLock { state in
            state.running[digest] = nil
            if state.answers.count >= Self.cacheLimit {
                // Bad ones first: a flood of invented keys must not make every good one be asked about again.
                state.answers = state.answers.filter { entry in
                    if case .good(let token) = entry.value { token.expiresAt > now } else { false }
                }
            }
            if state.answers.count >= Self.cacheLimit { state.answers = [:] }
            state.answers[digest] = answer
        }
    }
}
