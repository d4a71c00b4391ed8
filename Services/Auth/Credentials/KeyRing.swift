import Contracts
import Crypto
import CryptoExtras
package import Foundation
package import JWTKit
package import Logging
package import ServiceKit

#if canImport(Glibc)
    import Glibc
#endif

/// The signing keys of the platform: RSA of 2048 bits, one PEM file each, in a directory that only auth can read.
///
/// All are published, so that tokens signed by an older one stay good until it is taken away. The last by name signs once its
/// file is `cacheSeconds` old; until then whoever keeps the published keys may not know it, and the one before it signs.
package final class KeyRing: Sendable {
    /// Why there is no key to sign with, as a sentence for whoever starts auth.
    package struct Unusable: Error, CustomStringConvertible {
        package let description: String
    }

    /// A public key as RFC 7517 writes it. There is nothing private in it to leave out.
    private struct PublicKey: Codable {
        let kty: String
        let use: String
        let alg: String
        let kid: String
        let n: String
        let e: String
    }

    private struct KeySet: Codable {
        let keys: [PublicKey]
    }

    private struct StoredKey: Sendable {
        let key: JWTKit.Insecure.RSA.PrivateKey
        /// When its file was written.
        let since: Date
    }

    /// Seconds for which the published keys may be kept: a new key is published this long before it signs.
    package static let cacheSeconds = 300

    /// The key set (RFC 7517), as it is published.
    package let document: Data
    package let publicKeys: JWKS
    private let first: String
    /// The keys after the first, by name, and from when on each signs.
    private let later: [(kid: String, signsFrom: Date)]
    private let signer: Task<JWTKeyCollection, Never>
    private let now: @Sendable () -> Date

    private init(_ keys: [StoredKey], directory: String, now: @escaping @Sendable () -> Date) throws {
        let published = try keys.map { try Self.publicKey($0.key) }
        guard let oldest = published.first else { throw Unusable(description: "there is no signing key in \(directory)") }
        document = try JSON.encode(KeySet(keys: published))
        publicKeys = try JSONDecoder().decode(JWKS.self, from: document)
        first = oldest.kid
        later = zip(published, keys).dropFirst().map { ($0.kid, $1.since.addingTimeInterval(TimeInterval(Self.cacheSeconds))) }
        self.now = now
        let named = zip(published, keys).map { (JWKIdentifier(string: $0.kid), $1.key) }
        signer = Task {
            let collection = JWTKeyCollection()
            for (kid, key) in named { await collection.add(rsa: key, digestAlgorithm: .sha256, kid: kid) }
            return collection
        }
    }

    /// The key that signs now: the newest that everybody can know. The oldest when there is none: before it nothing was published.
    package var keyID: String {
        let now = now()
        return later.last { $0.signsFrom <= now }?.kid ?? first
    }

    /// A JWT with the header `{alg: RS256, typ: JWT, kid}`.
    package func sign(_ claims: AccessClaims) async throws -> String {
        try await signer.value.sign(claims, kid: JWKIdentifier(string: keyID))
    }

    private static func publicKey(_ key: JWTKit.Insecure.RSA.PrivateKey) throws -> PublicKey {
        let primitives = try key.publicKey.getKeyPrimitives()
        let n = Base64URL.encode(primitives.modulus), e = Base64URL.encode(primitives.publicExponent)
        // RFC 7638: the required members in alphabetical order, without white space.
        let thumbprint = SHA256.hash(data: Data(#"{"e":"\#(e)","kty":"RSA","n":"\#(n)"}"#.utf8))
        return PublicKey(kty: "RSA", use: "sig", alg: "RS256", kid: Base64URL.encode(Data(thumbprint)), n: n, e: e)
    }

    // MARK: - Files

    /// Reads the keys of a directory; makes the directory and a first key when there is none.
    ///
    /// Several processes may start at once on one directory: a lock lets one of them make the key.
    package static func open(
        _ directory: String, now: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) throws -> KeyRing {
        let present = try load(directory)
        if !present.isEmpty { return try KeyRing(present, directory: directory, now: now) }
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Unusable(description: "the key directory \(directory) cannot be made; set TRIONEX_AUTH_KEY_DIRECTORY")
        }
        let lock = Glibc.open(directory + "/.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw Unusable(description: "the key directory \(directory) cannot be written to") }
        defer { close(lock) }
        flock(lock, LOCK_EX)
        if try load(directory).isEmpty {
            try add(to: directory, now: now())
            logger.notice("a signing key was made", metadata: ["directory": "\(directory)"])
        }
        return try KeyRing(try load(directory), directory: directory, now: now)
    }

    /// Makes a key. Its name has the time, so that it comes after those that are there; so has its file, whose age says when it signs.
    package static func add(to directory: String, now: Date) throws {
        let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        let time = Timestamp.text(now).filter { $0.isNumber || $0 == "T" || $0 == "Z" }
        let path = "\(directory)/key-\(time).pem"
        // Written under another name first: nobody reads half a key.
        let draft = path + ".new"
        let file = Glibc.open(draft, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Unusable(description: "no key can be written to \(directory)") }
        let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
        try handle.write(contentsOf: Data(key.pemRepresentation.utf8))
        try handle.synchronize()
        try handle.close()
        try FileManager.default.setAttributes([.modificationDate: now], ofItemAtPath: draft)
        guard rename(draft, path) == 0 else { throw Unusable(description: "no key can be written to \(directory)") }
    }

    private static func load(_ directory: String) throws -> [StoredKey] {
        let files = FileManager.default
        let names = (try? files.contentsOfDirectory(atPath: directory)) ?? []
        return try names.filter { $0.hasSuffix(".pem") }.sorted().map { name in
            let path = "\(directory)/\(name)"
            guard let text = try? String(contentsOfFile: path, encoding: .utf8),
                let since = try? files.attributesOfItem(atPath: path)[.modificationDate] as? Date,
                let key = try? JWTKit.Insecure.RSA.PrivateKey(pem: text)
            else { throw Unusable(description: "\(path) is not an RSA key of at least 2048 bits in PEM that can be read") }
            return StoredKey(key: key, since: since)
        }
    }
}
