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
    let checked: Double
    let cachedNow: Double
    let uncachedNow: Double
    let foreignNow: Double
    /// Tokens that are signed for it, each verified once by each fresh verifier.
    static let tokens = 500

    static func rows(for duration: Duration, _ row: (String, String) -> Void) async throws {
        let figures = try await measure(for: duration)
        row("token verification in one task, cached", String(format: "%.0fk/s", figures.cached / 1000))
        row("token verification in one task, not cached", String(format: "%.1fk/s", figures.uncached / 1000))
        row("the same on an event loop: of a token held there, another look", String(format: "%.1fM/s", figures.checked / 1_000_000))
        row("the same on an event loop: cached", String(format: "%.0fk/s", figures.cachedNow / 1000))
        row("the same on an event loop: not cached", String(format: "%.1fk/s", figures.uncachedNow / 1000))
        row("the same on an event loop: signed by nobody we know", String(format: "%.0fk/s", figures.foreignNow / 1000))
    }

    private static func measure(for duration: Duration) async throws -> TokenFigures {
        let signer = try BenchSigner("bench"), stranger = try BenchSigner("stranger")
        let (signed, foreign) = (try await signer.tokens(tokens), try await stranger.tokens(tokens))
        let keys = try signer.publicKeys
        func verifier() -> TokenVerifier { TokenVerifier(source: .keys { keys }, revocations: nil, logger: Logger(label: "bench")) }
        let seconds = Int(Date().timeIntervalSince1970)
        func count(_ tokens: [String], _ fresh: () async throws -> TokenVerifier, _ one: (TokenVerifier, inout String) async throws -> Void)
            async throws -> Double
        {
            var (tokens, count) = (tokens, 0)
            let start = ContinuousClock.now
            while start.duration(to: .now) < duration {
                let verifier = try await fresh()
                for index in tokens.indices { try await one(verifier, &tokens[index]) }
                count += tokens.count
            }
            return Double(count) / (start.duration(to: .now) / .seconds(1))
        }
        func now(_ verifier: TokenVerifier, _ token: inout String) {
            _ = token.withUTF8 { verifier.verifyNow(UnsafeRawBufferPointer($0), at: seconds) }
        }
        // One token makes it fetch the keys.
        func prepared() async throws -> TokenVerifier {
            let verifier = verifier()
            _ = try await verifier.verify(signed[0])
            return verifier
        }
        let warm = verifier()
        for token in signed { _ = try await warm.verify(token) }
        let held = try await warm.verified(signed[0])
        return TokenFigures(
            cached: try await count(signed, { warm }) { _ = try await $0.verify($1) },
            uncached: try await count(signed, verifier) { _ = try await $0.verify($1) },
            checked: try await count(signed, { warm }) { verifier, _ in _ = verifier.check(held, at: seconds) },
            cachedNow: try await count(signed, { warm }) { now($0, &$1) },
            uncachedNow: try await count(signed, prepared) { now($0, &$1) },
            foreignNow: try await count(foreign, { warm }) { now($0, &$1) })
    }
}

/// A key pair, and tokens that it has signed.
private struct BenchSigner {
    let id: JWKIdentifier
    let key: JWTKit.Insecure.RSA.PrivateKey

    init(_ name: String) throws {
        id = JWKIdentifier(string: name)
        key = try JWTKit.Insecure.RSA.PrivateKey(backing: _RSA.Signing.PrivateKey(keySize: .bits2048))
    }

    var publicKeys: JWKS {
        get throws {
            let parts = try key.publicKey.getKeyPrimitives()
            return JWKS(keys: [
                .rsa(.rs256, identifier: id, modulus: Base64URL.encode(parts.modulus), exponent: Base64URL.encode(parts.publicExponent))
            ])
        }
    }

    func tokens(_ count: Int) async throws -> [String] {
        let signer = JWTKeyCollection()
        await signer.add(rsa: key, digestAlgorithm: .sha256, kid: id)
        var signed: [String] = []
        for _ in 0..<count {
            let claims = AccessClaims(
                user: .make(), session: .make(), tenant: .make(), roles: ["owner"], permissions: ["*"], plan: "starter", amr: ["pwd"],
                issuedAt: Date(), lifetime: 900)
            signed.append(try await signer.sign(claims, kid: id))
        }
        return signed
    }
}
