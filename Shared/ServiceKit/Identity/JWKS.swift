import AsyncHTTPClient
import Contracts
import CryptoExtras
import Foundation
package import JWTKit
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import Synchronization

/// A public key that tokens are verified with.
final class VerifierKey: Sendable {
    let id: String
    private let modulus: Data
    private let exponent: Data
    let key: _RSA.Signing.PublicKey
    /// Whether it is no longer published: what it signed is worth nothing then, also what was verified before.
    let isRetired = Atomic(false)

    /// Nil for a key of another kind or for another use, without a name, or too weak: RSA below 2048 bits.
    fileprivate init?(_ entry: PublicKeySet.Entry) {
        guard entry.kty == "RSA", entry.use ?? "sig" == "sig", entry.alg ?? "RS256" == "RS256", let id = entry.kid, !id.isEmpty,
            let modulus = entry.n.flatMap({ Base64URL.decode($0) }), modulus.count <= PublicKeySet.maximumModulusBytes,
            let exponent = entry.e.flatMap({ Base64URL.decode($0) }), exponent.count <= PublicKeySet.maximumExponentBytes,
            let key = try? _RSA.Signing.PublicKey(n: modulus, e: exponent)
        else { return nil }
        self.id = id
        self.modulus = modulus
        self.exponent = exponent
        self.key = key
    }

    func isSame(as other: VerifierKey) -> Bool { id == other.id && modulus == other.modulus && exponent == other.exponent }
}

/// A set of public keys (RFC 7517, section 5), as far as it holds keys of ours.
struct PublicKeySet {
    /// Bytes of the document.
    static let maximumBytes = 262_144
    /// Keys that are looked at; auth has two while they overlap.
    static let maximumKeys = 100
    /// 8192 bits.
    static let maximumModulusBytes = 1_024
    static let maximumExponentBytes = 8

    fileprivate struct Entry: Decodable {
        let kty: String?
        let use: String?
        let alg: String?
        let kid: String?
        let n: String?
        let e: String?
    }

    private struct Document: Decodable {
        let keys: [Entry]
    }

    /// Each with a name of its own; of several with one name, the first.
    let keys: [VerifierKey]

    init(_ data: Data) throws {
        var keys: [VerifierKey] = []
        for entry in try JSONDecoder().decode(Document.self, from: data).keys.prefix(Self.maximumKeys) {
            if let key = VerifierKey(entry), !keys.contains(where: { $0.id == key.id }) { keys.append(key) }
        }
        self.keys = keys
    }
}

extension TokenVerifier {
    /// Where public keys come from.
    package enum Source: Sendable {
        case url(String)
        case file(String)
        /// In-process: auth has its own keys, tests have theirs.
        case keys(@Sendable () -> JWKS)

        package init(setting: String) {
            self = setting.hasPrefix("http://") || setting.hasPrefix("https://") ? .url(setting) : .file(setting)
        }

        func load() async throws -> PublicKeySet {
            switch self {
            case .keys(let keys): return try PublicKeySet(JSONEncoder().encode(keys()))
            case .file(let path):
                let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
                defer { try? file.close() }
                guard let data = try file.read(upToCount: PublicKeySet.maximumBytes + 1), data.count <= PublicKeySet.maximumBytes else {
                    throw DependencyFailure("keys", reason: "\(path) is empty or too long")
                }
                return try PublicKeySet(data)
            case .url(let url):
                let response = try await InternalHTTP.client.execute(HTTPClientRequest(url: url), timeout: .seconds(3))
                guard response.status == .ok else { throw DependencyFailure("keys", reason: "status \(response.status.code)") }
                var body = try await response.body.collect(upTo: PublicKeySet.maximumBytes)
                return try PublicKeySet(body.readData(length: body.readableBytes) ?? Data())
            }
        }

        /// What tells one content of the file from another; nil for what is no file, or is not there.
        var stamp: FileStamp? {
            guard case .file(let path) = self else { return nil }
            return FileStamp(path)
        }
    }

    /// What changes with a file. Mounted configuration is replaced through a link, which changes the file's number.
    struct FileStamp: Equatable, Sendable {
        private let number: Int
        private let size: Int
        private let modified: Date

        init?(_ path: String) {
            let real = URL(fileURLWithPath: path).resolvingSymlinksInPath().path(percentEncoded: false)
            guard let facts = try? FileManager.default.attributesOfItem(atPath: real), let number = facts[.systemFileNumber] as? Int,
                let size = facts[.size] as? Int, let modified = facts[.modificationDate] as? Date
            else { return nil }
            self.number = number
            self.size = size
            self.modified = modified
        }
    }
}
