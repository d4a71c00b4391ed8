import Contracts
import CryptoExtras
import Foundation
import JWTKit
import ServiceKit
import Synchronization
import TestKit

/// Keys that can be rotated, and a count of how often they were asked for.
final class KeyServer: Sendable {
    private struct State {
        var keys: [String: JWTKit.Insecure.RSA.PrivateKey] = [:]
        var published: [String] = []
        var asked = 0
    }
    private let state = Mutex(State())

    func add(_ kid: String) throws {
        let key = try JWTKit.Insecure.RSA.PrivateKey(backing: _RSA.Signing.PrivateKey(keySize: .bits2048))
        state.withLock {
            $0.keys[kid] = key
            $0.published.append(kid)
        }
    }

    func retire(_ kid: String) { state.withLock { $0.published.removeAll { $0 == kid } } }
    var asked: Int { state.withLock { $0.asked } }

    func set() -> JWKS {
        let (keys, published) = state.withLock { state in
            state.asked += 1
            return (state.keys, state.published)
        }
        return JWKS(
            keys: published.compactMap { kid in
                guard let parts = try? keys[kid]?.publicKey.getKeyPrimitives() else { return nil }
                return JWK.rsa(
                    .rs256, identifier: JWKIdentifier(string: kid), modulus: Base64URL.encode(parts.modulus),
                    exponent: Base64URL.encode(parts.publicExponent))
            })
    }

    /// As `mv` replaces a file, at once.
    func publish(at path: String) throws { try JSONEncoder().encode(set()).write(to: URL(filePath: path), options: .atomic) }

    func sign(_ claims: some JWTPayload, with kid: String, _ header: JWTHeader = JWTHeader()) async throws -> String {
        let signer = JWTKeyCollection()
        guard let key = state.withLock({ $0.keys[kid] }) else { throw AccessFailure.badToken }
        await signer.add(rsa: key, digestAlgorithm: .sha256, kid: JWKIdentifier(string: kid))
        return try await signer.sign(claims, kid: JWKIdentifier(string: kid), header: header)
    }
}

/// A clock that goes when it is told.
final class HandClock: Sendable {
    private let time = Mutex(Date(timeIntervalSince1970: 1_800_000_000))
    var now: Date { time.withLock { $0 } }
    var seconds: Int { Int(now.timeIntervalSince1970) }
    func advance(_ seconds: Double) { time.withLock { $0 += seconds } }
}
