import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

/// A program that has objects, on the schema of content.
private enum Lodge: Program {
    static let name = ServiceName.content
    static let port = 0
    static let summary = "Objects of organizations."

    private struct KeyView: View {
        let id: String
    }

    enum Refusal: String, Failure {
        case ownersOnly = "owners-only"
        var kind: FailureKind { .forbidden }
    }

    static func assemble(_ settings: NoSettings, _ house: Foundations) throws -> Assembly {
        let database = house.database
        return Assembly(
            endpoints: [
                Endpoints("lodge") {
                    Endpoint.get("keys/:id", "Read an object", may: "keys:read") { request -> KeyView in
                        let id = try request.path("id", as: ArticleID.self)
                        let query: Query<ArticleID> = Query("SELECT id FROM articles WHERE id = \(id)", column: "id")
                        guard let found = try await database.first(query, as: request.caller) else { throw ResourceFailure.notFound }
                        return KeyView(id: found.description)
                    }
                    Endpoint.delete("keys/:id", "Refuses whoever asks", may: .signedIn) { _ -> NoContent in throw Refusal.ownersOnly }
                    Endpoint.post("tokens/:token", "Refuses whoever asks", may: .signedIn) { _ -> NoContent in throw Refusal.ownersOnly }
                }
            ], owned: [OwnedObjects("articles")])
    }
}

@Suite("What a caller was refused")
struct AccessWatchTests {
    private static let shared = Task { try await TestHost.start(Lodge.self, environment: ["TRIONEX_LOG_LEVEL": "info"]) }

    private func lodge() async throws -> TestHost { try await Self.shared.value }

    private func refusals(_ host: TestHost, _ tenant: TenantID) async throws -> [JSONValue] {
        try await host.outbox(tenant).filter { $0.type == AuditEntryRecorded.type }.map(\.payload)
    }

    private func object(_ host: TestHost, of tenant: TenantID) async throws -> ArticleID {
        let id = ArticleID.make(), now = Date()
        try await host.database.execute(
            """
            INSERT INTO articles (tenant_id, id, title, slug, content, version, created_at, updated_at)
            VALUES (\(tenant), \(id), 'A title', \("slug-\(id)"), '', 1, \(now), \(now))
            """, as: .service(.content, for: tenant))
        return id
    }

    /// Entries in the platform's own log on objects that this organization was after.
    private func attempts(_ host: TestHost, by tenant: TenantID) async throws -> [JSONValue] {
        try await refusals(host, .platform).filter { $0["changed"]["organization"].string == tenant.description }
    }

    @Test("a missing permission is written down before the answer: who, what, from where")
    func missingPermission() async throws {
        let host = try await lodge(), tenant = TestTenant(), id = UUID().uuidString.lowercased()
        let person = tenant.person(may: "other:read")
        let answer = try await host.client(person).get(
            "/api/v1/lodge/keys/\(id)", headers: ["user-agent": "lodger", "x-request-id": "request-12345"])
        #expect(answer.status == 403)
        let entries = try await refusals(host, tenant.id)
        #expect(entries.count == 1)
        let entry = try #require(entries.first)
        #expect(entry["action"] == "access.refused" && entry["outcome"] == "refused" && entry["riskLevel"] == "medium")
        #expect(entry["resourceID"] == "GET /api/v1/lodge/keys/{id}")
        #expect(entry["actor"].string == "person:\(person.id)" && entry["user"].string == person.id.description)
        #expect(entry["changed"] == ["reason": "missing-permission", "id": .string(id)])
        #expect(entry["userAgent"] == "lodger" && entry["address"] == "127.0.0.1" && entry["requestID"] == "request-12345")
    }

    @Test("so is what a handler refuses; what is in a path and no id is left out, since it may be a secret")
    func handlers() async throws {
        let host = try await lodge(), tenant = TestTenant()
        #expect(try await host.client(tenant.user).delete("/api/v1/lodge/keys/\(UUID())").status == 403)
        #expect(try await host.client(tenant.user).post("/api/v1/lodge/tokens/very-secret-token").status == 403)
        let entries = try await refusals(host, tenant.id)
        #expect(entries.map { $0["changed"]["reason"] } == ["owners-only", "owners-only"])
        #expect(!entries.contains { "\($0)".contains("very-secret-token") })
    }

