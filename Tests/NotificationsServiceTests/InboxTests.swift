import Contracts
import Foundation
import TestKit
import Testing

@testable import NotificationsService

@Suite("The inbox")
struct InboxTests {
    let tenant = TestTenant()

    private func tell(_ person: TestPerson, _ subject: String) async throws -> String {
        let response = try await PostOffice.open().host.client(tenant.owner).post(
            "/api/v1/notifications",
            ["to": ["userId": .string(person.id.description)], "subject": .string(subject), "body": "Body", "channels": ["inApp"]])
        #expect(response.status == 202, "\(response.text)")
        return try #require(response["id"].string)
    }

    @Test("It has what was sent to this person, newest first, page by page")
    func pages() async throws {
        let post = try await PostOffice.open()
        for number in 0..<5 { _ = try await tell(tenant.viewer, "Number \(number)") }
        _ = try await tell(tenant.user, "For somebody else")
        let client = try await post.host.client(tenant.viewer)
        var subjects: [String] = []
        var path: String? = "/api/v1/notifications?limit=2"
        while let next = path {
            let page = try await client.get(next)
            #expect(page.status == 200)
            subjects += page["data"].array.compactMap { $0["subject"].string }
            // One that arrives meanwhile does not move the pages.
            _ = try await tell(tenant.viewer, "Later")
            path = page["nextCursor"].string.map { "/api/v1/notifications?limit=2&cursor=\($0)" }
        }
        #expect(subjects == ["Number 4", "Number 3", "Number 2", "Number 1", "Number 0"])
        #expect(try await client.get("/api/v1/notifications?cursor=bm90aGluZw").badFields == ["?cursor"])
        #expect(try await client.get("/api/v1/notifications?limit=0").badFields == ["?limit"])
    }

    @Test("Reading one, and reading all, changes the count; a second reading changes nothing")
    func reading() async throws {
        let post = try await PostOffice.open()
        let ids = [try await tell(tenant.user, "a"), try await tell(tenant.user, "b"), try await tell(tenant.user, "c")]
        let client = try await post.host.client(tenant.user)
        #expect(try await client.get("/api/v1/notifications/unread")["unread"] == 3)
        let read = try await client.post("/api/v1/notifications/\(ids[1])/read")
        #expect(read.status == 200)
        let time = try #require(read["readAt"].string)
        #expect(try await client.post("/api/v1/notifications/\(ids[1])/read")["readAt"].string == time)
        let unread = try await client.get("/api/v1/notifications?unread=true")
        #expect(unread["data"].array.compactMap { $0["subject"].string } == ["c", "a"])
        #expect(try await client.get("/api/v1/notifications/unread")["unread"] == 2)
        let all = try await client.post("/api/v1/notifications/read-all")
        #expect(all.status == 200)
        #expect(all["unread"] == 0)
        #expect(try await client.get("/api/v1/notifications?unread=true")["data"].array.isEmpty)
        #expect(try await client.get("/api/v1/notifications")["data"].array.count == 3)
    }

    @Test("Nobody reads or marks another person's notifications")
    func others() async throws {
        let post = try await PostOffice.open()
        let id = try await tell(tenant.user, "private")
        for person in [tenant.owner, TestTenant().owner] {
            let client = try await post.host.client(person)
            #expect(try await client.post("/api/v1/notifications/\(id)/read").status == 404)
            #expect(try await client.post("/api/v1/notifications/read-all").status == 200)
            #expect(try await !client.get("/api/v1/notifications").text.contains("private"))
        }
        #expect(try await post.host.client(tenant.user).get("/api/v1/notifications/unread")["unread"] == 1)
        #expect(try await post.host.client(tenant.user).post("/api/v1/notifications/rubbish/read").status == 404)
    }

    @Test("No endpoint takes an anonymous caller, one without the permission, another organization, or a forged token")
    func sweep() async throws {
        let post = try await PostOffice.open()
        try await EndpointSweep.check(post.host, objects: ["id": try await tell(tenant.user, "swept")])
    }

    @Test("A viewer may read their inbox and not send")
    func permissions() async throws {
        let client = try await PostOffice.open().host.client(tenant.viewer)
        #expect(try await client.get("/api/v1/notifications").status == 200)
        #expect(try await client.post("/api/v1/notifications/read-all").status == 200)
        #expect(try await client.post("/api/v1/notifications", [:]).status == 403)
        #expect(try await client.get("/api/v1/notifications/deliveries").status == 403)
    }
}
