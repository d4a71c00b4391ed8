import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@Suite struct OrganizationTests {
    @Test("a member reads their organization; another's is not there")
    func reads() async throws {
        let company = try await Company.found(), other = try await Company.found()
        let mine = try await company.owner().get("/api/v1/organizations/\(company.tenant.id)")
        #expect(mine.status == 200)
        #expect(mine["slug"].string == company.slug)
        #expect(mine["plan"] == "starter")
        #expect(mine["maxUsers"] == 10)
        #expect(mine["storageLimitGb"] == 10)
        #expect(mine["status"] == "active")
        #expect(try await company.owner().get("/api/v1/organizations/\(other.tenant.id)").status == 404)
        #expect(try await company.owner().patch("/api/v1/organizations/\(other.tenant.id)", ["name": "Taken over"]).status == 404)
        #expect(try await company.owner().get("/api/v1/organizations/no-id").status == 404)
    }

    @Test("name and slug can be changed, which is announced; a stale If-Match is refused")
    func patches() async throws {
        let company = try await Company.found()
        let client = try await company.owner()
        let path = "/api/v1/organizations/\(company.tenant.id)"
        let tag = try #require(try await client.get(path).headers.first(name: "etag"))
        let changed = try await client.patch(path, ["name": "Difference Engines"], headers: ["if-match": tag])
        #expect(changed.status == 200)
        #expect(changed["name"] == "Difference Engines")
        #expect(changed["slug"].string == company.slug)
        #expect(try await client.patch(path, ["name": "Later"], headers: ["if-match": tag]).status == 412)
        #expect(try await client.patch(path, ["slug": .string(company.slug + "-2")]).status == 200)
        #expect(try await client.patch(path, ["name": nil]).badFields == ["/name"])
        #expect(try await client.patch(path, ["plan": "enterprise"]).badFields == ["/plan"])
        #expect(try await company.events().suffix(2).map(\.type) == [OrganizationUpdated.type, OrganizationUpdated.type])
        #expect(try await company.audit().last?["action"] == "users.organization.update")
    }

    @Test("another organization's slug is refused")
    func slugTaken() async throws {
        let company = try await Company.found(), other = try await Company.found()
        let response = try await company.owner().patch("/api/v1/organizations/\(company.tenant.id)", ["slug": .string(other.slug)])
        #expect(response.status == 409)
        #expect(response.problem == "slug-taken")
    }

    @Test("the list has the organizations somebody belongs to, with their role, and no others")
    func mine() async throws {
        let company = try await Company.found(), second = try await Company.found(), third = try await Company.found()
        try await second.join(company.tenant.owner, role: "viewer")
        _ = third
        let client = try await company.owner()
        let list = try await client.get("/api/v1/organizations")
        #expect(list["data"].array.compactMap { $0["id"].string } == [second.tenant.id.description, company.tenant.id.description])
        #expect(list["data"].array.compactMap { $0["role"].string } == ["viewer", "owner"])
        let page = try await client.get("/api/v1/organizations?limit=1")
        let cursor = try #require(page["nextCursor"].string)
        let rest = try await client.get("/api/v1/organizations?limit=1&cursor=\(cursor)")
        #expect(rest["data"][0]["id"].string == company.tenant.id.description)
        #expect(rest["nextCursor"].isNull)
        // A key is of one organization, and learns nothing of its owner's others.
        let person = company.tenant.owner
        let key = company.host.client(
            token: try await TestKeys.sign(
                AccessClaims(
                    user: person.id, session: nil, tenant: person.tenant, roles: [], permissions: ["*"], plan: "starter", amr: [],
                    issuedAt: Date(), lifetime: 900, apiKey: .make())))
        #expect(
            try await key.get("/api/v1/organizations")["data"].array.compactMap { $0["id"].string } == [company.tenant.id.description])
        let nobody = try await company.host.client(company.tenant.viewer)
        #expect(try await nobody.get("/api/v1/organizations")["data"].array.isEmpty)
    }

    @Test("members are listed, given another role and removed through their organization")
    func members() async throws {
        let company = try await Company.found(), other = try await Company.found()
        try await company.join(company.tenant.editor, role: "editor")
        let client = try await company.owner()
        let path = "/api/v1/organizations/\(company.tenant.id)/members"
        let list = try await client.get(path)
        #expect(list["data"].array.count == 2)
        #expect(list["data"][0]["userId"].string == company.tenant.editor.id.description)
        let changed = try await client.patch("\(path)/\(company.tenant.editor.id)", ["role": "viewer"])
        #expect(changed["role"] == "viewer")
        #expect(try await company.events().last?.payload == ["userID": .string(company.tenant.editor.id.description), "role": "viewer"])
        #expect(try await client.delete("\(path)/\(company.tenant.editor.id)").status == 204)
        #expect(try await client.get(path)["data"].array.count == 1)
        #expect(try await client.get("/api/v1/organizations/\(other.tenant.id)/members").status == 404)
        #expect(try await client.delete("/api/v1/organizations/\(other.tenant.id)/members/\(other.tenant.owner.id)").status == 404)
    }
}

