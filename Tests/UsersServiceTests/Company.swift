import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import UsersService

/// An organization that is registered with users, as auth would: its owner is the tenant's owner.
struct Company: Sendable {
    let host: TestHost
    let tenant: TestTenant
    let slug: String
    let email: String

    static func found(slug: String? = nil, name: String = "Analytical Engines") async throws -> Company {
        let host = try await TestHost.start(Users.self)
        let tenant = TestTenant()
        let mark = UUID().uuidString.lowercased().prefix(13)
        let company = Company(host: host, tenant: tenant, slug: slug ?? "engines-\(mark)", email: "ada.\(mark)@example.org")
        let response = try await company.register(name: name)
        guard response.status == 200 else { throw Unexpected(answer: "\(response.status) \(response.text)") }
        return company
    }

    var registration: JSONValue { registration(name: "Analytical Engines") }

    func registration(name: String) -> JSONValue {
        [
            "email": .string(email), "firstName": "Ada", "lastName": "Lovelace", "organizationID": .string(tenant.id.description),
            "organizationName": .string(name), "organizationSlug": .string(slug), "gdprConsent": true, "marketingConsent": false,
        ]
    }

    func register(name: String = "Analytical Engines") async throws -> TestResponse {
        try await host.client(service: .auth).put("/internal/v1/registrations/\(tenant.owner.id)", registration(name: name))
    }

    func owner() async throws -> TestClient { try await host.client(tenant.owner) }

    /// Adds a member who has joined, as accepting an invitation would.
    func join(_ person: TestPerson, role: String) async throws {
        let email = "\(person.id)@example.org", now = Date()
        try await host.database.execute(
            """
            INSERT INTO people (tenant_id, user_id, email, role, status, created_at, updated_at)
            VALUES (\(tenant.id), \(person.id), \(email), \(role), 'active', \(now), \(now))
            """, as: .service(.users, for: tenant.id))
    }

    /// Adds somebody over the interface and gives the answer.
    func add(_ fields: [String: JSONValue] = [:]) async throws -> TestResponse {
        var body: [String: JSONValue] = ["email": .string("person.\(UUID().uuidString.lowercased())@example.org")]
        body.merge(fields) { $1 }
        return try await owner().post("/api/v1/users", .object(body))
    }

    /// As a platform admin would.
    func setSeats(_ seats: Int) async throws {
        try await host.database.execute("UPDATE organizations SET max_users = \(seats)", as: .service(.users, for: tenant.id))
    }

    var path: String { "/api/v1/organizations/\(tenant.id)" }

    /// What the newest letter to an address says, opened with the key of the tests.
    func letter(to email: String) async throws -> Letter {
        try await host.letter(to: email, of: tenant.id)
    }

    func events() async throws -> [(type: String, payload: JSONValue)] {
        try await host.outbox(tenant.id).filter { $0.type != AuditEntryRecorded.type }
    }

    func audit() async throws -> [JSONValue] {
        try await host.outbox(tenant.id).filter { $0.type == AuditEntryRecorded.type }.map(\.payload)
    }
}

struct Unexpected: Error, CustomStringConvertible {
    let answer: String
    var description: String { "unexpected answer: \(answer)" }
}

extension TestHost {
    /// The newest letter to an address that waits in an organization's letters.
    func letter(to email: String, of tenant: TenantID) async throws -> Letter {
        let sealing = try host.foundations.sealing()
        let rows = try await database.query(
            Query("SELECT id, sealed FROM letters ORDER BY id DESC") { row in SealedLetter(id: try row("id"), sealed: try row("sealed")) },
            as: .service(.users, for: tenant))
        for row in rows {
            let plain = try sealing.open(row.sealed, context: "letter \(row.id.uuidString.lowercased())")
            if let letter = try JSON.decode(Letter?.self, from: plain), letter.to == email { return letter }
        }
        throw Unexpected(answer: "no letter to \(email)")
    }

    private struct SealedLetter: Sendable {
        let id: UUID
        let sealed: Data
    }
}

extension Letter {
    /// The token behind the link.
    var token: String { String(data["link"]?.split(separator: "=").last ?? "") }
}

extension TestPerson {
    /// A client whose token says that the person proved who they are just now, or some time ago.
    func recent(at host: TestHost, roles: [String]? = nil, ago: TimeInterval = 1) async throws -> TestClient {
        let now = Date()
        return host.client(
            token: try await TestKeys.sign(
                AccessClaims(
                    user: id, session: session, tenant: tenant, roles: roles ?? self.roles, permissions: permissions, plan: "starter",
                    amr: ["pwd"], issuedAt: now, lifetime: 900, authTime: now.addingTimeInterval(-ago))))
    }
}
