import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

/// A platform admin for tests: somebody of an organization of their own, who is one by a row.
struct PlatformAdmin: Sendable {
    let company: Company
    var person: TestPerson { company.tenant.owner }

    static func make() async throws -> PlatformAdmin {
        let company = try await Company.found()
        let admin = PlatformAdmin(company: company)
        try await admin.appoint(company.tenant.owner.id, company.email)
        return admin
    }

    func appoint(_ user: UserID, _ email: String) async throws {
        let now = Date()
        try await company.host.database.execute(
            "INSERT INTO platform_admins (user_id, email, created_at) VALUES (\(user), \(email), \(now))",
            as: .service(.users, for: .platform))
    }

    func client(ago: TimeInterval = 1) async throws -> TestClient {
        try await person.recent(at: company.host, roles: ["owner", "superadmin"], ago: ago)
    }

    func platformAudit() async throws -> [JSONValue] {
        let mine = "person:\(person.id)"
        return try await company.host.outbox(.platform).map(\.payload).filter { $0["actor"].string == mine }
    }
}

@Suite struct PlatformTests {
    @Test("a platform admin finds organizations by name, slug, status and plan, page by page")
    func lists() async throws {
        let admin = try await PlatformAdmin.make(), client = try await admin.client()
        let mark = String(UUID().uuidString.lowercased().prefix(13))
        var expected: [String] = []
        for number in 0..<5 {
            let company = try await Company.found(slug: "found-\(mark)-\(number)", name: "Found \(mark)")
            expected.insert(company.tenant.id.description, at: 0)
        }
        var seen: [String] = [], cursor: String?
        repeat {
            let page = try await client.get(
                "/api/v1/platform/organizations?limit=2&status=active&plan=starter&q=Found%20\(mark)"
                    + (cursor.map { "&cursor=\($0)" } ?? ""))
            #expect(page.status == 200, "\(page.text)")
            seen += page["data"].array.compactMap { $0["id"].string }
            cursor = page["nextCursor"].string
        } while cursor != nil
        #expect(seen == expected)
        let one = try await client.get("/api/v1/platform/organizations?q=found-\(mark)-3")["data"].array
        #expect(one.count == 1)
        #expect(one.first?["people"] == 1)
        #expect(try await client.get("/api/v1/platform/organizations/\(TenantID.make())").status == 404)
    }

    @Test("neither an owner, nor a token that says superadmin without being one, nor an impersonator gets in")
    func nobodyElse() async throws {
        let company = try await Company.found(), admin = try await PlatformAdmin.make()
        let liar = try await company.tenant.owner.recent(at: company.host, roles: ["owner", "superadmin"])
        let person = admin.person
        let impersonator = company.host.client(
            token: try await TestKeys.sign(
                AccessClaims(
                    user: person.id, session: person.session, tenant: person.tenant, roles: ["superadmin"], permissions: ["*"],
                    plan: "starter", amr: ["pwd"], issuedAt: Date(), lifetime: 900, impersonator: .make())))
        for client in [try await company.owner(), liar, impersonator] {
            for answer in [
                try await client.get("/api/v1/platform/organizations"), try await client.get("/api/v1/platform/admins"),
                try await client.get("/api/v1/platform/organizations/\(company.tenant.id)"),
                try await client.patch("/api/v1/platform/organizations/\(company.tenant.id)", ["plan": "enterprise"]),
                try await client.post("/api/v1/platform/organizations/\(company.tenant.id)/suspend", ["reason": "for fun"]),
                try await client.post("/api/v1/platform/admins", ["userId": .string(company.tenant.owner.id.description)]),
            ] {
                #expect(answer.status == 403)
                #expect(answer.problem == "superadmin-only")
            }
        }
    }

