import Contracts
import Foundation
import TestKit
import Testing

@testable import ServiceKit

@Suite("What a token says")
struct TokenReaderTests {
    /// The claims as the standard library reads them, and what they mean as API.md says it: the yardstick.
    private struct Reference: Equatable {
        let caller: Caller?
        let times: [Int]

        init?(_ json: Data) {
            guard let claims = try? JSONDecoder().decode(AccessClaims.self, from: json), claims.iss == "trionex-auth-service" else {
                return nil
            }
            times = [claims.exp, claims.nbf, claims.iat]
            caller = Self.caller(claims)
        }

        init?(reading json: Data) {
            guard let claims = json.withUnsafeBytes({ try? TokenClaims(json: $0) }) else { return nil }
            times = [claims.expires, claims.notBefore, claims.issued]
            caller = claims.caller
        }

        private static func caller(_ claims: AccessClaims) -> Caller? {
            if claims.aud == "trionex-internal" {
                guard claims.sub.hasPrefix("service:") else { return nil }
                return .service(ServiceName(rawValue: String(claims.sub.dropFirst(8))), for: .platform)
            }
            guard claims.aud == "trionex-platform", let org = claims.org else { return nil }
            let principal: Caller.Principal
            if let key = claims.key {
                guard let owner = UserID(claims.sub) else { return nil }
                principal = .apiKey(key, owner: owner)
            } else if let client = claims.clientID, claims.sub == client.description {
                principal = .client(client)
            } else if let user = UserID(claims.sub), claims.sid != nil {
                principal = .person(user)
            } else {
                return nil
            }
            return Caller(
                principal, tenant: org, roles: claims.roles, permissions: PermissionSet(claims.permissions), session: claims.sid,
                plan: claims.plan, methods: claims.amr ?? [],
                authenticatedAt: claims.authTime.map { Date(timeIntervalSince1970: TimeInterval($0)) },
                issuedAt: Date(timeIntervalSince1970: TimeInterval(claims.iat)), impersonator: claims.act?.sub, client: claims.clientID)
        }
    }

    private static let times = Date(timeIntervalSince1970: 1_800_000_000)

    /// One of each kind, with what makes reading hard.
    private static func samples() -> [AccessClaims] {
        let client = ClientID.make()
        return [
            AccessClaims(
                user: .make(), session: .make(), tenant: .make(), roles: ["owner"], permissions: ["*"], plan: "starter",
                amr: ["pwd", "otp"], issuedAt: times, lifetime: 900),
            AccessClaims(
                user: .make(), session: .make(), tenant: .make(), roles: ["Prüferin \u{1F600}", "a \"quoted\" \\ one\n", ""],
                permissions: ["content:*", "*:read", Permission(resource: "größe", action: "write")], plan: "pro/\u{0}", amr: [],
                issuedAt: times, lifetime: 900, authTime: times.addingTimeInterval(-50), impersonator: .make(), client: client,
                scope: "openid content:read"),
            AccessClaims(
                user: .make(), session: nil, tenant: .make(), roles: [], permissions: ["content:read"], plan: "free", amr: [],
                issuedAt: times, lifetime: 60, apiKey: .make()),
            AccessClaims(
                client: client, tenant: .make(), permissions: ["search:read", "files:read"], plan: "starter", scope: nil, issuedAt: times,
                lifetime: 600),
            AccessClaims(service: .users, issuedAt: times, lifetime: 600),
        ]
    }

    @Test("is read as the standard library reads it, whatever the order, the spaces and the further claims")
    func samples() throws {
        for claims in Self.samples() {
            let encoder = JSONEncoder()
            for formatting: JSONEncoder.OutputFormatting in [[], [.prettyPrinted], [.sortedKeys, .withoutEscapingSlashes]] {
                encoder.outputFormatting = formatting
                let json = try encoder.encode(claims)
                let expected = try #require(Reference(json))
                #expect(Reference(reading: json) == expected)
                let further = try JSONDecoder().decode([String: JSONValue].self, from: json).merging([
                    "nonce": "n", "cnf": .object(["jwk": .array([.object(["deep": .array([.null, .bool(true), .integer(-7)])])])]),
                    "ratio": .number(1.5e-7), "azp": .null,
                ]) { own, _ in own }
                encoder.outputFormatting = formatting
                #expect(Reference(reading: try encoder.encode(further)) == expected)
            }
        }
    }

