import Contracts
import Crypto
import Foundation
import HTTPTypes
import ServiceKit

/// The public keys, and tokens for the platform's own programs.
struct KeyRoutes {
    let keys: KeyRing
    let secret: String?
    let lifetime: TimeInterval

    static let programs: Set<ServiceName> = [
        .gateway, .auth, .users, .content, .assistant, .analytics, .notifications, .files, .search,
    ]

    /// While auth is away nobody signs with a new key: the old list is still the right one.
    static let staleSeconds = 3_600

    var endpoints: [Endpoints] {
        [
            Endpoints("/.well-known") {
                Endpoint.get("jwks.json", "The public keys that tokens are verified with", .public, publicKeys)
            },
            Endpoints("/internal/v1") {
                Endpoint.post("service-token", "A short-lived token for one of the platform's programs", .public, serviceToken)
            },
        ]
    }

    func publicKeys(_ request: PublicRequest) async throws -> RawJSON {
        RawJSON(keys.document, headers: [.cacheControl: "public, max-age=\(KeyRing.cacheSeconds), stale-if-error=\(Self.staleSeconds)"])
    }

    /// The internal path is not routed by the gateway. Without a secret in the settings nobody gets a token.
    func serviceToken(_ request: PublicRequest, _ body: ServiceTokenRequest) async throws -> Uncached<ServiceToken> {
        guard let secret, Self.matches(body.secret, secret), Self.programs.contains(body.service) else {
            throw AccountFailure.wrongServiceSecret
        }
        let issued = try await keys.serviceToken(for: body.service, now: request.now, lifetime: lifetime)
        return Uncached(ServiceToken(token: issued.token, expiresAt: issued.expires))
    }

    /// Compares the hashes, and of them every byte: it takes the same time wherever the two differ.
    static func matches(_ presented: String, _ secret: String) -> Bool {
        zip(SHA256.hash(data: Data(presented.utf8)), SHA256.hash(data: Data(secret.utf8))).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

extension KeyRing {
    func serviceToken(for service: ServiceName, now: Date, lifetime: TimeInterval) async throws -> (token: String, expires: Date) {
        (try await sign(AccessClaims(service: service, issuedAt: now, lifetime: lifetime)), now.addingTimeInterval(lifetime))
    }
}
