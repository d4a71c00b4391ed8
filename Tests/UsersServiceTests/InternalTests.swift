import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@Suite struct InternalTests {
    @Test("a registration makes the organization and its owner, and announces both")
    func registers() async throws {
        let company = try await Company.found()
        let claims = try await company.register().decode(PersonClaims.self)
        #expect(claims.userID == company.tenant.owner.id)
        #expect(claims.organization.id == company.tenant.id)
        #expect(claims.organization.slug == company.slug)
        #expect(claims.organization.plan == "starter")
        #expect(claims.roles == ["owner"])
        #expect(claims.permissions == ["*"])
        let events = try await company.events()
        #expect(events.map(\.type) == [OrganizationCreated.type, UserCreated.type, MemberAdded.type])
        #expect(events[0].payload["createdBy"].string == company.tenant.owner.id.description)
        #expect(try await company.audit().map { $0["action"] } == ["users.organization.create"])
    }

    @Test("the same registration again answers the same and changes and announces nothing")
    func repeated() async throws {
        let company = try await Company.found()
        let first = try await company.register(), second = try await company.register(name: "Another name")
        #expect(first.status == 200)
        #expect(second.status == 200)
        #expect(first.json == second.json)
        #expect(try await company.events().count == 3)
    }

    @Test("the same registration many times at once is one registration")
    func concurrent() async throws {
        let host = try await TestHost.start(Users.self)
        let mark = UUID().uuidString.lowercased().prefix(13)
        let company = Company(host: host, tenant: TestTenant(), slug: "engines-\(mark)", email: "ada.\(mark)@example.org")
        let answers = try await withThrowingTaskGroup(of: TestResponse.self) { group in
            for _ in 0..<8 { group.addTask { try await company.register() } }
            return try await group.reduce(into: [TestResponse]()) { $0.append($1) }
        }
        #expect(answers.allSatisfy { $0.status == 200 }, "\(answers.map(\.status))")
        #expect(Set(answers.map(\.text)).count == 1)
        #expect(try await company.events().count == 3)
    }

    @Test("a slug belongs to one organization, and a refused registration leaves nothing")
    func slugTaken() async throws {
        let first = try await Company.found()
        let second = Company(host: first.host, tenant: TestTenant(), slug: first.slug, email: "x@example.org")
        let response = try await second.register()
        #expect(response.status == 409)
        #expect(response.problem == "slug-taken")
        #expect(try await second.events().isEmpty)
        #expect(try await second.owner().get("/api/v1/organizations/\(second.tenant.id)").status == 404)
    }

    @Test(
        "words of the platform's own, and what fits no DNS label, are no slugs",
        arguments: ["api", "www", "a", String(repeating: "x", count: 64)])
    func badSlugs(_ slug: String) async throws {
        let host = try await TestHost.start(Users.self)
        let company = Company(host: host, tenant: TestTenant(), slug: slug, email: "x@example.org")
        let response = try await company.register()
        #expect(response.status == 400)
        #expect(response.badFields == ["/organizationSlug"])
    }

    @Test("claims are given for the organization named by id or slug, and for the oldest when none is named")
    func claims() async throws {
        let company = try await Company.found(), other = try await Company.found()
        try await other.join(company.tenant.owner, role: "editor")
        let client = try await company.host.client(service: .auth)
        let path = "/internal/v1/people/\(company.tenant.owner.id)/claims"
        func claims(_ organization: String?) async throws -> PersonClaims {
            try await client.get(path + (organization.map { "?organization=\($0)" } ?? "")).decode(PersonClaims.self)
        }
        #expect(try await claims(nil).organization.id == company.tenant.id)
        #expect(try await claims(company.slug).roles == ["owner"])
        for name in [other.slug, other.tenant.id.description] {
            let there = try await claims(name)
            #expect(there.organization.id == other.tenant.id)
            #expect(there.roles == ["editor"])
            #expect(there.permissions == BuiltInRole.editor.permissions)
        }
        let third = try await Company.found()
        for name in [third.slug, third.tenant.id.description, "no-such"] {
            #expect(try await client.get(path + "?organization=\(name)").status == 404)
        }
        #expect(try await client.get("/internal/v1/people/\(UserID.make())/claims").status == 404)
    }

    @Test("no claims while the person or the organization is suspended; another organization still lets them in")
    func suspended() async throws {
        let company = try await Company.found(), other = try await Company.found()
        let user = company.tenant.owner.id
        let client = try await company.host.client(service: .auth)
        let path = "/internal/v1/people/\(user)/claims"
        try await company.host.database.execute("UPDATE people SET status = 'suspended'", as: .service(.users, for: company.tenant.id))
        let refused = try await client.get(path)
        #expect(refused.status == 409)
        #expect(refused.problem == "member-suspended")
        try await other.join(company.tenant.owner, role: "viewer")
        #expect(try await client.get(path).decode(PersonClaims.self).organization.id == other.tenant.id)
        try await company.host.database.execute("UPDATE organizations SET status = 'suspended'", as: .service(.users, for: other.tenant.id))
        #expect(try await client.get(path + "?organization=\(other.slug)").problem == "organization-suspended")
    }

    @Test("whoever is only invited has no claims")
    func invited() async throws {
        let company = try await Company.found()
        let id = try #require(try await company.add()["id"].string)
        let response = try await company.host.client(service: .auth).get("/internal/v1/people/\(id)/claims?organization=\(company.slug)")
        #expect(response.status == 404)
    }

    @Test("an organization says how it stands, in its present plan, whatever its status; one that is none is not found")
    func standing() async throws {
        let company = try await Company.found()
        let client = try await company.host.client(service: .auth)
        let path = "/internal/v1/organizations/\(company.tenant.id)"
        for status in ["active", "suspended", "deleted"] {
            try await company.host.database.execute(
                "UPDATE organizations SET status = \(status), plan = 'business'", as: .service(.users, for: company.tenant.id))
            let found = try await client.get(path).decode(PersonClaims.Organization.self)
            #expect(found.id == company.tenant.id && found.slug == company.slug)
            #expect(found.status == status && found.plan == "business")
        }
        #expect(try await client.get("/internal/v1/organizations/\(TenantID.make())").status == 404)
        #expect(try await client.get("/internal/v1/organizations/no-id").status == 404)
    }

    @Test("an organization is found by its slug")
    func bySlug() async throws {
        let company = try await Company.found()
        let client = try await company.host.client(service: .gateway)
        let found = try await client.get("/internal/v1/organizations/by-slug/\(company.slug)")
        #expect(found.json == ["id": .string(company.tenant.id.description), "slug": .string(company.slug), "status": "active"])
        #expect(try await client.get("/internal/v1/organizations/by-slug/no-such-organization").status == 404)
    }
}
