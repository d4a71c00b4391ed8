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
/// The last by name signs; all are published, so that tokens signed by an older one stay good until it is taken away.
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

    /// The key set (RFC 7517), as it is published.
    package let document: Data
    package let publicKeys: JWKS
    /// The key that signs.
    package let keyID: String
    private let signer: Task<JWTKeyCollection, Never>

    private init(_ keys: [JWTKit.Insecure.RSA.PrivateKey], directory: String) throws {
        let published = try keys.map(Self.publicKey)
        guard let key = keys.last, let newest = published.last else {
            throw Unusable(description: "there is no signing key in \(directory)")
        }
        document = try JSON.encode(KeySet(keys: published))
        publicKeys = try JSONDecoder().decode(JWKS.self, from: document)
        keyID = newest.kid
        let kid = JWKIdentifier(string: newest.kid)
        signer = Task {
            let collection = JWTKeyCollection()
            await collection.add(rsa: key, digestAlgorithm: .sha256, kid: kid)
            return collection
        }
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
    package static func open(_ directory: String, now: Date = Date(), logger: Logger) throws -> KeyRing {
        let present = try load(directory)
        if !present.isEmpty { return try KeyRing(present, directory: directory) }
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
            try add(to: directory, now: now)
            logger.notice("a signing key was made", metadata: ["directory": "\(directory)"])
        }
        return try KeyRing(try load(directory), directory: directory)
    }

    /// Makes a key. Its name begins with the time, so that it comes after those that are there.
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
        guard rename(draft, path) == 0 else { throw Unusable(description: "no key can be written to \(directory)") }
    }

    private static func load(_ directory: String) throws -> [JWTKit.Insecure.RSA.PrivateKey] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return try names.filter { $0.hasSuffix(".pem") }.sorted().map { name in
            guard let text = try? String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8),
                let key = try? JWTKit.Insecure.RSA.PrivateKey(pem: text)
            else { throw Unusable(description: "\(directory)/\(name) is not an RSA key of at least 2048 bits in PEM that can be read") }
            return key
        }
    }
}