    @Test("another plan brings its limits and features, and can be departed from; both audit trails say so")
    func plans() async throws {
        let admin = try await PlatformAdmin.make(), company = try await Company.found(), client = try await admin.client()
        let path = "/api/v1/platform/organizations/\(company.tenant.id)"
        let changed = try await client.patch(
            path, ["plan": "business", "maxUsers": 77, "subscriptionStatus": "active", "trialEndsAt": nil])
        #expect(changed.status == 200, "\(changed.text)")
        #expect(changed["level"] == 3)
        #expect(changed["maxUsers"] == 77)
        #expect(changed["storageLimitGb"] == 1_000)
        #expect(changed["ssoEnabled"] == true)
        let theirs = try await company.owner().get(company.path)
        #expect(theirs["plan"] == "business")
        #expect(theirs["maxUsers"] == 77)
        #expect(theirs["trialEndsAt"].isNull)
        #expect(try await company.events().suffix(2).map(\.type) == [OrganizationUpdated.type, PlanChanged.type])
        let entry = try #require(try await company.audit().last)
        #expect(entry["action"] == "platform.organization.update")
        #expect(entry["actor"].string == "person:\(admin.person.id)")
        #expect(entry["previous"]["plan"] == "starter")
        #expect(entry["changed"]["plan"] == "business")
        #expect(try await admin.platformAudit().last?["resourceID"].string == company.tenant.id.description)
        #expect(try await client.patch(path, ["maxUsers": nil])["maxUsers"] == 500)
        #expect(try await client.patch(path, ["ssoEnabled": false])["ssoEnabled"] == false)
        #expect(
            try await client.patch(path, ["maxUsers": 0, "storageLimitGb": -1]).badFields.sorted() == ["/maxUsers", "/storageLimitGb"])
        #expect(try await client.patch(path, ["plan": "gold"]).badFields == ["/plan"])
        let claims = try await company.host.client(service: .auth).get("/internal/v1/people/\(company.tenant.owner.id)/claims")
        #expect(try claims.decode(PersonClaims.self).organization.plan == "business")
    }

    @Test("a suspended organization lets nobody in, its tokens are dead, and it comes back when the suspension is lifted")
    func suspends() async throws {
        let admin = try await PlatformAdmin.make(), company = try await Company.found(), client = try await admin.client()
        let path = "/api/v1/platform/organizations/\(company.tenant.id)"
        let owner = try await company.owner()
        let late = try await admin.client(ago: 3_600).post("\(path)/suspend", ["reason": "unpaid"])
        #expect(late.status == 401)
        #expect(late.problem == "insufficient-user-authentication")
        let suspended = try await client.post("\(path)/suspend", ["reason": "unpaid"])
        #expect(suspended.status == 200, "\(suspended.text)")
        #expect(suspended["status"] == "suspended")
        #expect(suspended["suspendedReason"] == "unpaid")
        #expect(try await owner.get("/api/v1/users/me").status == 401)
        let auth = try await company.host.client(service: .auth)
        let claims = "/internal/v1/people/\(company.tenant.owner.id)/claims"
        #expect(try await auth.get(claims).problem == "organization-suspended")
        let event = try #require(try await company.events().last)
        #expect(event.type == OrganizationSuspended.type)
        #expect(event.payload["reason"] == "unpaid")
        #expect(try await company.audit().last?["changed"]["reason"] == "unpaid")
        #expect(try await client.post("\(path)/suspend", ["reason": "again"]).problem == "organization-not-active")
        #expect(try await client.post("\(path)/reactivate")["status"] == "active")
        #expect(try await auth.get(claims).status == 200)
        #expect(try await company.events().last?.type == OrganizationReactivated.type)
        #expect(try await client.post("\(path)/reactivate").problem == "organization-not-suspended")
    }

    @Test("a deleted organization is restored whole within its time, and not after")
    func restores() async throws {
        let admin = try await PlatformAdmin.make(), company = try await Company.found(), client = try await admin.client()
        let path = "/api/v1/platform/organizations/\(company.tenant.id)"
        #expect(try await client.post("\(path)/restore").problem == "organization-not-deleted")
        #expect(try await company.owner().delete(company.path, headers: ["x-confirm-slug": company.slug]).status == 204)
        #expect(try await client.post("\(path)/restore")["status"] == "active")
        let auth = try await company.host.client(service: .auth)
        #expect(try await auth.get("/internal/v1/people/\(company.tenant.owner.id)/claims").status == 200)
        let past = Date().addingTimeInterval(-1)
        try await company.host.database.execute(
            "UPDATE organizations SET status = 'deleted', erased_after = \(past)", as: .service(.users, for: company.tenant.id))
        let late = try await client.post("\(path)/restore")
        #expect(late.status == 410)
        #expect(late.problem == "organization-erased")
    }

    @Test("an admin makes somebody else one, who is until they are made none again")
    func admins() async throws {
        let admin = try await PlatformAdmin.make(), company = try await Company.found(), client = try await admin.client()
        let user = company.tenant.owner.id
        let auth = try await company.host.client(service: .auth)
        func roles() async throws -> [String] {
            try await auth.get("/internal/v1/people/\(user)/claims?organization=\(company.tenant.id)").decode(PersonClaims.self).roles
        }
        #expect(try await roles() == ["owner"])
        #expect(try await client.post("/api/v1/platform/admins", ["userId": .string(UserID.make().description)]).status == 404)
        let made = try await client.post("/api/v1/platform/admins", ["userId": .string(user.description)])
        #expect(made.status == 201, "\(made.text)")
        #expect(made["email"].string == company.email)
        #expect(try await roles() == ["owner", "superadmin"])
        #expect(try await client.get("/api/v1/platform/admins")["data"].array.contains(made.json))
        let new = try await company.tenant.owner.recent(at: company.host, roles: ["owner", "superadmin"])
        #expect(try await new.get("/api/v1/platform/organizations?limit=1").status == 200)
        #expect(try await client.delete("/api/v1/platform/admins/\(user)").status == 204)
        #expect(try await roles() == ["owner"])
        #expect(try await new.get("/api/v1/platform/organizations?limit=1").status == 401)
        #expect(try await client.delete("/api/v1/platform/admins/\(user)").status == 404)
        // The platform's log is everybody's: other tests write to it too.
        let own = try await admin.platformAudit().filter { $0["resourceID"].string == user.description }.map { $0["action"] }
        #expect(own.suffix(2) == ["platform.admin.grant", "platform.admin.revoke"])
    }

    @Test("whom the settings name is an admin once the address is verified, and not before; so is whoever had verified it long ago")
    func firstAdmin() async throws {
        let company = try await Company.found(), other = try await Company.found()
        let host = try await TestHost.start(Users.self, environment: ["TRIONEX_USERS_SUPERADMINS": "\(company.email), x@example.org"])
        let auth = try await host.client(service: .auth)
        func roles(_ company: Company, at host: TestHost) async throws -> [String] {
            let path = "/internal/v1/people/\(company.tenant.owner.id)/claims"
            return try await host.client(service: .auth).get(path).decode(PersonClaims.self).roles
        }
        _ = auth
        #expect(try await roles(company, at: host) == ["owner"])
        try await host.publish(EmailVerified(userID: other.tenant.owner.id, email: other.email), for: .platform)
        // What an organization's event says of an account counts for nothing.
        try await host.publish(EmailVerified(userID: UserID.make(), email: company.email), for: other.tenant.id)
        try await host.publish(EmailVerified(userID: company.tenant.owner.id, email: company.email), for: .platform)
        try await host.eventually("the named one is an admin") { try await roles(company, at: host) == ["owner", "superadmin"] }
        #expect(try await roles(other, at: host) == ["owner"])
        try await host.stop()
        let later = try await TestHost.start(Users.self, environment: ["TRIONEX_USERS_SUPERADMINS": other.email])
        try await later.eventually("the other is one, now that the settings name them") {
            try await roles(other, at: later) == ["owner", "superadmin"]
        }
        try await later.stop()
    }

    @Test("nobody but the platform itself sees who its admins are in the database")
    func rows() async throws {
        let admin = try await PlatformAdmin.make()
        let count = Query<Int>("SELECT count(*) AS count FROM platform_admins", column: "count")
        #expect(try await admin.company.host.database.first(count, as: .service(.users, for: admin.company.tenant.id)) == 0)
        #expect(try await admin.company.host.database.first(count, as: .service(.users, for: .platform)) ?? 0 >= 1)
    }
}
