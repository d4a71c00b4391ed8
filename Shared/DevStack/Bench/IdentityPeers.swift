import Contracts
import CryptoExtras
import DevStack
import Foundation
import JWTKit
import Logging
import ServiceKit

/// The reference program of Argon2, with the cost that auth has unless told otherwise.
struct Argon2Program {
    static let rounds = 20

    /// Of one hash, as it measures itself.
    func milliseconds() async throws -> Double {
        var total = 0.0
        for _ in 0..<Self.rounds {
            let output = try await Command.output(
                "sh", ["-c", "printf %s 'measured not guessed' | argon2 saltsaltsaltsalt -id -t 2 -k 19456 -p 1 -l 32"], packages: "argon2")
            guard let line = output.split(separator: "\n").first(where: { $0.hasSuffix("seconds") }),
                let seconds = line.split(separator: " ").first.flatMap({ Double($0) })
            else { throw StackFailure("argon2 is not installed, or said: \(output.suffix(200)) (apt-get install argon2)") }
            total += seconds
        }
        return total / Double(Self.rounds) * 1000
    }
}

/// What auth says of its password hashes.
struct HashTimes {
    let count: Double

    static func read(_ auth: String) async throws -> HashTimes {
        let page = try await GatewayClient(base: auth).get("/metrics", quiet: true)
        let text = String(decoding: page.body, as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("trionex_auth_password_hash_duration_seconds_count") }
        // Before the first hash there is no such line.
        return HashTimes(count: line?.split(separator: " ").last.flatMap { Double($0) } ?? 0)
    }
}

/// Time that the processors of this machine have worked (proc(5), stat).
enum Processor {
    private static let ticksPerSecond = 100.0

    static func busySeconds() -> Double {
        let text = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? ""
        let fields = (text.split(separator: "\n").first ?? "").split(separator: " ").dropFirst().compactMap { Double($0) }
        guard fields.count >= 8 else { return 0 }
        // Without idle (3) and waiting for disks (4); guests (8, 9) are counted in user time already.
        return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6] + fields[7]) / ticksPerSecond
    }
}

/// `openssl speed` of the arithmetic alone.
enum OpenSSL {
    static func verificationsPerSecond() async throws -> Double {
        let output = try await Command.output("openssl", ["speed", "-seconds", "2", "rsa2048"], packages: "openssl")
        guard let line = output.split(separator: "\n").last(where: { $0.hasPrefix("rsa 2048") }),
            let rate = line.split(separator: " ").compactMap({ Double($0) }).last
        else { throw StackFailure("openssl said: \(output.suffix(300))") }
        return rate
    }
}

/// Our verification of access tokens, in this process.
struct TokenFigures {
    let cached: Double
    let uncached: Double
    /// Tokens that are signed for it, each verified once by each fresh verifier.
    static let tokens = 500

    static func measure(for duration: Duration) async throws -> TokenFigures {
        let kid = JWKIdentifier(string: "bench")
        let key = try Insecure.RSA.PrivateKey(backing: _RSA.Signing.PrivateKey(keySize: .bits2048))
        let signer = JWTKeyCollection()
        await signer.add(rsa: key, digestAlgorithm: .sha256, kid: kid)
        let parts = try key.publicKey.getKeyPrimitives()
        let jwks = JWKS(keys: [
            .rsa(
                .rs256, identifier: kid, modulus: Base64URL.encode(parts.modulus), exponent: Base64URL.encode(parts.publicExponent))
        ])
        var signed: [String] = []
        for _ in 0..<tokens {
            let claims = AccessClaims(
                user: .make(), session: .make(), tenant: .make(), roles: ["owner"], permissions: ["*"], plan: "starter", amr: ["pwd"],
                issuedAt: Date(), lifetime: 900)
            signed.append(try await signer.sign(claims, kid: kid))
        }
        func verifier() -> TokenVerifier { TokenVerifier(source: .keys { jwks }, revocations: nil, logger: Logger(label: "bench")) }

        let warm = verifier()
        for token in signed { _ = try await warm.verify(token) }
        var count = 0
        var start = ContinuousClock.now
        while start.duration(to: .now) < duration {
            for token in signed { _ = try await warm.verify(token) }
            count += signed.count
        }
        let cached = Double(count) / (start.duration(to: .now) / .seconds(1))

        count = 0
        start = ContinuousClock.now
        while start.duration(to: .now) < duration {
            let fresh = verifier()
            for token in signed { _ = try await fresh.verify(token) }
            count += signed.count
        }
        return TokenFigures(cached: cached, uncached: Double(count) / (start.duration(to: .now) / .seconds(1)))
    }
}
