import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

@Suite struct PeopleFieldTests {
    @Test("how long somebody's data is kept is the organization's to say, not the person's")
    func retention() async throws {
        let company = try await Company.found(), client = try await company.owner()
        let created = try await company.add(["dataRetentionUntil": "2031-12-31"])
        #expect(created["dataRetentionUntil"] == "2031-12-31")
        let path = "/api/v1/users/\(created["id"].string ?? "")"
        #expect(try await client.patch(path, ["dataRetentionUntil": "2032-02-29"])["dataRetentionUntil"] == "2032-02-29")
        #expect(try await client.patch(path, ["dataRetentionUntil": nil])["dataRetentionUntil"].isNull)
        #expect(try await client.put(path, ["dataRetentionUntil": "2030-01-01"])["dataRetentionUntil"] == "2030-01-01")
        #expect(try await client.put(path, [:])["dataRetentionUntil"].isNull)
        for bad: JSONValue in ["2031-02-29", "31.12.2031", "2031-12-31T00:00:00Z", "2031-13-01", ""] {
            #expect(try await client.patch(path, ["dataRetentionUntil": bad]).badFields == ["/dataRetentionUntil"])
        }
        #expect(try await client.patch("/api/v1/users/me", ["dataRetentionUntil": "2030-01-01"]).badFields == ["/dataRetentionUntil"])
    }

    @Test("people are found by address, company and time, and sorted by address in pages without gap")
    func filters() async throws {
        let company = try await Company.found(), client = try await company.owner()
        let mark = UUID().uuidString.lowercased()
        for name in ["d", "a", "c", "b"] {
            _ = try await company.add(["email": .string("\(name).\(mark)@example.org"), "company": .string(name == "a" ? "Navy" : "Army")])
        }
        func emails(_ query: String) async throws -> [String] {
            try await client.get("/api/v1/users?\(query)")["data"].array.compactMap { $0["email"].string.map { String($0.prefix(1)) } }
        }
        #expect(try await emails("company=Navy") == ["a"])
        #expect(try await emails("email=C.\(mark)@example.org") == ["c"])
        #expect(try await emails("q=navy") == ["a"])
        #expect(try await emails("createdFrom=2999-01-01T00:00:00Z") == [])
        #expect(try await emails("createdBefore=2999-01-01T00:00:00Z&status=invited").count == 4)
        for (sort, expected) in [("email", "abcd"), ("-email", "dcba")] {
            var seen = "", cursor: String?
            repeat {
                let page = try await client.get(
                    "/api/v1/users?limit=3&status=invited&sort=\(sort)" + (cursor.map { "&cursor=\($0)" } ?? ""))
                seen += page["data"].array.compactMap { $0["email"].string?.prefix(1) }.joined()
                cursor = page["nextCursor"].string
            } while cursor != nil
            #expect(seen == expected)
        }
        let cursor = try #require(try await client.get("/api/v1/users?limit=1&sort=email")["nextCursor"].string)
        #expect(try await client.get("/api/v1/users?cursor=\(cursor)").badFields == ["?cursor"])
    }

    @Test("somebody invited who is given another role joins with that one")
    func otherRole() async throws {
        let company = try await Company.found(), email = "guest.\(UUID().uuidString.lowercased())@example.org"
        let id = try #require(try await company.add(["email": .string(email), "role": "viewer"])["id"].string)
        #expect(try await company.owner().patch("/api/v1/users/\(id)", ["role": "editor"])["role"] == "editor")
        #expect(try await company.owner().get("\(company.path)/invitations")["data"][0]["role"] == "editor")
        let token = try await company.letter(to: email).token
        let preview = try await company.host.client(token: nil).post("/api/v1/invitations/preview", ["token": .string(token)])
        #expect(preview["role"] == "editor")
    }

    @Test("the slug of a deleted organization is free when it cannot be restored any more, and not before")
    func slugRelease() async throws {
        let company = try await Company.found(), house = company.host.host.foundations
        let release = SlugRelease(database: house.database, now: { Date() }, logger: house.logger)
        let second = Company(host: company.host, tenant: TestTenant(), slug: company.slug, email: "x@example.org")
        #expect(try await company.owner().delete(company.path, headers: ["x-confirm-slug": company.slug]).status == 204)
        try await release.releaseSome()
        #expect(try await second.register().problem == "slug-taken")
        let past = Date().addingTimeInterval(-1)
        try await company.host.database.execute(
            "UPDATE organizations SET erased_after = \(past)", as: .service(.users, for: company.tenant.id))
        try await release.releaseSome()
        #expect(try await second.register().status == 200)
        // Done once: there is nothing left to release.
        let entries = try await company.audit().count
        try await release.releaseSome()
        #expect(try await company.audit().count == entries)
    }
}