    @Test("nobody in particular is not written down, nor what is merely not there")
    func others() async throws {
        let host = try await lodge(), tenant = TestTenant()
        #expect(try await host.client(token: nil).get("/api/v1/lodge/keys/\(UUID())").status == 401)
        #expect(try await host.client(tenant.owner).get("/api/v1/lodge/keys/\(UUID())").status == 404)
        #expect(try await refusals(host, tenant.id).isEmpty)
    }

    @Test("a flood makes no flood of entries: they are counted, and the sum is written when the program stops")
    func flood() async throws {
        let host = try await TestHost.start(Lodge.self, environment: ["TRIONEX_LOG_LEVEL": "warning"])
        let tenant = TestTenant(), client = try await host.client(tenant.user)
        for _ in 0..<50 { #expect(try await client.delete("/api/v1/lodge/keys/\(UUID())").status == 403) }
        #expect(try await refusals(host, tenant.id).count == 20)
        // Another caller has entries of their own.
        #expect(try await host.client(tenant.viewer).delete("/api/v1/lodge/keys/\(UUID())").status == 403)
        #expect(try await refusals(host, tenant.id).count == 21)
        try await host.stop()
        let again = try await lodge()
        let sums = try await refusals(again, tenant.id).filter { $0["action"] == "access.refused.more" }
        #expect(sums.count == 1)
        #expect(sums.first?["changed"]["count"] == 30 && sums.first?["actor"].string == "person:\(tenant.user.id)")
    }

    @Test(
        "another organization's object is a security event: a metric, a warning, an entry in the platform's log; the answer is the same"
    )
    func crossTenant() async throws {
        let host = try await lodge(), mine = TestTenant(), theirs = TestTenant()
        let id = try await object(host, of: theirs.id)
        let client = try await host.client(mine.person(may: "keys:read"))
        let before = try await metric(host)
        let foreign = try await client.get("/api/v1/lodge/keys/\(id)"),
            missing = try await client.get("/api/v1/lodge/keys/\(ArticleID.make())")
        #expect(foreign.status == 404 && missing.status == 404)
        #expect(foreign.json["title"] == missing.json["title"] && foreign.json["detail"] == missing.json["detail"])
        try await host.eventually("the attempt is known") { try await attempts(host, by: mine.id).count == 1 }
        let entry = try #require(try await attempts(host, by: mine.id).first, "\(host.log.lines.suffix(5))")
        #expect(entry["action"] == "security.cross-tenant-attempt" && entry["riskLevel"] == "high")
        #expect(entry["changed"]["id"].string == id.description)
        #expect(!"\(entry)".contains(theirs.id.description), "whose it is stays unsaid")
        // In the caller's own log it would say that the object exists.
        #expect(try await refusals(host, mine.id).isEmpty)
        #expect(try await refusals(host, theirs.id).isEmpty)
        #expect(try await metric(host) >= before + 1)
        let warnings = host.log.lines.filter { $0.contains("cross-tenant-attempt") && $0.contains(mine.id.description) }
        #expect(warnings.count == 1)
        #expect(!warnings.joined().contains(theirs.id.description))
    }

    @Test("one's own object, found or gone, is no event")
    func own() async throws {
        let host = try await lodge(), tenant = TestTenant()
        let id = try await object(host, of: tenant.id)
        let client = try await host.client(tenant.person(may: "keys:read"))
        #expect(try await client.get("/api/v1/lodge/keys/\(id)").status == 200)
        #expect(try await client.get("/api/v1/lodge/keys/\(ArticleID.make())").status == 404)
        try await Task.sleep(for: .milliseconds(300))
        #expect(try await attempts(host, by: tenant.id).isEmpty)
    }

    private func metric(_ host: TestHost) async throws -> Double {
        let page = try await host.client(token: nil).get("/metrics").text
        let line = page.split(separator: "\n").first { $0.hasPrefix("trionex_cross_tenant_attempts_total{service=\"content\"}") }
        return line.flatMap { $0.split(separator: " ").last }.flatMap { Double($0) } ?? -1
    }
}
