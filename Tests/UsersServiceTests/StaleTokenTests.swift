import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

/// A token may live on after what it says has ceased to be so: here rights are taken where nobody hears of it, in the table itself.
/// (That tokens die with the rights: AccessEndingTests.)
@Suite struct StaleTokenTests {
    private enum Change {
        case suspended, removed
        case role(String)
    }

    private func make(_ person: TestPerson, _ change: Change, in company: Company) async throws {
        let caller = Caller.service(.users, for: company.tenant.id), id = person.id
        switch change {
        case .suspended:
            try await company.host.database.execute("UPDATE people SET status = 'suspended' WHERE user_id = \(id)", as: caller)
        case .removed: try await company.host.database.execute("DELETE FROM people WHERE user_id = \(id)", as: caller)
        case .role(let role):
            try await company.host.database.execute("UPDATE people SET role = \(role) WHERE user_id = \(id)", as: caller)
        }
    }

    private func expectRefused(_ responses: [TestResponse], _ location: SourceLocation = #_sourceLocation) {
        for response in responses {
            #expect(response.status == 403, "\(response.text)", sourceLocation: location)
            #expect(response.problem == "missing-permission", sourceLocation: location)
        }
    }

    /// Every change there is, by somebody whose token still allows it.
    private func changes(by client: TestClient, in company: Company, of id: UserID) async throws -> [TestResponse] {
        let person = "/api/v1/users/\(id)", organization = "/api/v1/organizations/\(company.tenant.id)"
        return [
            try await client.patch(person, ["status": "active"]), try await client.patch(person, ["role": "owner"]),
            try await client.put(person, ["role": "owner", "status": "active"]), try await client.delete(person),
            try await client.patch("\(organization)/members/\(id)", ["role": "owner"]),
            try await client.delete("\(organization)/members/\(id)"),
            try await client.post("/api/v1/users", ["email": "friend@example.org", "role": "admin"]),
            try await client.patch(organization, ["name": "Taken over"]),
        ]
    }

    @Test("a suspended admin cannot lift their own suspension, nor change anything else")
    func suspended() async throws {
        let company = try await Company.found()
        let admin = company.tenant.admin
        try await company.join(admin, role: "admin")
        let client = try await company.host.client(admin)
        #expect(try await client.patch("/api/v1/users/me", ["firstName": "Ad"]).status == 200)
        let path = "/api/v1/users/\(admin.id)"
        try await make(admin, .suspended, in: company)
        let before = try await company.events().count
        expectRefused(try await changes(by: client, in: company, of: admin.id))
        expectRefused([try await client.patch("/api/v1/users/me", ["firstName": "Minister"])])
        #expect(try await company.owner().get(path)["status"] == "suspended")
        #expect(try await company.events().count == before)
    }

    @Test("a demoted owner cannot make themselves owner again")
    func demoted() async throws {
        let company = try await Company.found()
        let second = TestPerson(.owner, in: company.tenant.id)
        try await company.join(second, role: "owner")
        let client = try await company.host.client(second)
        let path = "/api/v1/users/\(second.id)"
        try await make(second, .role("admin"), in: company)
        // As an admin they still manage people, but make no owner.
        let refused = try await client.patch(path, ["role": "owner"])
        #expect(refused.status == 403)
        #expect(refused.problem == "owners-only")
        #expect(try await client.patch("/api/v1/users/\(company.tenant.owner.id)", ["role": "viewer"]).problem == "owners-only")
        #expect(try await client.post("/api/v1/users", ["email": "f@example.org", "role": "owner"]).problem == "owners-only")
        try await make(second, .role("viewer"), in: company)
        expectRefused(try await changes(by: client, in: company, of: second.id))
        #expect(try await client.patch("/api/v1/users/me", ["firstName": "Vi"]).status == 200)
        #expect(try await company.owner().get(path)["role"] == "viewer")
    }

    @Test("a removed admin manages nobody any more")
    func removed() async throws {
        let company = try await Company.found()
        let admin = company.tenant.admin
        try await company.join(admin, role: "admin")
        try await company.join(company.tenant.editor, role: "editor")
        let client = try await company.host.client(admin)
        let editor = "/api/v1/users/\(company.tenant.editor.id)"
        #expect(try await client.patch(editor, ["role": "viewer"]).status == 200)
        try await make(admin, .removed, in: company)
        expectRefused(try await changes(by: client, in: company, of: company.tenant.editor.id))
        expectRefused(try await changes(by: client, in: company, of: admin.id))
        #expect(try await company.owner().get(editor)["role"] == "viewer")
    }

    @Test("who is being suspended while they change themselves does not undo it")
    func suspendedMeanwhile() async throws {
        let company = try await Company.found()
        let admin = company.tenant.admin
        try await company.join(admin, role: "admin")
        let client = try await company.host.client(admin)
        let path = "/api/v1/users/\(admin.id)", id = admin.id
        let asked = AsyncStream.makeStream(of: Void.self), suspender = company.host.database
        // Holds the row, suspended but not committed, while the admin's own request comes to wait for it.
        let suspension = Task {
            try await suspender.transaction(as: .service(.users, for: company.tenant.id)) { tx in
                try tx.execute("UPDATE people SET status = 'suspended' WHERE user_id = \(id)")
                asked.continuation.yield()
                try tx.execute("SELECT pg_sleep(1)")
            }
        }
        for await _ in asked.stream { break }
        let refused = try await client.patch(path, ["status": "active"])
        try await suspension.value
        expectRefused([refused])
        #expect(try await company.owner().get(path)["status"] == "suspended")
    }
}
