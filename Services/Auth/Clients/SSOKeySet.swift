import Contracts
import Crypto
import CryptoExtras
import Foundation
import ServiceKit

/// An issuer's public keys (RFC 7517), and the verification of what they signed (RFC 7515).
///
/// The algorithm follows from the key, never from the token alone: RS256 needs an RSA key, ES256 a key on P-256. So nothing unsigned,
/// and nothing "signed" with a public key as an HMAC secret, gets as far as a comparison.
struct SSOKeySet: Sendable {
    /// More keys than any issuer has at once.
    static let maximumKeys = 100
    static let maximumTokenBytes = 32_768

    private enum Key: Sendable {
        case rsa(_RSA.Signing.PublicKey)
        case p256(P256.Signing.PublicKey)

        var algorithm: String {
            switch self {
            case .rsa: "RS256"
            case .p256: "ES256"
            }
        }
    }

    private struct Document: Decodable {
        struct Key: Decodable {
            let kty: String?
            let use: String?
            let alg: String?
            let kid: String?
            let n: String?
            let e: String?
            let crv: String?
            let x: String?
            let y: String?
        }
        let keys: [Key]
    }

    private struct Header: Decodable {
        let alg: String
        let kid: String?
        let typ: String?
        let crit: [String]?
    }

    private let keys: [(id: String?, key: Key)]

    /// Keys of other kinds, for other uses, or too weak (RSA below 2048 bits) are passed over. Throws `SSOFailure.badIssuerAnswer`.
    init(_ data: Data) throws {
        guard let document = try? JSONDecoder().decode(Document.self, from: data) else { throw SSOFailure.badIssuerAnswer }
        keys = document.keys.prefix(Self.maximumKeys).compactMap { entry in Self.key(entry).map { (entry.kid, $0) } }
    }

    private static func key(_ entry: Document.Key) -> Key? {
        guard entry.use == nil || entry.use == "sig" else { return nil }
        func bytes(_ text: String?) -> Data? { text.flatMap { Base64URL.decode($0) } }
        let key: Key? =
            switch entry.kty {
            case "RSA":
                if let n = bytes(entry.n), let e = bytes(entry.e) { (try? _RSA.Signing.PublicKey(n: n, e: e)).map(Key.rsa) } else { nil }
            case "EC" where entry.crv == "P-256":
                if let x = bytes(entry.x), let y = bytes(entry.y), x.count == 32, y.count == 32 {
                    (try? P256.Signing.PublicKey(rawRepresentation: x + y)).map(Key.p256)
                } else {
                    nil
                }
            default: nil
            }
        guard let key, entry.alg == nil || entry.alg == key.algorithm else { return nil }
        return key
    }

    /// The key that a token names is not among these: the issuer may have made a new one.
    struct UnknownKey: Error {}

    /// The claims of a token that one of these keys signed. Throws `UnknownKey`, or `SSOFailure.badToken`.
    func verify(_ token: String) throws -> Data {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard token.utf8.count <= Self.maximumTokenBytes, parts.count == 3, let head = Base64URL.decode(String(parts[0])),
            let claims = Base64URL.decode(String(parts[1])), let signature = Base64URL.decode(String(parts[2])),
            let header = try? JSONDecoder().decode(Header.self, from: head), ["RS256", "ES256"].contains(header.alg), header.crit == nil,
            header.typ == nil || header.typ?.lowercased() == "jwt"
        else { throw SSOFailure.badToken }
        let key = try key(for: header)
        let signed = Data("\(parts[0]).\(parts[1])".utf8)
        let isGood =
            switch key {
            case .rsa(let key):
                key.isValidSignature(
                    _RSA.Signing.RSASignature(rawRepresentation: signature), for: SHA256.hash(data: signed), padding: .insecurePKCS1v1_5)
            case .p256(let key):
                if let parsed = try? P256.Signing.ECDSASignature(rawRepresentation: signature) {
                    key.isValidSignature(parsed, for: SHA256.hash(data: signed))
                } else {
                    false
                }
            }
        guard isGood else { throw SSOFailure.badToken }
        return claims
    }

    /// Without a name in the token there must be but one key of the kind (OpenID Connect Core, section 10.1).
    private func key(for header: Header) throws -> Key {
        let fitting = keys.filter { $0.key.algorithm == header.alg }
        if let id = header.kid {
            guard let known = fitting.first(where: { $0.id == id }) else { throw UnknownKey() }
            return known.key
        }
        guard fitting.count == 1 else { throw SSOFailure.badToken }
        return fitting[0].key
    }

    /// Whether `at_hash` is that of the access token beside it: the left half of its SHA-256 (section 3.1.3.6).
    static func isHash(_ hash: String, of accessToken: String) -> Bool {
        hash == Base64URL.encode(Data(SHA256.hash(data: Data(accessToken.utf8))).prefix(16))
    }
}
