import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

/// What becomes of credentials where nobody asked for them, and of cookies where somebody else's page sent them.
@Suite("Credentials at the door")
struct CredentialDoorTests {
    private func expired() async throws -> String {
        try await TestTenant().owner.token(now: Date().addingTimeInterval(-7_200), lifetime: 900)
    }

    @Test("With an expired token one can still sign in, and the token goes nowhere; a good one goes on", arguments: ["auth", "content"])
    func expiredToken(service: String) async throws {
        try await SharingUpstream.with(["TRIONEX_SERVICE_SECRET": "between-programs"]) { town, _ in
            try await eventually("the gateway knows what anybody may call") {
                try await town.client().get("/api/v1/openapi.json").text.contains("/api/v1/auth/login")
            }
            func call(_ headers: [String: String]) async throws -> TestResponse {
                guard service == "auth" else { return try await town.client().get("/api/v1/content/open", headers: headers) }
                return try await town.client().post("/api/v1/auth/login", ["email": .string("\(UUID())@a.test")], headers: headers)
            }
            let old = try await expired(), good = try await TestTenant().owner.token()
            for headers in [
                ["authorization": "Bearer \(old)"], ["authorization": "Bearer nonsense"], ["authorization": "Basic YTpi"],
                ["authorization": "Bearer trx_wrong"], ["x-api-key": "trx_wrong"],
                ["authorization": "Bearer \(good)", "x-api-key": "trx_wrong"],
            ] {
                let answer = try await call(headers)
                #expect(answer.status == 200)
                #expect(answer["authorization"] == .null && answer["key"] == .null, "\(headers.keys)")
            }
            #expect(try await call(["authorization": "Bearer \(good)"])["authorization"].string == "Bearer \(good)")
        }
    }

    private static let file = """
        cors:
          origins: ["https://console.test"]
          tenants:
            0197b1c0-0000-7000-8000-000000000001: ["https://one.test"]
            0197b1c0-0000-7000-8000-000000000002: ["https://two.test"]
        """

    @Test("A page opens a WebSocket with a cookie only from an origin that the token's organization allows")
    func sockets() async throws {
        try await LimitDoorTests.with(
            file: Self.file, ["TRIONEX_SERVICE_SECRET": "between-programs", "TRIONEX_PUBLIC_DOMAIN": "example.test"]
        ) { town in
            let one = try #require(TenantID("0197b1c0-0000-7000-8000-000000000001"))
            let token = try await TestPerson(.owner, in: one).token()
            func open(_ origin: String?, host: String = "localhost", _ more: [String] = []) async throws -> String {
                let fields =
                    [
                        "GET /api/v1/realtime HTTP/1.1", "Host: \(host)", "Connection: Upgrade", "Upgrade: websocket",
                        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Cookie: trionex_session=\(token)",
                    ] + (origin.map { ["Origin: \($0)"] } ?? []) + more
                let socket = try RawConnection(port: town.port)
                socket.send(fields.joined(separator: "\r\n") + "\r\n\r\n")
                for _ in 0..<100 {
                    let answer = try await socket.receive(patience: .milliseconds(100))
                    if !answer.isEmpty { return String(answer.prefix(12)) }
                }
                return ""
            }
            for origin in ["https://one.test", "https://console.test", "http://localhost"] {
                #expect(try await open(origin) != "HTTP/1.1 403", "\(origin)")
            }
            for origin in ["https://two.test", "https://evil.test", "null", nil] {
                #expect(try await open(origin) == "HTTP/1.1 403", "\(origin ?? "none")")
            }
            // To name the other organization beside it does not help: it is held against the token.
            let other = "0197b1c0-0000-7000-8000-000000000002"
            #expect(try await open("https://two.test", ["X-Tenant-Slug: \(other)"]) == "HTTP/1.1 403")
            #expect(try await open("https://two.test", host: "\(other).example.test") == "HTTP/1.1 403")
        }
    }

    @Test("A change by a cookie from another organization's page is refused though it knows the token of the form")
    func changes() async throws {
        try await LimitDoorTests.with(file: Self.file) { town in
            let one = try #require(TenantID("0197b1c0-0000-7000-8000-000000000001"))
            let token = try await TestPerson(.owner, in: one).token()
            func change(_ origin: String) async throws -> Int {
                try await town.client().put(
                    "/api/v1/search", [:],
                    headers: ["cookie": "trionex_session=\(token); trionex_csrf=abc", "x-csrf-token": "abc", "origin": origin]
                ).status
            }
            #expect(try await change("https://one.test") == 200)
            #expect(try await change("https://console.test") == 200)
            #expect(try await change("https://two.test") == 403)
            #expect(try await change("https://evil.test") == 403)
        }
    }

    @Test("Where a cookie may say for whom the service answers, one organization's page sees nothing, whatever it says of itself")
    func cookies() async throws {
        try await LimitDoorTests.with(
            file: Self.file, ["TRIONEX_SERVICE_SECRET": "between-programs", "TRIONEX_PUBLIC_DOMAIN": "example.test"]
        ) { town in
            let id = "0197b1c0-0000-7000-8000-000000000001"
            let token = try await TestPerson(.owner, in: try #require(TenantID(id))).token()
            func sees(
                _ path: String, _ fields: String..., origin: String = "https://one.test", host: String = "localhost"
            ) async throws -> Bool {
                let head = ["GET \(path) HTTP/1.1", "Host: \(host)", "Origin: \(origin)", "Connection: close"] + fields
                let answer = try await raw(head.joined(separator: "\r\n") + "\r\n\r\n", to: town.port)
                #expect(answer.hasPrefix("HTTP/1.1 200"), "\(path): \(answer.prefix(40))")
                return answer.contains("Access-Control-Allow-Origin: \(origin)\r\n")
            }
            let cookie = "Cookie: trionex_sign_in=of-somebody", bearer = "Authorization: Bearer \(token)"
            for path in ["/oauth2/authorize", "/api/v1/content/open"] {
                #expect(try await sees(path))
                #expect(try await sees(path, "X-Tenant-Slug: \(id)"))
                #expect(try await !sees(path, cookie))
                #expect(try await !sees(path, cookie, "X-Tenant-Slug: \(id)"))
                #expect(try await !sees(path, cookie, host: "\(id).example.test"))
                // A token of the page's own says nothing of whom the cookie is of.
                #expect(try await !sees(path, cookie, bearer))
                #expect(try await sees(path, cookie, origin: "https://console.test"))
            }
            // Here the token alone says for whom the answer is.
            #expect(try await sees("/api/v1/content/articles/1", cookie, bearer))
            #expect(try await sees("/api/v1/content/articles/1", "Cookie: trionex_session=\(token)"))
        }
    }

    @Test("A page may see the answers of the organization that the subdomain names, and of no other")
    func subdomains() async throws {
        try await LimitDoorTests.with(
            file: """
                cors: { tenants: { acme: ["https://acme.test"] } }
                """, ["TRIONEX_PUBLIC_DOMAIN": "example.test"]
        ) { town in
            func allowed(_ host: String) async throws -> Bool {
                let answer = try await raw(
                    "GET /api/v1/content/open HTTP/1.1\r\nHost: \(host)\r\nOrigin: https://acme.test\r\nConnection: close\r\n\r\n",
                    to: town.port)
                #expect(answer.hasPrefix("HTTP/1.1 200"))
                return answer.contains("Access-Control-Allow-Origin: https://acme.test")
            }
            let own = try await allowed("acme.example.test")
            #expect(own)
            #expect(try await !allowed("other.example.test"))
            #expect(try await allowed("example.test"))
        }
    }
}
