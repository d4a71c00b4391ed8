import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@Suite struct PeopleTests {
    @Test("a person is added as invited, read back, and announced")
    func adds() async throws {
        let company = try await Company.found()
        let created = try await company.add([
            "firstName": "Grace", "lastName": "Hopper", "role": "editor", "company": "Navy", "jobTitle": "Rear Admiral",
            "phone": "+1 555 0100", "timezone": "America/New_York", "language": "en-US",
        ])
        #expect(created.status == 201)
        let id = try #require(created["id"].string)
        #expect(created.headers.first(name: "location") == "/api/v1/users/\(id)")
        #expect(created["status"] == "invited")
        #expect(created["role"] == "editor")
        let read = try await company.owner().get("/api/v1/users/\(id)")
        #expect(read.status == 200)
        #expect(read.json == created.json)
        #expect(read["timezone"] == "America/New_York")
        #expect(try await company.events().suffix(2).map(\.type) == [UserCreated.type, InvitationSent.type])
        #expect(try await company.audit().last?["action"] == "users.user.create")
        #expect(try await company.audit().last?["actor"].string == "person:\(company.tenant.owner.id)")
    }

    @Test("an address occurs once in an organization, and as often as one likes in others")
    func duplicate() async throws {
        let company = try await Company.found(), other = try await Company.found()
        let fields: [String: JSONValue] = ["email": .string(other.email)]
        #expect(try await company.add(fields).status == 201)
        let second = try await company.add(["email": .string(other.email.uppercased())])
        #expect(second.status == 409)
        #expect(second.problem == "email-taken")
    }

    @Test("every bad field is named at once")
    func badFields() async throws {
        let company = try await Company.found()
        let response = try await company.owner().post(
            "/api/v1/users",
            [
                "email": "nobody", "role": "Emperor!", "phone": "call me", "timezone": "Mars/Olympus", "language": "english",
                "status": "active",
            ])
        #expect(response.status == 400)
        #expect(Set(response.badFields) == ["/email", "/role", "/phone", "/timezone", "/language", "/status"])
    }

    @Test("PUT replaces the profile and keeps rights that are left out")
    func replaces() async throws {
        let company = try await Company.found()
        let id = try #require(try await company.add(["firstName": "Grace", "company": "Navy", "role": "editor"])["id"].string)
        let response = try await company.owner().put("/api/v1/users/\(id)", ["firstName": "Edith", "timezone": "Europe/London"])
        #expect(response.status == 200)
        #expect(response["firstName"] == "Edith")
        #expect(response["company"].isNull)
        #expect(response["timezone"] == "Europe/London")
        #expect(response["role"] == "editor")
        #expect(response["version"] == 2)
        #expect(try await company.events().last?.type == UserUpdated.type)
    }

    @Test("PATCH changes what it names: a value sets, null clears")
    func patches() async throws {
        let company = try await Company.found()
        let id = try #require(
            try await company.add(["firstName": "Grace", "company": "Navy", "timezone": "Europe/London", "role": "user"])["id"].string)
        let response = try await company.owner().patch(
            "/api/v1/users/\(id)", ["company": nil, "lastName": "Hopper", "timezone": nil, "role": "developer"],
            headers: ["content-type": "application/merge-patch+json"])
        #expect(response.status == 200)
        #expect(response["firstName"] == "Grace")
        #expect(response["lastName"] == "Hopper")
        #expect(response["company"].isNull)
        #expect(response["timezone"] == "UTC")
        #expect(response["role"] == "developer")
        let events = try await company.events().suffix(2)
        #expect(events.map(\.type) == [UserUpdated.type, MemberRoleChanged.type])
        #expect(try await company.audit().last?["previous"] == ["role": "user"])
        #expect(try await company.audit().last?["changed"]["role"] == "developer")
        let refused = try await company.owner().patch("/api/v1/users/\(id)", ["role": nil])
        #expect(refused.status == 400)
        #expect(refused.badFields == ["/role"])
    }

    @Test("a change that changes nothing makes no version and no event")
    func nothingChanged() async throws {
        let company = try await Company.found()
        let created = try await company.add(["firstName": "Grace"])
        let id = try #require(created["id"].string)
        let before = try await company.events().count
        let response = try await company.owner().patch("/api/v1/users/\(id)", ["firstName": "Grace"])
        #expect(response.status == 200)
        #expect(response["version"] == 1)
        #expect(try await company.events().count == before)
    }

    @Test("reading gives an ETag; a stale If-Match is refused with 412 on PUT, PATCH and DELETE")
    func entityTags() async throws {
        let company = try await Company.found()
        let id = try #require(try await company.add()["id"].string)
        let client = try await company.owner()
        let path = "/api/v1/users/\(id)"
        let tag = try #require(try await client.get(path).headers.first(name: "etag"))
        #expect(try await client.get(path, headers: ["if-none-match": tag]).status == 304)
        let changed = try await client.patch(path, ["firstName": "Grace"], headers: ["if-match": tag])
        #expect(changed.status == 200)
        #expect(changed.headers.first(name: "etag") != tag)
        for stale in [
            try await client.put(path, ["firstName": "Edith"], headers: ["if-match": tag]),
            try await client.patch(path, ["firstName": "Edith"], headers: ["if-match": tag]),
            try await client.delete(path, headers: ["if-match": tag]),
        ] {
            #expect(stale.status == 412)
            #expect(stale.problem == "stale-etag")
        }
        #expect(try await client.get(path)["firstName"] == "Grace")
    }

    @Test("pages follow each other without gap or repetition while people are being added")
    func pages() async throws {
        let company = try await Company.found()
        try await company.setSeats(50)
        var expected: [String] = []
        for _ in 0..<7 { expected.append(try #require(try await company.add()["id"].string)) }
        let client = try await company.owner()
        var seen: [String] = [], cursor: String?
        repeat {
            let query = cursor.map { "&cursor=\($0)" } ?? ""
            let page = try await client.get("/api/v1/users?limit=3&status=invited\(query)")
            #expect(page.status == 200)
            seen += page["data"].array.compactMap { $0["id"].string }
            cursor = page["nextCursor"].string
            #expect((page.headers.first(name: "link") != nil) == (cursor != nil))
            _ = try await company.add()
        } while cursor != nil
        #expect(seen == expected.reversed())
        let oldest = try await client.get("/api/v1/users?limit=1&sort=createdAt")
        #expect(oldest["data"][0]["id"].string == company.tenant.owner.id.description)
        #expect(try await client.get("/api/v1/users?cursor=rubbish").status == 400)
        #expect(try await client.get("/api/v1/users?limit=101").badFields == ["?limit"])
        #expect(try await client.get("/api/v1/users?colour=red").status == 400)
    }

    @Test("filters by role, status and a part of name or address, taken literally")
    func filters() async throws {
        let company = try await Company.found()
        let grace = try #require(try await company.add(["firstName": "Grace", "lastName": "Hopper", "role": "editor"])["id"].string)
        let percent = try #require(try await company.add(["firstName": "100%_sure", "role": "viewer"])["id"].string)
        let client = try await company.owner()
        func ids(_ query: String) async throws -> [String] {
            try await client.get("/api/v1/users?\(query)")["data"].array.compactMap { $0["id"].string }
        }
        #expect(try await ids("role=editor") == [grace])
        #expect(try await ids("q=hopp") == [grace])
        #expect(try await ids("q=ace%20hop") == [grace])
        #expect(try await ids("q=%25_") == [percent])
        #expect(try await ids("q=%25") == [percent])
        #expect(try await ids("status=active") == [company.tenant.owner.id.description])
        #expect(try await ids("role=editor&status=active") == [])
        #expect(try await client.get("/api/v1/users?role=Emperor!").badFields == ["?role"])
    }

    @Test("everybody reads and changes their own profile, and nobody their own rights there")
    func me() async throws {
        let company = try await Company.found()
        try await company.join(company.tenant.viewer, role: "viewer")
        let client = try await company.host.client(company.tenant.viewer)
        let changed = try await client.patch("/api/v1/users/me", ["firstName": "Vi", "marketingConsent": true])
        #expect(changed.status == 200)
        #expect(changed["firstName"] == "Vi")
        #expect(changed["consents"]["marketing"] == true)
        #expect(try await client.get("/api/v1/users/me").json == changed.json)
        let refused = try await client.patch("/api/v1/users/me", ["role": "owner"])
        #expect(refused.status == 400)
        #expect(refused.badFields == ["/role"])
        #expect(try await client.delete("/api/v1/users/me").status == 405)
    }

    @Test("a removed person is gone, and it is announced")
    func removes() async throws {
        let company = try await Company.found()
        let id = try #require(try await company.add()["id"].string)
        let client = try await company.owner()
        #expect(try await client.delete("/api/v1/users/\(id)").status == 204)
        #expect(try await client.get("/api/v1/users/\(id)").status == 404)
        #expect(try await client.delete("/api/v1/users/\(id)").status == 404)
        #expect(try await company.events().suffix(2).map(\.type) == [MemberRemoved.type, UserDeleted.type])
    }

    @Test("a suspended member can be activated again; who has not joined can be neither")
    func suspension() async throws {
        let company = try await Company.found()
        try await company.join(company.tenant.editor, role: "editor")
        let client = try await company.owner()
        let path = "/api/v1/users/\(company.tenant.editor.id)"
        #expect(try await client.patch(path, ["status": "suspended"])["status"] == "suspended")
        #expect(try await client.patch(path, ["status": "active"])["status"] == "active")
        let id = try #require(try await company.add()["id"].string)
        let invited = try await client.patch("/api/v1/users/\(id)", ["status": "active"])
        #expect(invited.status == 409)
        #expect(invited.problem == "not-joined")
    }
}

@Suite struct OwnerTests {
    @Test("the last owner is neither removed nor demoted nor suspended, by either door")
    func lastOwner() async throws {
        let company = try await Company.found()
        let client = try await company.owner()
        let id = company.tenant.owner.id, organization = company.tenant.id
        for refused in [
            try await client.delete("/api/v1/users/\(id)"), try await client.patch("/api/v1/users/\(id)", ["role": "admin"]),
            try await client.patch("/api/v1/users/\(id)", ["status": "suspended"]),
            try await client.put("/api/v1/users/\(id)", ["role": "viewer"]),
            try await client.patch("/api/v1/organizations/\(organization)/members/\(id)", ["role": "user"]),
            try await client.delete("/api/v1/organizations/\(organization)/members/\(id)"),
        ] {
            #expect(refused.status == 409)
            #expect(refused.problem == "last-owner")
        }
        // With a second owner the first may go.
        try await company.join(company.tenant.admin, role: "owner")
        #expect(try await client.patch("/api/v1/users/\(id)", ["role": "admin"]).status == 200)
    }

    @Test("two owners who remove each other at the same moment leave one")
    func race() async throws {
        for _ in 0..<5 {
            let company = try await Company.found()
            let second = TestPerson(.owner, in: company.tenant.id)
            try await company.join(second, role: "owner")
            let one = try await company.owner(), two = try await company.host.client(second)
            async let first = two.delete("/api/v1/users/\(company.tenant.owner.id)")
            async let other = one.delete("/api/v1/users/\(second.id)")
            let statuses = try await [first.status, other.status].sorted()
            // The second is refused as the last owner, or has been removed before it asked: then their token is dead.
            #expect(statuses[0] == 204 && [401, 403, 409].contains(statuses[1]), "\(statuses)")
            let left = try await company.host.database.query(
                Query<Int>("SELECT count(*) AS count FROM people WHERE role = 'owner'", column: "count"),
                as: .service(.users, for: company.tenant.id))
            #expect(left == [1])
        }
    }

    @Test("an admin manages everybody but owners, and makes none")
    func ownersOnly() async throws {
        let company = try await Company.found()
        try await company.join(company.tenant.editor, role: "editor")
        try await company.join(company.tenant.admin, role: "admin")
        let admin = try await company.host.client(company.tenant.admin)
        #expect(try await admin.patch("/api/v1/users/\(company.tenant.editor.id)", ["role": "viewer"]).status == 200)
        for refused in [
            try await admin.patch("/api/v1/users/\(company.tenant.editor.id)", ["role": "owner"]),
            try await admin.patch("/api/v1/users/\(company.tenant.owner.id)", ["role": "admin"]),
            try await admin.delete("/api/v1/users/\(company.tenant.owner.id)"),
            try await admin.post("/api/v1/users", ["email": "new.owner@example.org", "role": "owner"]),
        ] {
            #expect(refused.status == 403)
            #expect(refused.problem == "owners-only")
        }
    }
}
