import Contracts
import Crypto
import Foundation
import JWTKit
import NIOHTTP1
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct KeyTests {
    @Test("the published keys have no private part, may be cached, and are named by their thumbprint")
    func published() async throws {
        let stack = try await AuthStack.shared.value
        let response = try await stack.auth.client(token: nil).get("/.well-known/jwks.json")
        #expect(response.status == 200)
        #expect(response.headers.first(name: "cache-control") == "public, max-age=300, stale-if-error=3600")
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

    @Test("how long it takes to refuse a secret does not tell how much of it was right")
    func constantTime() throws {
        let secret = String(repeating: "s", count: 44)
        let near = String(secret.dropLast()) + "x", far = "x" + String(secret.dropFirst())
        func time(_ presented: String) -> Duration {
            ContinuousClock().measure { for _ in 0..<50 { #expect(!KeyRoutes.matches(presented, secret)) } }
        }
        _ = (time(near), time(far))
        var nears: [Duration] = [], fars: [Duration] = []
        for _ in 0..<60 {
            nears.append(time(near))
            fars.append(time(far))
        }
        let middle = (nears.sorted()[30], fars.sorted()[30])
        #expect((0.7...1.43).contains(middle.0 / middle.1), "\(middle)")
        #expect(KeyRoutes.matches(secret, secret))
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
