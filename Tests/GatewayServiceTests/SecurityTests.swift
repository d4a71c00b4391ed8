import Contracts
import Foundation
import NIOHTTP1
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

@Suite("Organizations at the door")
struct SecurityTests {
    private static let secret = ["TRIONEX_SERVICE_SECRET": "between-programs"]

    private func events(_ town: Town) -> [JSONValue] {
        town.rest.seen.list.filter { $0.hasPrefix("security-event ") }.compactMap {
            try? JSON.decode(JSONValue.self, from: Data($0.dropFirst("security-event ".count).utf8))
        }
    }

    @Test("Whoever names another organization is told of to their own, with who, what and from where")
    func reported() async throws {
        try await Town.with(Self.secret) { town in
            let person = TestTenant().owner, other = TenantID.make()
            let answer = try await town.client(person).get(
                "/api/v1/search?q=secret", headers: ["x-tenant-slug": other.description, "user-agent": "curious/1.0"])
            #expect(answer.status == 403)
            try await eventually("users is told") { events(town).count == 1 }
            let event = try #require(events(town).first)
            #expect(event["tenant"].string == person.tenant.description)
            #expect(event["actor"].string == "person:\(person.id)")
            #expect(event["action"] == "security.cross-tenant-attempt")
            #expect(event["resourceType"] == "organization")
            #expect(event["address"] == "127.0.0.1")
            #expect(event["userAgent"] == "curious/1.0")
            #expect(event["requestID"].string == answer.headers.first(name: "x-request-id"))
            #expect(event["details"]["named"].string == other.description)
            #expect(event["details"]["path"] == "/api/v1/search")
            #expect(!"\(event)".contains("secret"), "a query may hold anything")
        }
    }

    @Test("No request waits for the report, and a users that is away loses none of the first thousand")
    func queued() async throws {
        try await Town.with(Self.secret) { town in
            let neighbours = Neighbours(
                addresses: [.users: [town.rest.url]], tokens: { ("token", Date().addingTimeInterval(600)) })
            let reports = SecurityReports(neighbours: neighbours, logger: quiet)
            for number in 0..<(SecurityReports.capacity + 10) {
                reports.report(
                    SecurityEventReport(
                        tenant: .make(), actor: "anonymous", action: SecurityEventReport.crossTenantAttempt, resourceType: "organization",
                        resourceID: nil, address: nil, userAgent: nil, requestID: "\(number)", details: [:]))
            }
            #expect(events(town).isEmpty, "nothing is sent before it runs")
            let running = Task { try await reports.run() }
            try await eventually("all that fitted are told") { events(town).count == SecurityReports.capacity }
            #expect(events(town).last?["requestID"] == .string("\(SecurityReports.capacity - 1)"))
            running.cancel()
        }
    }

    @Test("A suspended organization is refused in words, to its members and to whoever would sign in")
    func suspended() async throws {
        try await Town.with(Self.secret) { town in
            let slug = "0197b1c0-0000-7000-8000-000000000bad"
            let member = TestPerson(.owner, in: try #require(TenantID(slug)))
            for client in [try await town.client(member), try await town.client()] {
                for path in ["/api/v1/search", "/api/v1/content/open"] {
                    let answer = try await client.get(path, headers: ["x-tenant-slug": slug])
                    #expect(answer.status == 403, "\(path)")
                    #expect(answer.problem == "organization-suspended")
                }
            }
            #expect(town.content.seen.list.isEmpty)
            #expect(events(town).isEmpty, "it is their own organization")
        }
    }

    @Test("Somebody signed in may look at what is public of another organization: that is no attempt")
    func publicElsewhere() async throws {
        try await Town.with(Self.secret) { town in
            let answer = try await town.client(TestTenant().owner).get(
                "/api/v1/content/open", headers: ["x-tenant-slug": TenantID.make().description])
            #expect(answer.status == 200)
            #expect(!town.log.all.contains { $0.contains("cross-tenant-attempt") })
        }
    }
}