@Suite struct IsolationTests {
    @Test("two organizations see nothing of each other, at any endpoint")
    func isolated() async throws {
        let one = try await Company.found(), two = try await Company.found()
        let stranger = try await two.owner()
        let id = try #require(try await one.add(["firstName": "Secret"])["id"].string)
        for response in [
            try await stranger.get("/api/v1/users/\(id)"), try await stranger.put("/api/v1/users/\(id)", ["firstName": "Mine"]),
            try await stranger.patch("/api/v1/users/\(id)", ["firstName": "Mine"]), try await stranger.delete("/api/v1/users/\(id)"),
            try await stranger.get("/api/v1/users/\(one.tenant.owner.id)"),
            try await stranger.patch("/api/v1/users/\(one.tenant.owner.id)", ["role": "viewer"]),
        ] {
            #expect(response.status == 404)
            #expect(!response.text.contains("Secret"))
        }
        #expect(try await stranger.get("/api/v1/users")["data"].array.count == 1)
        #expect(try await stranger.get("/api/v1/users?q=Secret")["data"].array.isEmpty)
        #expect(try await one.owner().get("/api/v1/users/\(id)")["firstName"] == "Secret")
    }

    @Test("the database itself shows no row without, or with another, tenant, and takes none for another")
    func policies() async throws {
        let company = try await Company.found()
        let database = company.host.database
        let people = Query<Int>("SELECT count(*) AS count FROM people", column: "count")
        #expect(try await database.first(people, as: .service(.users, for: company.tenant.id)) == 1)
        #expect(try await database.first(people, as: .service(.users, for: .make())) == 0)
        #expect(try await database.first(people, as: .anonymous()) == 0)
        await #expect {
            try await database.execute(
                """
                INSERT INTO people (tenant_id, user_id, email, role, status, created_at, updated_at)
                VALUES (\(company.tenant.id), \(UUID()), 'intruder@example.org', 'owner', 'active', now(), now())
                """, as: .service(.users, for: .make()))
        } throws: { ($0 as? PostgresFailure)?.isDenied == true }
    }

    @Test("every endpoint refuses nobody, the powerless, strangers and forged tokens")
    func sweep() async throws {
        let company = try await Company.found()
        let id = try #require(try await company.add()["id"].string)
        // The stranger is a member of nothing, and so may change nobody: that a member of another organization finds nobody to
        // change is held above.
        let changes: Set<String> = Set(["PUT", "PATCH", "DELETE"].map { "\($0) /api/v1/users/{id}" })
            .union(["POST /api/v1/users/{id}/reset-password"])
        #expect(changes.isSubset(of: company.host.endpoints.map(\.label)))
        for object in [id, company.tenant.id.description] {
            try await EndpointSweep.check(
                company.host, objects: ["id": object, "userID": id, "slug": company.slug], skipForeign: changes)
        }
    }
}
