import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

@Suite("Through the door")
struct DoorTests {
    @Test("A request reaches its service with path, query, method and body as they were, and the service's answer comes back")
    func routing() async throws {
        try await Town.with { town in
            let client = try await town.client()
            let found = try await client.get("/api/v1/search?q=a%20b&limit=2")
            #expect(found.status == 200)
            #expect(found["upstream"] == "rest")
            #expect(found["target"] == "/api/v1/search?q=a%20b&limit=2")
            let posted = try await client.post("/api/v1/products", ["name": "x"], headers: ["x-answer": "201"])
            #expect(posted.status == 201)
            #expect(posted["upstream"] == "content")
            #expect(posted["method"] == "POST")
            #expect(posted["bytes"].int == 12)
            #expect(try await client.get("/api/v1/search", headers: ["x-answer": "418"]).status == 418)
        }
    }

    @Test("What is not routed answers 404 as a problem, and reaches no service")
    func unrouted() async throws {
        try await Town.with { town in
            let client = try await town.client()
            for path in [
                "/", "/internal/v1/service-token", "/metrics", "/health", "/ready", "/openapi.json", "/api/v2/x", "/api/v1/authority",
            ] {
                let answer = try await client.get(path)
                #expect(answer.status == 404, "\(path)")
                #expect(answer.problem == "route-not-found", "\(path)")
                #expect(answer.headers.first(name: "content-type") == "application/problem+json")
                #expect(answer["requestId"].string == answer.headers.first(name: "x-request-id"))
            }
            #expect(town.rest.seen.list.isEmpty && town.content.seen.list.isEmpty)
        }
    }

    @Test("Paths that could be read in two ways answer 400, and reach no service")
    func attacks() async throws {
        try await Town.with { town in
            for path in [
                "/api/v1//users", "//api/v1/users", "/api/v1/content/../users", "/api/v1/content/%2e%2e/users",
                "/api/v1/content%2f..%2fusers",
                "/api/v1/users/%00", "/api/v1/users/%252e%252e/x", "/api/v1/users/..;/x", "/api/v1/..%5c..%5cinternal/v1/x",
                "/api/v1/../../internal/v1/service-token",
            ] {
                let answer = try await rawGet(path, to: town.port)
                #expect(answer.hasPrefix("HTTP/1.1 400"), "\(path)")
                #expect(answer.contains("malformed-path"), "\(path)")
            }
            #expect(town.rest.seen.list.isEmpty && town.content.seen.list.isEmpty)
        }
    }

    @Test("Two lengths, or a length and chunks, never reach a service")
    func smuggling() async throws {
        try await Town.with { town in
            let heads = ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: -1"]
            for head in heads {
                let answer = try await raw(
                    "POST /api/v1/products HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(head)\r\n\r\n"
                        + "0\r\n\r\nGET /internal HTTP/1.1\r\n\r\n",
                    to: town.port)
                #expect(answer.hasPrefix("HTTP/1.1 400") || answer.isEmpty, "\(head): \(answer.prefix(80))")
            }
            #expect(town.content.seen.list.isEmpty)
        }
    }

    @Test("A token that is expired, foreign, unsigned or rubbish is refused, but where anybody may call nobody looks at it")
    func badTokens() async throws {
        try await Town.with { town in
            let person = TestTenant().owner
            let claims = AccessClaims(
                user: person.id, session: person.session, tenant: person.tenant, roles: [], permissions: ["*"], plan: "starter",
                amr: ["pwd"],
                issuedAt: Date(), lifetime: 900)
            let bad = [
                "expired-token": try await person.token(now: Date().addingTimeInterval(-3600)),
                "foreign": try await TestKeys.signForeign(claims),
                "none": try TestKeys.unsigned(claims), "rubbish": "a.b.c", "service": try await TestKeys.serviceToken(.content),
            ]
            for (what, token) in bad {
                for path in ["/api/v1/content/unheard-of", "/api/v1/content/articles/1", "/api/v1/auth/login"] {
                    let answer = try await TestClient(base: town.url, token: token).get(path)
                    #expect(answer.status == 401, "\(what) \(path)")
                    #expect(answer.problem == (what == "expired-token" ? "expired-token" : "bad-token"), "\(what)")
                    #expect(answer.headers.first(name: "www-authenticate")?.contains("invalid_token") == true)
                }
            }
            let basic = try await town.client().get("/api/v1/content/articles/1", headers: ["authorization": "Basic YTpi"])
            #expect(basic.status == 401)
            #expect(town.content.seen.list.isEmpty)
            for (what, token) in bad {
                #expect(try await TestClient(base: town.url, token: token).get("/api/v1/content/open").status == 200, "\(what)")
            }
            #expect(!town.log.all.contains { line in bad.values.contains { line.contains($0.prefix(40)) } })
        }
    }

