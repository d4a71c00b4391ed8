import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

@Suite struct RoleTests {
    private func make(
        _ company: Company, _ name: String = "reviewer", _ permissions: [JSONValue] = ["content:read", "content:publish"]
    ) async throws -> TestResponse {
        try await company.owner().post(
            "\(company.path)/roles", ["name": .string(name), "description": "Reads and publishes", "permissions": .array(permissions)])
    }

    @Test("a role of the organization's own is made, read by id and name, listed beside those that ship, changed and deleted")
    func lives() async throws {
        let company = try await Company.found(), client = try await company.owner()
        let made = try await make(company)
        #expect(made.status == 201, "\(made.text)")
        let id = try #require(made["id"].string)
        #expect(made["builtIn"] == false)
        #expect(try await client.get("\(company.path)/roles/\(id)").json == made.json)
        #expect(try await client.get("\(company.path)/roles/reviewer").json == made.json)
        let names = try await client.get("\(company.path)/roles")["data"].array.compactMap { $0["name"].string }
        #expect(names == ["owner", "admin", "developer", "editor", "user", "viewer", "reviewer"])
        let tag = try #require(made.header("etag"))
        let changed = try await client.patch("\(company.path)/roles/\(id)", ["description": "Publishes"], headers: ["if-match": tag])
        #expect(changed["description"] == "Publishes")
        #expect(changed["permissions"] == ["content:read", "content:publish"])
        #expect(try await client.patch("\(company.path)/roles/\(id)", ["name": "late"], headers: ["if-match": tag]).status == 412)
        let replaced = try await client.put("\(company.path)/roles/\(id)", ["name": "lector", "permissions": ["content:read"]])
        #expect(replaced["name"] == "lector")
        #expect(replaced["description"] == "")
        #expect(try await client.delete("\(company.path)/roles/\(id)").status == 204)
        #expect(try await client.get("\(company.path)/roles/\(id)").status == 404)
        #expect(
            try await company.audit().suffix(4).map { $0["action"] } == [
                "users.role.create", "users.role.update", "users.role.update", "users.role.delete",
            ])
    }

    @Test("roles that ship stay as they are, and their names are taken")
    func builtIn() async throws {
        let company = try await Company.found(), client = try await company.owner()
        #expect(try await make(company, "editor").problem == "built-in-role")
        #expect(try await client.patch("\(company.path)/roles/admin", ["permissions": ["*"]]).problem == "built-in-role")
        #expect(try await client.delete("\(company.path)/roles/viewer").problem == "built-in-role")
        #expect(try await make(company, "superadmin").badFields == ["/name"])
        #expect(try await make(company).status == 201)
        #expect(try await make(company).problem == "role-name-taken")
    }

    @Test("permissions that no endpoint asks for are refused, each by name")
    func unknownPermissions() async throws {
        let company = try await Company.found()
        let refused = try await make(company, "odd", ["content:read", "content:fly", "moon:read", "read", "*:write", "content:*"])
        #expect(refused.badFields == ["/permissions/1", "/permissions/2", "/permissions/3"])
        #expect(try await make(company, "none", []).badFields == ["/permissions"])
    }

    @Test("the catalogue knows every permission that an endpoint of the platform asks for")
    func catalogue() throws {
        var asked: Set<String> = []
        for service in ["Auth", "Users", "Content", "Assistant", "Analytics", "Notifications", "Files", "Search"] {
            let data = try Data(contentsOf: URL(filePath: Repository.path("Services/\(service)/openapi.json")))
            guard case .object(let paths) = try JSON.decode(JSONValue.self, from: data)["paths"] else { continue }
            for case .object(let operations) in paths.values {
                for operation in operations.values { if let text = operation["x-permission"].string { asked.insert(text) } }
            }
        }
        let permissions = asked.compactMap { text in
            Permission(text.split(separator: ",").first.map(String.init) ?? text)
        }
        #expect(permissions.count >= 15)
        for permission in permissions { #expect(PermissionCatalog.knows(permission), "\(permission) is not in the catalogue") }
    }

    @Test("what a member may do follows from their role now, in claims and in what they change")
    func rights() async throws {
        let company = try await Company.found()
        #expect(try await make(company, "people-desk", ["users:read", "users:write"]).status == 201)
        let desk = company.tenant.person(may: "users:read", "users:write")
        try await company.join(desk, role: "people-desk")
        try await company.join(company.tenant.viewer, role: "viewer")
        let auth = try await company.host.client(service: .auth)
        func claims() async throws -> PersonClaims {
            try await auth.get("/internal/v1/people/\(desk.id)/claims?organization=\(company.slug)").decode(PersonClaims.self)
        }
        #expect(try await claims().roles == ["people-desk"])
        #expect(try await claims().permissions == ["users:read", "users:write"])
        let client = try await company.host.client(desk)
        #expect(try await client.patch("/api/v1/users/\(desk.id)", ["jobTitle": "Desk"]).status == 200)
        // Less than before, while the token still says the old.
        #expect(try await company.owner().patch("\(company.path)/roles/people-desk", ["permissions": ["users:read"]]).status == 200)
        #expect(try await claims().permissions == ["users:read"])
        let refused = try await client.patch("/api/v1/users/\(desk.id)", ["jobTitle": "Minister"])
        #expect(refused.status == 401 || refused.problem == "missing-permission", "\(refused.text)")
    }

    @Test("nobody makes a role, gives one, or takes one away, that is wider than their own")
    func neverWider() async throws {
        let company = try await Company.found()
        _ = try await make(company, "people-desk", ["users:*", "roles:write", "organizations:read"])
        _ = try await make(company, "greeter", ["users:read"])
        let desk = company.tenant.person(may: "users:*", "roles:write", "organizations:read")
        try await company.join(desk, role: "people-desk")
        try await company.join(company.tenant.editor, role: "editor")
        let client = try await company.host.client(desk)
        for permissions: [JSONValue] in [["*"], ["content:read"], ["*:read"], ["users:read", "files:read"]] {
            let refused = try await client.post("\(company.path)/roles", ["name": "mine", "permissions": .array(permissions)])
            #expect(refused.status == 403)
            #expect(refused.problem == "wider-than-yours")
        }
        #expect(try await client.post("\(company.path)/roles", ["name": "mine", "permissions": ["users:read"]]).status == 201)
        #expect(try await client.patch("\(company.path)/roles/mine", ["permissions": ["content:read"]]).problem == "wider-than-yours")
        // Neither to themselves nor to others.
        for refused in [
            try await client.patch("/api/v1/users/\(desk.id)", ["role": "admin"]),
            try await client.patch("/api/v1/users/\(company.tenant.editor.id)", ["role": "mine"]),
            try await client.patch("/api/v1/users/\(company.tenant.editor.id)", ["status": "suspended"]),
            try await client.delete("/api/v1/users/\(company.tenant.editor.id)"),
            try await client.post("/api/v1/users", ["email": "friend@example.org", "role": "admin"]),
            try await client.post("\(company.path)/invitations", ["email": "friend@example.org", "role": "editor"]),
        ] {
            #expect(refused.status == 403, "\(refused.text)")
            #expect(refused.problem == "wider-than-yours")
        }
        #expect(try await client.post("/api/v1/users", ["email": "greeter@example.org", "role": "greeter"]).status == 201)
        #expect(try await client.patch("/api/v1/users/\(company.tenant.editor.id)", ["jobTitle": "Editor"]).status == 200)
    }

    @Test("a role in use is not deleted nor renamed, and says how many have it")
    func inUse() async throws {
        let company = try await Company.found(), client = try await company.owner()
        _ = try await make(company)
        try await company.join(company.tenant.editor, role: "reviewer")
        _ = try await company.add(["role": "reviewer"])
        let refused = try await client.delete("\(company.path)/roles/reviewer")
        #expect(refused.status == 409)
        #expect(refused.problem == "role-in-use")
        #expect(refused["detail"].string?.hasPrefix("2 ") == true)
        #expect(try await client.patch("\(company.path)/roles/reviewer", ["name": "lector"]).problem == "role-in-use")
        for person in try await client.get("/api/v1/users?role=reviewer")["data"].array {
            #expect(try await client.patch("/api/v1/users/\(person["id"].string ?? "")", ["role": "user"]).status == 200)
        }
        #expect(try await client.patch(company.path, ["settings": ["defaultRole": "reviewer"]]).status == 200)
        #expect(try await client.delete("\(company.path)/roles/reviewer").problem == "default-role")
        #expect(try await client.patch(company.path, ["settings": ["defaultRole": nil]]).status == 200)
        #expect(try await client.delete("\(company.path)/roles/reviewer").status == 204)
    }

    @Test("a role that is being given is not deleted at the same moment")
    func race() async throws {
        for _ in 0..<5 {
            let company = try await Company.found(), client = try await company.owner()
            _ = try await make(company)
            try await company.join(company.tenant.editor, role: "editor")
            async let given = client.patch("/api/v1/users/\(company.tenant.editor.id)", ["role": "reviewer"])
            async let deleted = client.delete("\(company.path)/roles/reviewer")
            let (one, two) = try await (given, deleted)
            #expect([200, 400].contains(one.status) && [204, 409].contains(two.status), "\(one.status) \(two.status)")
            #expect((one.status == 200) != (two.status == 204))
        }
    }

    @Test("a role is the organization's own: another sees nothing of it, and cannot use it")
    func foreign() async throws {
        let company = try await Company.found(), other = try await Company.found()
        let id = try #require(try await make(company)["id"].string)
        let stranger = try await other.owner()
        #expect(try await stranger.get("\(other.path)/roles/\(id)").status == 404)
        #expect(try await stranger.get("\(company.path)/roles").status == 404)
        #expect(try await stranger.delete("\(other.path)/roles/\(id)").status == 404)
        #expect(try await stranger.post("/api/v1/users", ["email": "x@example.org", "role": "reviewer"]).badFields == ["/role"])
    }
}
