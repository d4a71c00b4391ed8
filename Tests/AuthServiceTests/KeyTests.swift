import AuthService
import Contracts
import Crypto
import Foundation
import JWTKit
import NIOHTTP1
import ServiceKit
import Synchronization
import TestKit
import Testing

/// A clock that stands until it is told to go on.
private final class Clock: Sendable {
    private let seconds: Mutex<TimeInterval>

    init(_ start: TimeInterval) { seconds = Mutex(start) }

    @Sendable func now() -> Date { Date(timeIntervalSince1970: seconds.withLock { $0 }) }
    func advance(_ by: TimeInterval) { seconds.withLock { $0 += by } }
}

@Suite struct KeyTests {
    private func directory() -> String { NSTemporaryDirectory() + "trionex-key-test-\(UUID().uuidString)/keys" }

    @Test("the published keys have no private part, may be cached, and are named by their thumbprint")
    func published() async throws {
        let stack = try await AuthStack.shared.value
        let response = try await stack.auth.client(token: nil).get("/.well-known/jwks.json")
        #expect(response.status == 200)
        #expect(response.headers.first(name: "cache-control") == "public, max-age=300")
        #expect(!response["keys"].array.isEmpty)
        for key in response["keys"].array {
            guard case .object(let members) = key else { throw Unexpected(answer: response.text) }
            #expect(Set(members.keys) == ["kty", "use", "alg", "kid", "n", "e"])
            #expect(key["alg"] == "RS256")
            let canonical = #"{"e":"\#(key["e"].string ?? "")","kty":"RSA","n":"\#(key["n"].string ?? "")"}"#
            #expect(key["kid"].string == Base64URL.encode(Data(SHA256.hash(data: Data(canonical.utf8)))))
            #expect(Base64URL.decode(key["n"].string ?? "")?.count == 256)
        }
        #expect(!response.text.contains("PRIVATE"))
    }

