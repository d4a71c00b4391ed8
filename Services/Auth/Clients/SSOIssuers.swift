import Contracts
import Foundation
import ServiceKit
import Synchronization

/// What an issuer says of itself (OpenID Connect Discovery 1.0, section 3; RFC 8414), as far as signing in needs it.
struct SSOMetadata: Sendable {
    let issuer: String
    let authorizationEndpoint: String
    let tokenEndpoint: String
    let keysAddress: String
    /// Whether the client shows its secret in `Authorization`, which is the rule, or in the form.
    let usesBasic: Bool
    /// Whether answers name their issuer (RFC 9207), so that one without is a forgery.
    let namesIssuer: Bool

    private struct Document: Decodable {
        let issuer: String
        let authorization_endpoint: String
        let token_endpoint: String
        let jwks_uri: String
        let token_endpoint_auth_methods_supported: [String]?
        let authorization_response_iss_parameter_supported: Bool?
    }

    /// Throws `SSOFailure.badIssuerAnswer` for what is no such document, or another issuer's.
    init(_ data: Data, of configured: String, _ preset: SSOPreset, _ guarding: SSOAddressGuard) throws {
        guard let document = try? JSONDecoder().decode(Document.self, from: data), preset.owns(metadata: document.issuer, of: configured)
        else { throw SSOFailure.badIssuerAnswer }
        for address in [document.authorization_endpoint, document.token_endpoint, document.jwks_uri] { _ = try guarding.check(address) }
        issuer = document.issuer
        authorizationEndpoint = document.authorization_endpoint
        tokenEndpoint = document.token_endpoint
        keysAddress = document.jwks_uri
        usesBasic = document.token_endpoint_auth_methods_supported?.contains("client_secret_basic") ?? true
        namesIssuer = document.authorization_response_iss_parameter_supported ?? false
    }
}

/// The metadata and keys of issuers, fetched when they are needed and kept for a while.
final class SSOIssuers: Sendable {
    /// Seconds for which metadata and keys are kept.
    static let lifetime: TimeInterval = 3_600
    /// Seconds after which a key that is not known makes the keys be fetched anew: rotation needs no more, and invented names get no more.
    static let keyPause: TimeInterval = 10
    /// Seconds for which an issuer that failed is not asked again.
    static let failurePause: TimeInterval = 5
    /// Issuers kept; beyond this all are forgotten and fetched again.
    static let limit = 1_000

    private struct Kept<Value: Sendable>: Sendable {
        let value: Result<Value, SSOFailure>
        let at: Date
    }

    private struct State: Sendable {
        var metadata: [String: Kept<SSOMetadata>] = [:]
        var keys: [String: Kept<SSOKeySet>] = [:]
    }

    let transport: SSOTransport
    private let now: @Sendable () -> Date
    private let state = Mutex(State())

    init(transport: SSOTransport, now: @escaping @Sendable () -> Date) {
        self.transport = transport
        self.now = now
    }

    /// - Parameter anew: asks even if it is known already, as when a connection is set up.
    func metadata(of issuer: String, _ preset: SSOPreset, anew: Bool = false) async throws -> SSOMetadata {
        let name = "\(preset.rawValue) \(issuer)"
        if !anew, let kept = state.withLock({ $0.metadata[name] }), isFresh(kept) { return try kept.value.get() }
        let result = await attempt { [transport] in
            let answer = try await transport.get(
                (issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer) + "/.well-known/openid-configuration")
            guard answer.status == 200 else { throw answer.status >= 500 ? SSOFailure.issuerUnavailable : .badIssuerAnswer }
            return try SSOMetadata(answer.body, of: issuer, preset, transport.guarding)
        }
        keep(result, name, \.metadata)
        return try result.get()
    }

    /// The claims of an ID token that the issuer signed.
    func verify(_ token: String, by metadata: SSOMetadata) async throws -> Data {
        let known = state.withLock { $0.keys[metadata.keysAddress] }
        if let known, isFresh(known) {
            do {
                return try known.value.get().verify(token)
            } catch is SSOKeySet.UnknownKey {
                guard now().timeIntervalSince(known.at) >= Self.keyPause else { throw SSOFailure.badToken }
            }
        }
        let result = await attempt { [transport] in
            let answer = try await transport.get(metadata.keysAddress)
            guard answer.status == 200 else { throw answer.status >= 500 ? SSOFailure.issuerUnavailable : .badIssuerAnswer }
            return try SSOKeySet(answer.body)
        }
        keep(result, metadata.keysAddress, \.keys)
        do {
            return try result.get().verify(token)
        } catch is SSOKeySet.UnknownKey {
            throw SSOFailure.badToken
        }
    }

    private func isFresh<Value>(_ kept: Kept<Value>) -> Bool {
        let lifetime =
            switch kept.value {
            case .success: Self.lifetime
            case .failure: Self.failurePause
            }
        return now().timeIntervalSince(kept.at) < lifetime
    }

    private func attempt<Value: Sendable>(_ work: @Sendable () async throws -> Value) async -> Result<Value, SSOFailure> {
        do {
            return .success(try await work())
        } catch {
            return .failure(error as? SSOFailure ?? .issuerUnavailable)
        }
    }

    /// What was good stays when a later attempt fails: an issuer that is away for a moment stops nobody whose keys are known.
    private func keep<Value: Sendable>(
        _ result: Result<Value, SSOFailure>, _ name: String, _ place: any WritableKeyPath<State, [String: Kept<Value>]> & Sendable
    ) {
        let kept = Kept(value: result, at: now())
        state.withLock { state in
            if state[keyPath: place].count >= Self.limit { state[keyPath: place].removeAll() }
            if case .failure = result, let earlier = state[keyPath: place][name], case .success = earlier.value, isFresh(earlier) { return }
            state[keyPath: place][name] = kept
        }
    }
}
