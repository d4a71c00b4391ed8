import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

/// Tokens die with the rights that they speak of, not when they expire.
@Suite struct AccessEndingTests {
    @Test("a suspended, removed or demoted member's token is dead at once, and of nobody else")
    func members() async throws {
        let company = try await Company.found(), tenant = company.tenant
        for (person, role) in [(tenant.admin, "admin"), (tenant.editor, "editor"), (tenant.viewer, "viewer"), (tenant.user, "user")] {
            try await company.join(person, role: role)
        }
        let owner = try await company.owner()
        let admin = try await company.host.client(tenant.admin), editor = try await company.host.client(tenant.editor)
        let viewer = try await company.host.client(tenant.viewer), user = try await company.host.client(tenant.user)
        #expect(try await owner.patch("/api/v1/users/\(tenant.editor.id)", ["status": "suspended"]).status == 200)
        #expect(try await owner.delete("/api/v1/users/\(tenant.viewer.id)").status == 204)
        #expect(try await owner.patch("/api/v1/users/\(tenant.admin.id)", ["role": "user"]).status == 200)
        // More rights than before take nothing away.
        #expect(try await owner.patch("/api/v1/users/\(tenant.user.id)", ["role": "admin"]).status == 200)
        for dead in [admin, editor, viewer] {
            let answer = try await dead.get("/api/v1/users/me")
            #expect(answer.status == 401)
            #expect(answer.header("www-authenticate") != nil)
        }
        #expect(try await user.get("/api/v1/users/me").status == 200)
        #expect(try await owner.get("/api/v1/users/me").status == 200)
    }

    @Test("when a role shrinks, the tokens of those who have it are dead; when it grows, they live")
    func roles() async throws {
        let company = try await Company.found(), owner = try await company.owner()
        _ = try await owner.post("\(company.path)/roles", ["name": "desk", "permissions": ["users:read", "files:read"]])
        let desk = company.tenant.person(may: "users:read", "files:read")
        try await company.join(desk, role: "desk")
        let client = try await company.host.client(desk)
        #expect(try await owner.patch("\(company.path)/roles/desk", ["permissions": ["users:read", "files:*"]]).status == 200)
        #expect(try await client.get("/api/v1/users").status == 200)
        #expect(try await owner.patch("\(company.path)/roles/desk", ["permissions": ["files:read"]]).status == 200)
        #expect(try await client.get("/api/v1/users").status == 401)
    }

    @Test("another program hears of it too")
    func elsewhere() async throws {
        let company = try await Company.found()
        try await company.join(company.tenant.editor, role: "editor")
        let other = try await TestHost.start(Users.self, environment: ["TRIONEX_HTTP_DRAIN_SECONDS": "1"], following: false)
        let client = try await other.client(company.tenant.editor)
        #expect(try await client.get("/api/v1/users/me").status == 200)
        #expect(try await company.owner().delete("/api/v1/users/\(company.tenant.editor.id)").status == 204)
        try await other.eventually("the token is dead there") {
            try await client.get("/api/v1/users/me").status == 401
        }
        try await other.stop()
    }

    @Test("with auth away the change is made all the same")
    func authAway() async throws {
        let company = try await Company.found()
        let host = try await TestHost.start(Users.self, environment: ["TRIONEX_AUTH_URL": "http://127.0.0.1:9"], following: false)
        try await company.join(company.tenant.editor, role: "editor")
        let client = try await host.client(company.tenant.owner)
        #expect(try await client.patch("/api/v1/users/\(company.tenant.editor.id)", ["status": "suspended"]).status == 200)
        #expect(try await client.post("/api/v1/users", ["email": "new.person@example.org"]).status == 201)
        let reset = try await client.post("/api/v1/users/\(company.tenant.owner.id)/reset-password")
        #expect(reset.status == 503)
        #expect(reset.header("retry-after") != nil)
        try await host.stop()
    }
}