    @Test("Without a token public operations go through, known others are refused here, unknown ones are left to the service")
    func missingToken() async throws {
        try await Town.with { town in
            let client = try await town.client()
            #expect(try await client.get("/api/v1/content/open").status == 200)
            let closed = try await client.get("/api/v1/content/articles/7")
            #expect(closed.status == 401)
            #expect(closed.problem == "not-signed-in")
            #expect(closed.headers.contains(name: "www-authenticate"))
            #expect(try await client.get("/api/v1/content/unheard-of").status == 200)
            #expect(try await client.get("/api/v1/content/articles/7", headers: ["x-api-key": "trx_x"]).status == 200)
            let signedIn = try await town.client(TestTenant().viewer).get("/api/v1/content/articles/7")
            #expect(signedIn.status == 200)
            #expect(signedIn["headers"]["authorization"].string?.hasPrefix("Bearer ") == true)
        }
    }

    @Test("OAuth clients may sign in with name and password, at the OAuth endpoints alone")
    func basic() async throws {
        try await Town.with { town in
            let answer = try await town.client().post("/oauth2/token", [:], headers: ["authorization": "Basic YTpi"])
            #expect(answer.status == 200)
            #expect(answer["headers"]["authorization"] == "Basic YTpi")
        }
    }

    @Test("Headers that a service might trust are the gateway's own; what belongs to one connection stays there")
    func headers() async throws {
        try await Town.with { town in
            let answer = try await town.client().get(
                "/api/v1/search",
                headers: [
                    "x-tenant-id": "evil", "x-user-id": "evil", "x-forwarded-for": "6.6.6.6", "x-forwarded-host": "evil",
                    "x-real-ip": "6.6.6.6",
                    "forwarded": "for=6.6.6.6", "x-internal-secret": "evil", "x-http-method-override": "DELETE", "te": "trailers",
                    "connection": "x-hop", "x-hop": "1", "x-kept": "yes", "x-tenant-slug": "acme", "accept-language": "de",
                ])
            let seen = answer["headers"]
            #expect(seen["x-forwarded-for"] == "127.0.0.1")
            #expect(seen["x-forwarded-proto"] == "http")
            #expect(seen["x-forwarded-host"].string?.hasPrefix("127.0.0.1") == true)
            #expect(seen["x-kept"] == "yes" && seen["accept-language"] == "de" && seen["x-tenant-slug"] == "acme")
            for name in [
                "x-tenant-id", "x-user-id", "x-real-ip", "forwarded", "x-internal-secret", "x-http-method-override", "te", "x-hop",
            ] {
                #expect(seen[name].isNull, "\(name)")
            }
            #expect(!answer.text.contains("6.6.6.6"))
        }
    }