    @Test("with a claim missing, null or of another kind, is refused exactly when the standard library refuses it")
    func structure() throws {
        var (accepted, refused) = (0, 0)
        let others: [JSONValue] = [
            .null, .string("x"), .string(""), .integer(0), .integer(-1), .bool(true), .array([]), .array([.string("a:b")]),
            .array([.integer(1)]), .array([.null]), .object([:]), .object(["sub": .string(UserID.make().description)]),
            .string(UserID.make().description), .string(UserID.make().description.uppercased()), .string("trionex-internal"),
            .string("service:files"), .array([.string("*")]), .array([.string("a:b:c")]), .array([.string(":")]), .array([.string("a")]),
        ]
        for claims in Self.samples() {
            let members = try JSONDecoder().decode([String: JSONValue].self, from: JSONEncoder().encode(claims))
            let names = Set(members.keys).union(["sid", "org", "amr", "plan", "act", "key", "client_id", "scope", "auth_time"])
            for name in names {
                for other in [nil] + others.map({ Optional($0) }) {
                    var changed = members
                    changed[name] = other
                    let json = try JSONEncoder().encode(changed)
                    let (expected, read) = (Reference(json), Reference(reading: json))
                    #expect(expected == read, "\(name) = \(String(describing: other))")
                    if read == nil { refused += 1 } else { accepted += 1 }
                }
            }
        }
        #expect(accepted > 100 && refused > 100)
    }

