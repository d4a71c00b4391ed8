import Contracts
import Crypto
import CryptoExtras
import Foundation
import JWTKit
import ServiceKit

/// A key that tokens are signed with, and from when on it does.
struct SigningKey: Sendable {
    /// A public key as RFC 7517 writes it. There is nothing private in it to leave out.
    struct Public: Codable, Sendable {
        let kty: String
        let use: String
        let alg: String
        let kid: String
        let n: String
        let e: String
    }

    let published: Public
    let madeAt: Date
    /// Until then the key before it signs, unless there is none.
    let signsFrom: Date
    /// PKCS#8.
    let pem: String
    private let signer: Task<JWTKeyCollection, Never>

    /// The RFC 7638 thumbprint.
    var kid: String { published.kid }

    /// Throws when the text is no RSA key of at least 2048 bits.
    init(pem: String, madeAt: Date, signsFrom: Date) throws {
        let key = try JWTKit.Insecure.RSA.PrivateKey(pem: pem)
        let published = try Self.published(key)
        self.published = published
        self.madeAt = madeAt
        self.signsFrom = signsFrom
        self.pem = pem
        signer = Task {
            let collection = JWTKeyCollection()
            await collection.add(rsa: key, digestAlgorithm: .sha256, kid: JWKIdentifier(string: published.kid))
            return collection
        }
    }

    static func make(at now: Date, signsFrom: Date) throws -> SigningKey {
        let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        return try SigningKey(pem: key.pkcs8PEMRepresentation, madeAt: now, signsFrom: signsFrom)
    }

    func sign(_ payload: some JWTPayload, _ header: JWTHeader) async throws -> String {
        try await signer.value.sign(payload, kid: JWKIdentifier(string: kid), header: header)
    }

    private static func published(_ key: JWTKit.Insecure.RSA.PrivateKey) throws -> Public {
        let primitives = try key.publicKey.getKeyPrimitives()
        let n = Base64URL.encode(primitives.modulus), e = Base64URL.encode(primitives.publicExponent)
        // RFC 7638: the required members in alphabetical order, without white space.
        let thumbprint = SHA256.hash(data: Data(#"{"e":"\#(e)","kty":"RSA","n":"\#(n)"}"#.utf8))
        return Public(kty: "RSA", use: "sig", alg: "RS256", kid: Base64URL.encode(Data(thumbprint)), n: n, e: e)
    }
}
