package import Contracts
import Crypto
import CryptoExtras
import Foundation
import JWTKit
package import ServiceKit

/// The key pair that stands for auth's in tests of other services; real RS256 all the same.
package enum TestKeys {
    private struct Pair: Sendable {
        let signer: JWTKeyCollection
        let publicKeys: JWKS
        let file: String
    }

    private static let kid = JWKIdentifier(string: "test-key")
    private static let pair = Task { try await make(kid: kid) }
    private static let foreign = Task { try await make(kid: kid) }

    private static func make(kid: JWKIdentifier) async throws -> Pair {
        let key = try Insecure.RSA.PrivateKey(backing: _RSA.Signing.PrivateKey(keySize: .bits2048))
        let signer = JWTKeyCollection()
        await signer.add(rsa: key, digestAlgorithm: .sha256, kid: kid)
        let primitives = try key.publicKey.getKeyPrimitives()
        let jwk = JWK.rsa(
            .rs256, identifier: kid, modulus: Base64URL.encode(primitives.modulus), exponent: Base64URL.encode(primitives.publicExponent))
        let keys = JWKS(keys: [jwk])
        let file = NSTemporaryDirectory() + "trionex-test-jwks-\(ProcessInfo.processInfo.processIdentifier)-\(UUID().uuidString).json"
        try JSONEncoder().encode(keys).write(to: URL(filePath: file))
        return Pair(signer: signer, publicKeys: keys, file: file)
    }

    /// Where the public keys are, for `TRIONEX_JWKS`.
    package static func file() async throws -> String { try await pair.value.file }

    package static func sign(_ claims: AccessClaims) async throws -> String {
        try await pair.value.signer.sign(claims, kid: kid)
    }

    /// A token that has the right form and the right key id, signed by somebody else's key.
    package static func signForeign(_ claims: AccessClaims) async throws -> String {
        try await foreign.value.signer.sign(claims, kid: kid)
    }

    /// `alg: none`, with the claims of a real one.
    package static func unsigned(_ claims: AccessClaims) throws -> String {
        let header = Base64URL.encode(Data(#"{"alg":"none","typ":"JWT","kid":"test-key"}"#.utf8))
        return "\(header).\(Base64URL.encode(try JSONEncoder().encode(claims)))."
    }

    package static func serviceToken(_ service: ServiceName) async throws -> String {
        try await sign(AccessClaims(service: service, issuedAt: Date(), lifetime: 600))
    }
}