    @Test("never means anything that the standard library does not read from the same bytes")
    func mutations() throws {
        var random = SeededGenerator(state: 20_261_121)
        let alphabet = Array("{}[]:,\"\\ntrue0123456789.eE-+ \u{0}\t\u{1F}u00dé\u{FEFF}".utf8)
        let samples = try Self.samples().map { Array(try JSONEncoder().encode($0)) }
        var accepted = 0
        for round in 0..<6_000 {
            var bytes = samples[round % samples.count]
            for _ in 0...Int.random(in: 0...2, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[place] = alphabet.randomElement(using: &random) ?? 0
                case 2: bytes.insert(alphabet.randomElement(using: &random) ?? 0, at: place)
                case 3: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...8, using: &random)))
                default:
                    let other = Int.random(in: 0..<bytes.count, using: &random)
                    bytes.insert(contentsOf: bytes[min(place, other)..<max(place, other)].prefix(60), at: place)
                }
                if bytes.isEmpty { bytes = [0] }
            }
            let json = Data(bytes)
            guard let read = Reference(reading: json), read.caller != nil else { continue }
            accepted += 1
            #expect(Reference(json) == read, "\(String(decoding: bytes, as: UTF8.self))")
        }
        #expect(accepted > 300)
    }

    @Test(
        "is refused when it can be read in two ways, or is no JSON",
        arguments: [
            #"{"sub":"a","sub":"b"}"#, #"{"exp":1,"exp":2}"#, #"{"\u0065xp":1}"#, "{\"exp\":1", "{\"exp\":1}}", "[]", "", "null", "{,}",
            #"{"x":1,}"#, #"{"x":01}"#, #"{"x":+1}"#, #"{"x":.5}"#, #"{"x":1.}"#, #"{"x":1e}"#, #"{"x":tru}"#, #"{"x":"\x"}"#,
            #"{"x":"\u12"}"#, #"{"x":"\ud800"}"#, #"{"x":"\udc00"}"#, #"{"x":"\ud800\u0041"}"#, "{\"x\":\"\u{1}\"}", "{\"x\":\"",
            #"{"x" 1}"#, #"{x:1}"#, #"{"x":1 "y":2}"#, #"{"exp":1.0}"#, #"{"exp":1e3}"#, #"{"exp":1234567890123456789}"#, #"{"exp":-}"#,
            "\u{FEFF}{}",
        ])
    func malformed(text: String) throws {
        // The same members in front of good ones: nothing but the fault is wrong with it.
        let good = String(decoding: try JSONEncoder().encode(Self.samples()[0]), as: UTF8.self)
        #expect(Reference(reading: Data(good.utf8)) != nil)
        #expect(Reference(reading: Data(text.utf8)) == nil)
        if text.hasPrefix("{\""), text.hasSuffix("}") {
            var members = try JSONDecoder().decode([String: JSONValue].self, from: Data(good.utf8))
            members["exp"] = text.contains("exp\":") ? nil : members["exp"]
            members["sub"] = text.contains("sub\":") ? nil : members["sub"]
            let rest = String(decoding: try JSONEncoder().encode(members), as: UTF8.self)
            #expect(Reference(reading: Data("\(text.dropLast()),\(rest.dropFirst())".utf8)) == nil)
        }
    }

    @Test("is refused when it nests without end, and nothing overflows")
    func depth() {
        for text in [String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000), "{\"a\":\(nested(40))}"] {
            #expect(Reference(reading: Data(text.utf8)) == nil)
        }
        func nested(_ count: Int) -> String { String(repeating: "[", count: count) + String(repeating: "]", count: count) }
    }

    // MARK: - Form

    @Test("base64url means the bytes that the standard library says, and is written in one way only")
    func base64() {
        var random = SeededGenerator(state: 7)
        for length in 0..<200 {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(decoded(Base64URL.encode(Data(bytes))) == bytes)
        }
        for bad in ["A", "AAAAA", "AA=", "AA==", "A+AA", "A/AA", "AA A", "AAA\n", "AAAé", "AB", "AAB", "A\u{0}AA", "~AAA"] {
            #expect(decoded(bad) == nil, "\(bad)")
        }
    }

    private func decoded(_ text: String) -> [UInt8]? {
        Array(text.utf8).withUnsafeBytes { TokenReader.decoding($0) { Array($0) } }
    }

    private func keyID(_ header: String) -> String? {
        Array("\(Base64URL.encode(Data(header.utf8))).e30.AA".utf8).withUnsafeBytes { TokenReader($0)?.keyID }
    }

    @Test("a header names a key, with RS256 and nothing that must be understood")
    func header() {
        #expect(keyID(#"{"alg":"RS256","kid":"a"}"#) == "a")
        #expect(keyID(#"{ "kid" : "a\u0062", "typ":"JWT","jwk":{"kty":"oct"},"x5u":"http://x", "alg":"RS256" } "#) == "ab")
        for bad in [
            #"{"alg":"none","kid":"a"}"#, #"{"alg":"HS256","kid":"a"}"#, #"{"alg":"rs256","kid":"a"}"#, #"{"alg":"RS256"}"#,
            #"{"kid":"a"}"#, #"{"alg":"RS256","kid":""}"#, #"{"alg":"RS256","kid":1}"#, #"{"alg":"RS256","kid":null}"#,
            #"{"alg":"RS256","kid":"a","crit":["exp"]}"#, #"{"alg":"RS256","kid":"a","crit":[]}"#,
            #"{"alg":"none","alg":"RS256","kid":"a"}"#, #"{"alg":"RS256","kid":"a","kid":"b"}"#, #"{"alg":["RS256"],"kid":"a"}"#,
            #"{"alg":"RS256","kid":"a"}x"#, "{\"alg\":\"RS256\",\"kid\":\"\(String(repeating: "k", count: 257))\"}",
        ] { #expect(keyID(bad) == nil, "\(bad)") }
    }

    @Test("a token has three parts", arguments: ["", ".", "..", "...", "a", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c."])
    func parts(text: String) {
        #expect(Array(text.utf8).withUnsafeBytes { TokenReader($0) == nil })
    }
}
