import Contracts
import Crypto
import Foundation
import HTTPTypes
import JWTKit
import Postgres
import ServiceKit

/// How a client proves who it is at the token endpoint and its neighbours (RFC 6749, section 2.3; RFC 7523): its secret in the header or in
/// the form, an assertion signed with its own key, or, for a public client, nothing.
struct ClientAuthentication: Sendable {
    static let assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    /// Seconds ahead of which an assertion may not expire: it is remembered until then, so that it is good once.
    static let longestAssertion: TimeInterval = 3_660
    static let maximumAssertionBytes = 8_192
    static let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
    static let assertionAlgorithms = ["RS256", "PS256", "ES256"]
    private static let leeway: TimeInterval = 5

    /// What the form says of the client.
    struct Presented: Sendable {
        let clientID: String?
        let clientSecret: String?
        let assertionType: String?
        let assertion: String?
    }

    let database: Database
    /// The issuer, which assertions may name as their audience.
    let issuer: String

    /// Throws `invalid_client` alike for a client that is unknown and for one that proves nothing; `invalid_request` for two proofs at once.
    func client(_ request: PublicRequest, _ presented: Presented) async throws -> OAuthClient {
        let header = try basic(request)
        let proofs = [header != nil, presented.clientSecret != nil, presented.assertion != nil].count { $0 }
        guard proofs <= 1 else { throw OAuthFailure(.invalidRequest, "Send one proof of the client, not several.") }
        if let header {
            guard presented.clientID == nil || presented.clientID == header.id else {
                throw OAuthFailure(.invalidRequest, "client_id is not the one of the Authorization header.")
            }
            return try await confidential(header.id, header.secret)
        }
        if let assertion = presented.assertion { return try await asserted(assertion, presented, request.now) }
        guard let id = presented.clientID else { throw OAuthFailure.badClient }
        if let secret = presented.clientSecret { return try await confidential(id, secret) }
        guard let client = try await find(id), client.kind == .public else { throw OAuthFailure.badClient }
        return client
    }

    /// Nil for a text that is no client's id, or the id of none.
    func find(_ text: String) async throws -> OAuthClient? {
        guard let name = ClientName(text) else { return nil }
        return try await database.first(OAuthClientStore.find(name.id), as: .anonymous(in: name.tenant))
    }

    private func confidential(_ id: String, _ secret: String) async throws -> OAuthClient {
        guard let client = try await find(id), client.kind == .confidential, ClientSecret.matches(secret, client.secretDigest) else {
            throw OAuthFailure.badClient
        }
        return client
    }

    /// Both halves are form-encoded before they are joined (RFC 6749, section 2.3.1).
    private func basic(_ request: PublicRequest) throws -> (id: String, secret: String)? {
        let values = request.headers[values: .authorization]
        guard let value = values.first, value.prefix(6).lowercased() == "basic " else { return nil }
        guard values.count == 1, value.utf8.count < 1_024,
            let data = Data(base64Encoded: value.dropFirst(6).trimmingCharacters(in: .whitespaces)),
            let text = String(validating: data, as: UTF8.self), let colon = text.firstIndex(of: ":"),
            let id = Self.formDecoded(text[..<colon]), let secret = Self.formDecoded(text[text.index(after: colon)...])
        else { throw OAuthFailure.badClient }
        return (id, secret)
    }

    private static func formDecoded(_ text: Substring) -> String? {
        text.replacingOccurrences(of: "+", with: " ").removingPercentEncoding
    }

    // MARK: - private_key_jwt

    private struct Assertion: JWTPayload {
        let iss: String
        let sub: String
        let aud: AudienceClaim
        let exp: Int
        let nbf: Int?
        let jti: String
        func verify(using algorithm: some JWTAlgorithm) async throws {}
    }

    private struct Header: Decodable {
        let alg: String
    }

    /// Signed by the client, about itself, for us, a short while, once (RFC 7523, section 3).
    private func asserted(_ text: String, _ presented: Presented, _ now: Date) async throws -> OAuthClient {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard presented.assertionType == Self.assertionType, text.utf8.count <= Self.maximumAssertionBytes, parts.count == 3,
            let header = Base64URL.decode(String(parts[0])).flatMap({ try? JSONDecoder().decode(Header.self, from: $0) }),
            Self.assertionAlgorithms.contains(header.alg),
            let unverified = Base64URL.decode(String(parts[1])).flatMap({ try? JSONDecoder().decode(Assertion.self, from: $0) }),
            presented.clientID == nil || presented.clientID == unverified.sub, let client = try await find(unverified.sub),
            let keySet = client.keySet, let claims = await Self.verified(text, keySet)
        else { throw OAuthFailure.badClient }
        let expires = Date(timeIntervalSince1970: TimeInterval(claims.exp))
        guard claims.iss == claims.sub, claims.sub == client.clientID, isForUs(claims.aud), expires > now,
            expires <= now.addingTimeInterval(Self.longestAssertion), !claims.jti.isEmpty,
            TimeInterval(claims.nbf ?? 0) <= now.timeIntervalSince1970 + Self.leeway
        else { throw OAuthFailure.badClient }
        let digest = Data(SHA256.hash(data: Data(claims.jti.utf8)))
        let taken = try await database.execute(
            OAuthClientStore.takeAssertion(digest, of: client, until: expires), as: .anonymous(in: client.tenant))
        guard taken == 1 else { throw OAuthFailure.badClient }
        return client
    }

    private func isForUs(_ audience: AudienceClaim) -> Bool {
        audience.value.contains { $0 == issuer || $0 == issuer + OpenIDPaths.token }
    }

    private static func verified(_ text: String, _ keySet: JSONValue) async -> Assertion? {
        guard let data = try? JSON.encode(keySet), let set = try? JSONDecoder().decode(JWKS.self, from: data) else { return nil }
        let keys = JWTKeyCollection()
        guard (try? await keys.add(jwks: set)) != nil else { return nil }
        return try? await keys.verify(text, as: Assertion.self)
    }

    /// Whether a key set is one that assertions can be verified with: RSA or elliptic curve, public, a few.
    static func isUsable(_ keySet: JSONValue) -> Bool {
        guard let data = try? JSON.encode(keySet), data.count <= OAuthClient.maximumKeySetBytes,
            let set = try? JSONDecoder().decode(JWKS.self, from: data), (1...10).contains(set.keys.count)
        else { return false }
        return set.keys.allSatisfy { ($0.keyType == .rsa || $0.keyType == .ecdsa) && $0.privateExponent == nil && $0.keyIdentifier != nil }
    }
}

/// Where the protocol's calls are, below the issuer.
enum OpenIDPaths {
    static let authorize = "/oauth2/authorize"
    static let token = "/oauth2/token"
    static let introspect = "/oauth2/introspect"
    static let revoke = "/oauth2/revoke"
    static let userinfo = "/oauth2/userinfo"
    static let logout = "/oauth2/logout"
    static let jwks = "/.well-known/jwks.json"
    // Our own pages' forms.
    static let proceed = "/oauth2/continue"
    static let signIn = "/oauth2/sign-in"
    static let passkey = "/oauth2/passkey"
    static let secondFactor = "/oauth2/second-factor"
    static let consent = "/oauth2/consent"
    static let forgotten = "/oauth2/forgotten-password"
    static let confirmLogout = "/oauth2/logout/confirm"
}
