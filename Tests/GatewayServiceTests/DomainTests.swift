import Contracts
import Testing

@testable import GatewayService

@Suite("Rules of the gateway")
struct DomainTests {
    @Test(
        "A path that could be read in two ways is refused",
        arguments: [
            "", "api/v1", "//api/v1/auth", "/api//v1", "/api/v1/../internal/v1", "/api/v1/./auth", "/api/v1/%2e%2e/internal",
            "/api/v1/%2E/x",
            "/api/v1/auth%2flogin", "/api/v1/auth%2Flogin", "/api/v1/auth%5clogin", "/api/v1/auth\\login", "/api/v1/%00",
            "/api/v1/a%0d%0ab",
            "/api/v1/%", "/api/v1/%4", "/api/v1/%zz", "/api/v1/%252e%252e", "/api/v1/..;/internal", "/api/v1/;x", "/api/v1/%ff",
            "/api/v1/a b",
            "/api/v1/ü", "/api/v1/%7f", "*",
        ])
    func refused(path: String) {
        #expect(throws: GatewayFailure.malformedPath) { try RequestPath(path) }
    }

    @Test("A path longer than the limit is refused")
    func tooLong() throws {
        #expect(throws: GatewayFailure.malformedPath) { try RequestPath("/" + String(repeating: "a", count: RequestPath.maximumBytes)) }
    }

    @Test("Honest paths are taken apart and decoded; a slash at the end adds nothing")
    func honest() throws {
        #expect(try RequestPath("/").segments == [])
        #expect(try RequestPath("/api/v1/auth/login/").segments == ["api", "v1", "auth", "login"])
        #expect(try RequestPath("/api/v1/auth/log%69n").segments == ["api", "v1", "auth", "login"])
        #expect(try RequestPath("/.well-known/jwks.json").segments == [".well-known", "jwks.json"])
        #expect(try RequestPath("/api/v1/content/%C3%BCber...x").segments.last == "über...x")
    }

    @Test(
        "Every public prefix goes to its service",
        arguments: [
            ("/api/v1/auth/login", ServiceName.auth), ("/.well-known/jwks.json", .auth), ("/oauth2/token", .auth),
            ("/api/v1/users", .users),
            ("/api/v1/organizations/1", .users), ("/api/v1/consents", .users), ("/api/v1/privacy/requests", .users),
            ("/api/v1/audit-logs", .users),
            ("/api/v1/flags", .users), ("/api/v1/billing/plans", .users), ("/ofrep/v1/evaluate/flags", .users), ("/scim/v2/Users", .users),
            ("/api/v1/content/articles", .content), ("/api/v1/products", .content), ("/api/v1/solutions", .content),
            ("/api/v1/services", .content),
            ("/api/v1/ai/chat", .assistant), ("/api/v1/analytics/events", .analytics), ("/api/v1/notifications", .notifications),
            ("/api/v1/webhooks", .notifications), ("/api/v1/realtime", .notifications), ("/api/v1/files/1", .files),
            ("/api/v1/search", .search),
        ])
    func routed(path: String, service: ServiceName) throws {
        #expect(RoutingTable.platform.service(for: try RequestPath(path)) == service)
    }

    @Test(
        "Nothing else is routed",
        arguments: [
            "/", "/internal/v1/service-token", "/metrics", "/health", "/ready", "/openapi.json", "/api", "/api/v1", "/api/v2/auth",
            "/api/v1/authority",
            "/api/v1/internal", "/API/v1/auth", "/oauth", "/api/v1/usersx",
        ])
    func unrouted(path: String) throws {
        #expect(RoutingTable.platform.service(for: try RequestPath(path)) == nil)
    }

    @Test("A policy is told in the form of the IETF draft")
    func headers() {
        let policy = LimitPolicy(name: "default", quota: 1000, window: 60)
        #expect(policy.header == "\"default\";q=1000;w=60")
    }

    @Test("Only a trusted proxy says who the client is")
    func clientAddress() throws {
        let trusted = [try #require(Network("10.0.0.0/8")), try #require(Network("::1"))]
        func client(_ peer: String, _ forwarded: String?, _ proto: String? = nil) -> ClientAddress {
            ClientAddress(peer: peer, forwardedFor: forwarded, forwardedProto: proto, trusted: trusted)
        }
        #expect(client("203.0.113.9", "1.2.3.4", "https").text == "203.0.113.9")
        #expect(!client("203.0.113.9", "1.2.3.4", "https").isEncrypted)
        #expect(client("10.1.2.3", "1.2.3.4", "https").text == "1.2.3.4")
        #expect(client("10.1.2.3", "1.2.3.4", "https").isEncrypted)
        #expect(client("10.1.2.3", "9.9.9.9, 1.2.3.4, 10.0.0.7").text == "1.2.3.4")
        #expect(client("10.1.2.3", "1.2.3.4, rubbish").text == "10.1.2.3")
        #expect(client("10.1.2.3", nil).text == "10.1.2.3")
        #expect(client("2001:db8:1:2:aaaa::1", nil).limitSubject == client("2001:db8:1:2:bbbb::2", nil).limitSubject)
        #expect(client("2001:db8:1:2::1", nil).limitSubject != client("2001:db8:1:3::1", nil).limitSubject)
        #expect(client("::ffff:192.0.2.1", nil).limitSubject == client("192.0.2.1", nil).limitSubject)
    }

    @Test("Networks are read strictly", arguments: ["10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "", "x", "::/129"])
    func badNetwork(text: String) {
        #expect(Network(text) == nil)
    }

    @Test("An organization is named by the header, and by the label before the public domain")
    func named() {
        #expect(TenantAgreement.named(header: "acme", host: "localhost:8080", domain: nil) == ["acme"])
        #expect(TenantAgreement.named(header: nil, host: "Acme.Example.org:443", domain: "example.org") == ["acme"])
        #expect(TenantAgreement.named(header: nil, host: "www.example.org", domain: "example.org") == [])
        #expect(TenantAgreement.named(header: nil, host: "example.org", domain: "example.org") == [])
        #expect(TenantAgreement.named(header: "a", host: "b.example.org", domain: "example.org") == ["a", "b"])
    }
}
