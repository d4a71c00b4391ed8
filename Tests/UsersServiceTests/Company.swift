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