    @Test("any JWT library verifies our tokens with the published keys")
    func verifies() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let keys = JWTKeyCollection()
        try await keys.add(jwksJSON: try await stack.auth.client(token: nil).get("/.well-known/jwks.json").text)
        let claims = try await keys.verify(person.access, as: AccessClaims.self)
        #expect(claims.sub == person.user.description)
    }

    @Test("a key is made on the first start, readable by nobody else, and kept")
    func keptKey() throws {
        let directory = directory()
        let first = try KeyRing.open(directory, logger: .silent)
        let second = try KeyRing.open(directory, logger: .silent)
        #expect(first.keyID == second.keyID)
        #expect(first.document == second.document)
        let files = FileManager.default
        let names = try files.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".pem") }
        #expect(names.count == 1)
        func mode(_ path: String) throws -> Int? { try files.attributesOfItem(atPath: path)[.posixPermissions] as? Int }
        #expect(try mode("\(directory)/\(names[0])") == 0o600)
        #expect(try mode(directory) == 0o700)
    }

    @Test("a new key is published at once, and signs by itself when nobody can have keys from before it any more")
    func publishedFirst() async throws {
        let directory = directory(), clock = Clock(1_768_473_000)
        let first = try KeyRing.open(directory, now: clock.now, logger: .silent).keyID
        clock.advance(3_600)
        try KeyRing.add(to: directory, now: clock.now())
        let ring = try KeyRing.open(directory, now: clock.now, logger: .silent)
        let published = try JSON.decode(JSONValue.self, from: ring.document)["keys"].array.compactMap { $0["kid"].string }
        #expect(published.count == 2)
        #expect(published[0] == first)
        let claims = AccessClaims(service: .users, issuedAt: Date(), lifetime: 60)
        func signer() async throws -> String? { TokenParts.header(try await ring.sign(claims))["kid"].string }
        #expect(try await signer() == first)
        clock.advance(TimeInterval(KeyRing.cacheSeconds) - 1)
        #expect(try await signer() == first)
        clock.advance(1)
        #expect(try await signer() == published[1])
        #expect(ring.keyID == published[1])
        // With its predecessor taken away a key has nothing to wait for.
        try KeyRing.add(to: directory, now: clock.now())
        for name in try FileManager.default.contentsOfDirectory(atPath: directory).filter({ $0.hasSuffix(".pem") }).sorted().dropLast() {
            try FileManager.default.removeItem(atPath: "\(directory)/\(name)")
        }
        let alone = try KeyRing.open(directory, now: clock.now, logger: .silent)
        #expect(!published.contains(alone.keyID))
        #expect(TokenParts.header(try await alone.sign(claims))["kid"].string == alone.keyID)
    }

    @Test("of two keys that are known the newest signs and both are published")
    func rotation() async throws {
        let directory = directory()
        let before = try KeyRing.open(directory, now: { Date(timeIntervalSince1970: 1_768_473_000) }, logger: .silent)
        try KeyRing.add(to: directory, now: Date(timeIntervalSince1970: 1_768_476_600))
        let after = try KeyRing.open(directory, logger: .silent)
        #expect(after.keyID != before.keyID)
        let published = try JSON.decode(JSONValue.self, from: after.document)["keys"].array.map { $0["kid"].string }
        #expect(published == [before.keyID, after.keyID])
        let claims = AccessClaims(service: .users, issuedAt: Date(), lifetime: 60)
        #expect(TokenParts.header(try await after.sign(claims))["kid"].string == after.keyID)
        // A token of the older key is still good.
        let verifier = TokenVerifier(source: .keys { after.publicKeys }, revocations: nil, logger: .silent)
        let caller = try await verifier.verify(try await before.sign(claims))
        #expect(caller.principal == .service(.users))
    }

    @Test("many that start at once on an empty directory share one key")
    func startedAtOnce() async throws {
        let directory = directory()
        let ids = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<6 { group.addTask { try KeyRing.open(directory, logger: .silent).keyID } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(ids.count == 1)
    }

    @Test("a file that is no key stops the start with a sentence that names it")
    func brokenKey() throws {
        let directory = directory()
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Data("rubbish".utf8).write(to: URL(filePath: directory + "/key-1.pem"))
        #expect { try KeyRing.open(directory, logger: .silent) } throws: { "\($0)".contains("key-1.pem") }
    }
}

@Suite struct ServiceTokenTests {
    private func ask(_ host: TestHost, _ service: String, _ secret: String) async throws -> TestResponse {
        try await host.client(token: nil).post("/internal/v1/service-token", ["service": .string(service), "secret": .string(secret)])
    }

    @Test("with the secret a program gets a token that opens internal calls, and those alone")
    func grants() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let response = try await ask(stack.auth, "gateway", AuthStack.secret)
        #expect(response.status == 200)
        let token = try #require(response["token"].string)
        let expires = try #require(response["expiresAt"].string.flatMap { Timestamp.date($0) })
        #expect((500...610).contains(expires.timeIntervalSinceNow))
        let slug = try await stack.users.client(token: token).get("/internal/v1/organizations/by-slug/\(person.newcomer.slug)")
        #expect(slug.status == 200)
        #expect(slug["id"].string == person.tenant.description)
        #expect(try await stack.users.client(token: token).get("/api/v1/users").status == 403)
        #expect(try await stack.auth.client(token: token).get("/api/v1/auth/me").status == 401)
    }

    @Test("a wrong secret, no secret and an unknown program are refused alike")
    func refuses() async throws {
        let stack = try await AuthStack.shared.value
        for (service, secret) in [
            ("gateway", "wrong"), ("gateway", ""), ("gateway", AuthStack.secret + " "), ("intruder", AuthStack.secret),
        ] {
            let response = try await ask(stack.auth, service, secret)
            #expect(response.status == 401)
            #expect(response.problem == "wrong-service-secret")
        }
    }

    @Test("without a secret in the settings nobody gets a token")
    func notConfigured() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_SERVICE_SECRET": ""])
        #expect(try await ask(host, "gateway", "").status == 401)
        #expect(try await ask(host, "gateway", AuthStack.secret).status == 401)
        try await host.stop()
    }
}