    @Test("Every answer has the security headers; a service's own policy stays, its name and its CORS do not")
    func answerHeaders() async throws {
        try await Town.with { town in
            let client = try await town.client()
            for path in ["/api/v1/search", "/nowhere", "/api/v1/content/articles/1"] {
                let headers = try await client.get(path).headers
                #expect(headers.first(name: "x-content-type-options") == "nosniff")
                #expect(headers.first(name: "content-security-policy")?.contains("frame-ancestors 'none'") == true)
                #expect(headers.first(name: "referrer-policy") == "no-referrer")
                #expect(!headers.contains(name: "strict-transport-security"))
            }
            let own = try await client.get("/api/v1/content/headers").headers
            #expect(own.first(name: "content-security-policy") == "sandbox")
            #expect(own.first(name: "etag") == "\"v1\"")
            for name in ["server", "access-control-allow-origin", "x-internal-detail"] { #expect(!own.contains(name: name), "\(name)") }
        }
    }

    @Test("Behind a trusted proxy that speaks TLS, HSTS is said and the client is whom the proxy saw")
    func trustedProxy() async throws {
        try await Town.with(["TRIONEX_TRUSTED_PROXIES": "127.0.0.0/8"]) { town in
            let answer = try await town.client().get(
                "/api/v1/search", headers: ["x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"])
            #expect(answer.headers.first(name: "strict-transport-security")?.contains("max-age=31536000") == true)
            #expect(answer["headers"]["x-forwarded-for"] == "198.51.100.7")
            #expect(answer["headers"]["x-forwarded-proto"] == "https")
        }
    }

    @Test("A sane request id is kept and passed on, another is replaced; a trace is continued, or begun")
    func requestIdentity() async throws {
        try await Town.with { town in
            let client = try await town.client()
            let kept = try await client.get("/api/v1/search", headers: ["x-request-id": "my-request-0001"])
            #expect(kept.headers.first(name: "x-request-id") == "my-request-0001")
            #expect(kept["headers"]["x-request-id"] == "my-request-0001")
            let replaced = try await client.get("/api/v1/search", headers: ["x-request-id": "a b"])
            #expect(replaced.headers.first(name: "x-request-id") != "a b")
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            let traced = try await rawGet("/api/v1/search", ["traceparent: \(parent)"], to: town.port)
            #expect(traced.contains("\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-"))
            #expect(!traced.contains(parent))
            let begun = try await rawGet("/api/v1/search", to: town.port)
            #expect(begun.contains("\"traceparent\":\"00-"))
        }
    }

    @Test("Pages of allowed origins may call and are told so by a preflight; pages of others are not")
    func crossOrigin() async throws {
        try await Town.with(["TRIONEX_CORS_ORIGINS": "https://console.example.org, https://other.example.org"]) { town in
            let client = try await town.client()
            func preflight(_ origin: String) async throws -> TestResponse {
                try await client.send(
                    .OPTIONS, "/api/v1/content/articles/1", bytes: nil,
                    headers: ["origin": origin, "access-control-request-method": "PUT", "access-control-request-headers": "authorization"])
            }
            let allowed = try await preflight("https://console.example.org")
            #expect(allowed.status == 204)
            #expect(allowed.headers.first(name: "access-control-allow-origin") == "https://console.example.org")
            #expect(allowed.headers.first(name: "access-control-allow-methods")?.contains("PUT") == true)
            #expect(allowed.headers.first(name: "access-control-allow-headers")?.contains("Idempotency-Key") == true)
            let refused = try await preflight("https://evil.example.org")
            #expect(!refused.headers.contains(name: "access-control-allow-origin"))
            #expect(!refused.headers.contains(name: "access-control-allow-methods"))
            for path in ["/api/v1/search", "/api/v1/content/articles/1", "/nowhere"] {
                let answer = try await client.get(path, headers: ["origin": "https://console.example.org"])
                #expect(answer.headers.first(name: "access-control-allow-origin") == "https://console.example.org", "\(path)")
                #expect(answer.headers.first(name: "vary")?.contains("Origin") == true)
                #expect(answer.headers.first(name: "access-control-expose-headers")?.contains("RateLimit") == true)
                let evil = try await client.get(path, headers: ["origin": "https://evil.example.org"])
                #expect(!evil.headers.contains(name: "access-control-allow-origin"), "\(path)")
            }
            #expect(town.content.seen.list.isEmpty)
        }
    }

    @Test("Naming another organization than the token's is refused, logged as a security event and counted")
    func tenantMismatch() async throws {
        try await Town.with(["TRIONEX_SERVICE_SECRET": "between-programs"]) { town in
            let person = TestTenant().owner
            // The upstream of this test knows organizations by slugs that spell their ids.
            let own = person.tenant.description
            let client = try await town.client(person)
            #expect(try await client.get("/api/v1/search", headers: ["x-tenant-slug": own]).status == 200)
            for slug in [TenantID.make().description, "no-such-organization", "NOT A SLUG"] {
                let answer = try await client.get("/api/v1/search", headers: ["x-tenant-slug": slug])
                #expect(answer.status == 403)
                #expect(answer.problem == "tenant-mismatch")
            }
            #expect(town.log.all.filter { $0.contains("cross-tenant-attempt") }.count == 3)
            let anonymous = try await town.client().get("/api/v1/search", headers: ["x-tenant-slug": "anything"])
            #expect(anonymous.status == 200)
        }
    }

    @Test("Health and metrics answer on the administration port, and name every service")
    func administration() async throws {
        let admin = try Ports.free()
        try await Town.with(["TRIONEX_ADMIN_PORT": "\(admin)"]) { town in
            let client = TestClient(base: "http://127.0.0.1:\(admin)", token: nil)
            #expect(try await client.get("/health").status == 200)
            let ready = try await client.get("/ready")
            #expect(ready.status == 200)
            #expect(ready["dependencies"]["content"]["status"] == "up")
            _ = try await town.client().get("/api/v1/content/open")
            #expect(try await client.get("/metrics").text.contains("route=\"GET /api/v1/content/open\""))
        }
    }

    @Test("The document of the whole and the page that shows it are served; the page loads nothing from elsewhere")
    func documents() async throws {
        try await Town.with { town in
            let client = try await town.client()
            let document = try await client.get("/api/v1/openapi.json")
            #expect(document["openapi"] == "3.1.0")
            #expect(!document["paths"]["/api/v1/content/open"].isNull)
            #expect(!document["paths"]["/api/v1/files"].isNull)
            let page = try await client.get("/docs")
            #expect(page.headers.first(name: "content-type") == "text/html; charset=utf-8")
            #expect(page.headers.first(name: "content-security-policy")?.contains("script-src 'self'") == true)
            #expect(!page.text.contains("http://") && !page.text.contains("https://"))
            #expect(try await client.get("/docs/document.js").text.contains("openapi.json"))
            #expect(try await client.get("/docs/hub.css").status == 200)
            #expect(try await client.head("/docs").body.isEmpty)
        }
    }
}
