import Contracts
import DevStack
import Foundation
import JWTKit
import Logging
import Redis
import TestKit
import Testing

@testable import ServiceKit

/// The verifier as an event loop uses it, under attack, and with keys that change.
@Suite("A token verifier on an event loop")
struct TokenVerifierNowTests {
    private let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }
    private let clock = HandClock()
    private let server = KeyServer()

    private func verifier(_ revocations: Revocations? = nil) -> TokenVerifier {
        TokenVerifier(source: .keys { [server] in server.set() }, revocations: revocations, now: { [clock] in clock.now }, logger: quiet)
    }

    private func token(_ kid: String, lifetime: TimeInterval = 900) async throws -> String {
        try await server.sign(TestTenant().owner.claims(issuedAt: clock.now, lifetime: lifetime), with: kid)
    }

    private enum Answer: Equatable {
        case caller, needsKeys
        case refused(AccessFailure)

        init(_ verdict: TokenVerdict) {
            switch verdict {
            case .caller: self = .caller
            case .needsKeys: self = .needsKeys
            case .refused(let failure): self = .refused(failure)
            }
        }
    }

    private func ask(_ verifier: TokenVerifier, _ token: String) -> Answer {
        Answer(Array(token.utf8).withUnsafeBytes { verifier.verifyNow($0, at: clock.seconds) })
    }

    @Test("answers at once once it has keys, asks for them before, and a little later for those that it does not know")
    func keys() async throws {
        try server.add("a")
        let verifier = verifier()
        let first = try await token("a")
        #expect(ask(verifier, first) == .needsKeys)
        _ = try await verifier.verify(first)
        #expect(ask(verifier, first) == .caller)
        #expect(ask(verifier, try await token("a")) == .caller)
        try server.add("b")
        let second = try await token("b")
        #expect(ask(verifier, second) == .refused(.badToken))
        clock.advance(4)
        #expect(ask(verifier, second) == .needsKeys)
        _ = try await verifier.verified(second)
        #expect(ask(verifier, second) == .caller)
        #expect(server.asked == 2)
    }

    @Test("loads the keys once for all who wait for them")
    func together() async throws {
        try server.add("a")
        let verifier = verifier()
        let tokens = try await [token("a"), token("a")]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<64 { group.addTask { _ = try await verifier.verify(tokens[index % 2]) } }
            try await group.waitForAll()
        }
        #expect(server.asked == 1)
    }

    @Test("a token that is held is good until it expires, its key is gone or it has ended")
    func held() async throws {
        try server.add("a")
        try server.add("b")
        let verifier = verifier()
        let short = try await verifier.verified(try await token("a", lifetime: 60))
        let long = try await verifier.verified(try await token("a", lifetime: 900))
        #expect(Answer(verifier.check(short, at: clock.seconds + 59)) == .caller)
        #expect(Answer(verifier.check(short, at: clock.seconds + 60)) == .refused(.expiredToken))
        #expect(short.expires == clock.seconds + 60)
        server.retire("a")
        clock.advance(301)
        #expect(Answer(verifier.check(long, at: clock.seconds)) == .needsKeys)
        // One goes and asks; the others are not held up.
        #expect(Answer(verifier.check(long, at: clock.seconds)) == .caller)
        _ = try await verifier.verify(try await token("b"))
        #expect(Answer(verifier.check(long, at: clock.seconds)) == .refused(.badToken))
    }

    @Test("keys are fetched beside the requests before they are due, so that none waits")
    func ahead() async throws {
        try server.add("a")
        let verifier = verifier()
        let token = try await token("a")
        _ = try await verifier.verify(token)
        clock.advance(250)
        #expect(ask(verifier, token) == .caller)
        try await TrionexTesting.eventually("they were fetched") { server.asked == 2 }
        #expect(ask(verifier, token) == .caller)
    }

    @Test("a clock that is set forth or back by hours hurts nobody, and new keys are still found")
    func steppedClock() async throws {
        try server.add("a")
        let verifier = verifier()
        _ = try await verifier.verify(try await token("a"))
        for (kid, step) in [("b", 7_200.0), ("c", -14_400.0), ("d", -60.0)] {
            clock.advance(step)
            _ = try await verifier.verify(try await token("a"))
            try server.add(kid)
            clock.advance(10)
            _ = try await verifier.verify(try await token(kid))
        }
    }

    @Test("a session that ends is refused from the moment its ending is known, and others are not looked at again for nothing")
    func revocation() async throws {
        try server.add("a")
        let redis = Redis(
            try RedisConfiguration(url: "redis://127.0.0.1:\(try await TestServers.shared.value.redis.port)"), logger: quiet)
        let revocations = Revocations(redis: redis, now: { [clock] in clock.now }, logger: quiet)
        let verifier = verifier(revocations)
        let (ended, other) = (TestTenant().owner, TestTenant().owner)
        let first = try await verifier.verified(try await server.sign(ended.claims(issuedAt: clock.now), with: "a"))
        let second = try await verifier.verified(try await server.sign(other.claims(issuedAt: clock.now), with: "a"))
        let before = revocations.generation
        try await revocations.revoke([.session(ended.session)], at: clock.now, tokensExpire: clock.now.addingTimeInterval(900))
        #expect(revocations.generation == before + 1)
        #expect(Answer(verifier.check(first, at: clock.seconds)) == .refused(.revokedSession))
        #expect(Answer(verifier.check(first, at: clock.seconds)) == .refused(.revokedSession))
        #expect(Answer(verifier.check(second, at: clock.seconds)) == .caller)
        try await revocations.revoke([.session(ended.session)], at: clock.now, tokensExpire: clock.now.addingTimeInterval(950))
        #expect(revocations.generation == before + 1, "it was known")
        try await revocations.revoke([.member(other.id, other.tenant)], at: clock.now, tokensExpire: clock.now.addingTimeInterval(900))
        #expect(Answer(verifier.check(second, at: clock.seconds)) == .refused(.revokedSession))
        let late = try await server.sign(ended.claims(issuedAt: clock.now), with: "a")
        #expect(ask(verifier, late) == .refused(.revokedSession))
        #expect(ask(verifier, late) == .refused(.revokedSession))
        await redis.shutdown()
    }

    // MARK: - Keys in a file

    @Test("a file of keys is read again when it has changed; a broken or missing one changes nothing")
    func file() async throws {
        let scratch = try ScratchDirectory("trionex-jwks-tests")
        let path = "\(scratch.path)/jwks.json"
        try server.add("a")
        try server.publish(at: path)
        let verifier = TokenVerifier(source: .file(path), revocations: nil, now: { [clock] in clock.now }, logger: quiet)
        let old = try await token("a")
        let held = try await verifier.verified(old)
        try server.add("b")
        let new = try await token("b")
        try Data("{\"keys\":[{".utf8).write(to: URL(filePath: path), options: .atomic)
        clock.advance(2)
        _ = try await verifier.verify(old)
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(new) }
        try FileManager.default.removeItem(atPath: path)
        clock.advance(2)
        _ = try await verifier.verify(old)
        server.retire("a")
        try server.publish(at: path)
        clock.advance(2)
        #expect(ask(verifier, new) == .needsKeys)
        _ = try await verifier.verify(new)
        #expect(ask(verifier, old) == .refused(.badToken))
        #expect(Answer(verifier.check(held, at: clock.seconds)) == .refused(.badToken))
        try FileManager.default.removeItem(atPath: scratch.path)
    }

    @Test("without any key nobody is let in, and that is said as a fault of ours until there are some")
    func noKeys() async throws {
        let scratch = try ScratchDirectory("trionex-jwks-tests")
        let path = "\(scratch.path)/jwks.json"
        let verifier = TokenVerifier(source: .file(path), revocations: nil, now: { [clock] in clock.now }, logger: quiet)
        try server.add("a")
        let token = try await token("a")
        await #expect(throws: DependencyFailure.self) { try await verifier.verify(token) }
        #expect(ask(verifier, token) == .needsKeys)
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify("e30.e30.AA") }
        try server.publish(at: path)
        try await TrionexTesting.eventually("the keys are found") { (try? await verifier.verify(token)) != nil }
        try FileManager.default.removeItem(atPath: scratch.path)
    }

    @Test("keys of other kinds, for other uses, without a name or too weak are passed over")
    func otherKeys() async throws {
        try server.add("a")
        let good = try #require(try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(server.set()))["keys"].array.first)
        func changed(_ name: String, _ value: JSONValue?) throws -> JSONValue {
            guard case .object(var members) = good else { throw AccessFailure.badToken }
            members[name] = value
            return .object(members)
        }
        let weak = Base64URL.encode(Data(repeating: 0xC5, count: 128))
        let keys: [JSONValue] = [
            .object(["kty": "EC", "kid": "e", "crv": "P-256", "x": "AA", "y": "AA"]), .object(["kty": "new", "kid": "n"]), .object([:]),
            try changed("use", "enc"), try changed("alg", "PS256"), try changed("kid", nil), try changed("kid", ""),
            try changed("n", .string(weak)), try changed("n", "***"), try changed("e", nil), good, try changed("n", .string(weak)),
        ]
        let set = try PublicKeySet(JSONEncoder().encode(JSONValue.object(["keys": .array(keys)])))
        #expect(set.keys.map(\.id) == ["a"])
    }

    // MARK: - Attacks

    @Test("a token with any of its characters changed is refused")
    func mutations() async throws {
        try server.add("a")
        let verifier = verifier()
        let good = try await token("a")
        _ = try await verifier.verify(good)
        var random = SeededGenerator(state: 1)
        let characters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \u{0}é".utf8)
        for _ in 0..<1_500 {
            var bytes = Array(good.utf8)
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes[place] = characters.randomElement(using: &random) ?? 0
            case 1: bytes.insert(characters.randomElement(using: &random) ?? 0, at: place)
            default: bytes.remove(at: place)
            }
            if bytes == Array(good.utf8) { continue }
            let verdict = Answer(bytes.withUnsafeBytes { verifier.verifyNow($0, at: clock.seconds) })
            #expect(verdict == .refused(.badToken), "\(String(decoding: bytes, as: UTF8.self))")
        }
        #expect(ask(verifier, good) == .caller)
    }

    @Test("a signature by another key of the same name, none at all, or one made with the public key is refused")
    func forgeries() async throws {
        try server.add("a")
        let other = KeyServer()
        try other.add("a")
        let verifier = verifier()
        _ = try await verifier.verify(try await token("a"))
        let claims = TestTenant().owner.claims(issuedAt: clock.now)
        #expect(ask(verifier, try await other.sign(claims, with: "a")) == .refused(.badToken))
        let payload = Base64URL.encode(try JSONEncoder().encode(claims))
        for algorithm in ["none", "None", "HS256", "PS256", "ES256", "RS512"] {
            let header = Base64URL.encode(Data(#"{"alg":"\#(algorithm)","typ":"JWT","kid":"a"}"#.utf8))
            for signature in ["AA", "", Base64URL.encode(Data(count: 256))] {
                #expect(ask(verifier, "\(header).\(payload).\(signature)") == .refused(.badToken))
            }
        }
        let critical = try await server.sign(claims, with: "a", ["crit": .array([.string("exp")])])
        #expect(ask(verifier, critical) == .refused(.badToken))
    }

    @Test("100,000 distinct bad tokens leave nothing behind, ask for keys no more than the pause allows, and good ones stay known")
    func flood() async throws {
        try server.add("a")
        let verifier = verifier()
        let good = try await token("a")
        _ = try await verifier.verify(good)
        let header = Base64URL.encode(Data(#"{"alg":"RS256","kid":"a"}"#.utf8))
        let signature = Base64URL.encode(Data(repeating: 0x5A, count: 256))
        for index in 0..<100_000 {
            let text =
                switch index % 50 {
                case 0: "\(header).\(index).\(signature)"
                case 1..<10: "\(Base64URL.encode(Data(#"{"alg":"RS256","kid":"\#(index)"}"#.utf8))).e30.\(signature)"
                case 10..<20: "\(header)\(index).e30.AA"
                default: "x\(index).e30.AA"
                }
            // A flood lasts: from time to time one of them makes it ask for keys.
            if index % 10_000 == 0 { clock.advance(5) }
            if ask(verifier, text) == .needsKeys { _ = try? await verifier.verify(text) }
        }
        #expect(verifier.remembered == 1)
        #expect((2...12).contains(server.asked))
        #expect(ask(verifier, good) == .caller)
    }

    @Test("as many tokens as the limit are remembered, whatever comes, and those in use stay")
    func bounds() async throws {
        try server.add("a")
        let used = try await verifier().verified(try await token("a"))
        var cache = TokenCache(limit: 100)
        var random = SeededGenerator(state: 3)
        _ = cache.insert(used)
        for index in 0..<10_000 {
            let digest = withUnsafeBytes(of: (index, random.next())) { TokenDigest(of: $0) }
            let token = VerifiedToken(caller: used.caller, expires: 0, digest: digest, key: used.key, checked: 0)
            _ = cache.insert(token)
            #expect(cache.find(digest) === token)
            #expect(cache.count <= 100)
            if index % 20 == 0 { #expect(cache.find(used.digest) === used) }
        }
    }
}
