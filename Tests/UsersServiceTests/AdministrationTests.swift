import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

@Suite struct AdministrationTests {
    @Test("a new organization tries a larger plan's features for a while; afterwards it has those of its own")
    func trial() async throws {
        let company = try await Company.found(), client = try await company.owner()
        let new = try await client.get(company.path)
        #expect(new["plan"] == "starter")
        #expect(new["level"] == 1)
        #expect(new["subscriptionStatus"] == "trialing")
        #expect(new["customBranding"] == true)
        #expect(new["trialEndsAt"].string != nil)
        let branding: JSONValue = ["displayName": "Engines", "logoUrl": "https://cdn.example.org/logo.svg", "primaryColor": "#1A73E8"]
        let branded = try await client.put("\(company.path)/branding", branding)
        #expect(branded.status == 200, "\(branded.text)")
        #expect(branded["primaryColor"] == "#1a73e8")
        #expect(try await client.get("\(company.path)/branding").json == branded.json)
        let past = Date().addingTimeInterval(-60)
        try await company.host.database.execute(
            "UPDATE organizations SET trial_ends_at = \(past)", as: .service(.users, for: company.tenant.id))
        #expect(try await client.get(company.path)["customBranding"] == false)
        let refused = try await client.put("\(company.path)/branding", ["displayName": "Other"])
        #expect(refused.status == 403)
        #expect(refused.problem == "feature-not-in-plan")
    }

    @Test("branding is checked, and shown to whoever knows the slug; a slug that nobody has shows nothing")
    func branding() async throws {
        let company = try await Company.found(), client = try await company.owner()
        let bad = try await client.put(
            "\(company.path)/branding",
            [
                "logoUrl": "http://plain.example.org/x.png", "faviconUrl": "javascript:alert(1)", "primaryColor": "red",
                "supportEmail": "none",
            ])
        #expect(Set(bad.badFields) == ["/logoUrl", "/faviconUrl", "/primaryColor", "/supportEmail"])
        _ = try await client.put("\(company.path)/branding", ["displayName": "Engines", "accentColor": "#000000"])
        let anybody = company.host.client(token: nil)
        let shown = try await anybody.get("/api/v1/organizations/branding?slug=\(company.slug)")
        #expect(shown["displayName"] == "Engines")
        let nobodys = try await anybody.get("/api/v1/organizations/branding?slug=nobody-has-this-\(UUID().uuidString.lowercased())")
        #expect(nobodys.status == 200)
        #expect(nobodys.json == [:] || nobodys["displayName"].isNull)
    }

    @Test("settings are a merge patch with defaults; a default role must exist, and be no more than one's own")
    func settings() async throws {
        let company = try await Company.found(), client = try await company.owner()
        let changed = try await client.patch(
            company.path, ["settings": ["requireSecondFactor": true, "language": "de", "timezone": "Europe/Berlin"]])
        #expect(changed.status == 200, "\(changed.text)")
        #expect(changed["settings"]["requireSecondFactor"] == true)
        #expect(changed["settings"]["language"] == "de")
        #expect(changed["settings"]["defaultRole"] == "user")
        let auth = try await company.host.client(service: .auth)
        let claims = try await auth.get("/internal/v1/people/\(company.tenant.owner.id)/claims").decode(PersonClaims.self)
        #expect(claims.requiresSecondFactor)
        #expect(
            try await client.patch(company.path, ["settings": ["requireSecondFactor": nil]])["settings"]["requireSecondFactor"] == false)
        // What nobody acts on is no setting, and what was kept of it once does no harm.
        let idle: [String: JSONValue] = ["allowedSignIn": ["sso"], "joinByDomain": true, "sessionLifetimeMinutes": 60]
        #expect(
            Set(try await client.patch(company.path, ["settings": .object(idle)]).badFields)
                == Set(idle.keys.map { "/settings/\($0)" }))
        let kept = JSONB(JSONValue.object(idle))
        try await company.host.database.execute(
            "UPDATE organizations SET settings = settings || \(kept)", as: .service(.users, for: company.tenant.id))
        let read = try await client.get(company.path)
        #expect(read["settings"]["language"] == "de" && idle.keys.allSatisfy { read["settings"][$0].isNull }, "\(read.text)")
        #expect(try await client.patch(company.path, ["settings": ["defaultRole": "nobody"]]).badFields == ["/settings/defaultRole"])
        #expect(try await client.patch(company.path, ["settings": ["colour": "red"]]).badFields == ["/settings/colour"])
        #expect(try await client.patch(company.path, ["dataResidency": "eu-west"])["dataResidency"] == "eu-west")
        #expect(try await client.patch(company.path, ["dataResidency": "moon"]).badFields == ["/dataResidency"])
        let entry = try await company.audit().last
        #expect(entry?["previous"]["dataResidency"] == "default")
        #expect(entry?["changed"]["dataResidency"] == "eu-west")
        try await company.join(company.tenant.admin, role: "admin")
        let admin = try await company.host.client(company.tenant.admin)
        #expect(try await admin.patch(company.path, ["settings": ["defaultRole": "owner"]]).problem == "owners-only")
        #expect(try await admin.patch(company.path, ["settings": ["defaultRole": "viewer"]]).status == 200)
        // Invitations without a role take it.
        let invited = try await admin.post("\(company.path)/invitations", ["email": "someone@example.org"])
        #expect(invited["role"] == "viewer")
    }

    @Test("usage counts seats as they are taken, and what the events of files say")
    func usage() async throws {
        let company = try await Company.found(), client = try await company.owner()
        try await company.join(company.tenant.editor, role: "editor")
        _ = try await company.add()
        #expect(try await client.patch("/api/v1/users/\(company.tenant.editor.id)", ["status": "suspended"]).status == 200)
        let file = FileID.make()
        try await company.host.publish(
            FileUploaded(fileID: file, name: "a", contentType: "text/plain", size: 1_000, sha256: "", uploadedBy: nil),
            for: company.tenant.id)
        let other = FileUploaded(fileID: .make(), name: "b", contentType: "text/plain", size: 500, sha256: "", uploadedBy: nil)
        let event = EventID.make()
        for _ in 0..<2 { try await company.host.publish(other, for: company.tenant.id, eventID: event) }
        try await company.host.publish(FileDeleted(fileID: file, size: 1_000), for: company.tenant.id)
        try await company.host.eventually("the files are counted, each event once") {
            let usage = try await client.get("\(company.path)/usage")
            return usage["storage"]["usedBytes"] == 500 && usage["storage"]["files"] == 1
        }
        let usage = try await client.get("\(company.path)/usage")
        #expect(usage["seats"] == ["limit": 10, "used": 2, "active": 1, "invited": 1, "suspended": 1])
        #expect(usage["storage"]["limitBytes"] == 10_000_000_000)
    }

    @Test("a suspended member who comes back needs a seat")
    func seatsOnReturn() async throws {
        let company = try await Company.found(), client = try await company.owner()
        try await company.join(company.tenant.editor, role: "editor")
        let path = "/api/v1/users/\(company.tenant.editor.id)"
        #expect(try await client.patch(path, ["status": "suspended"]).status == 200)
        try await company.setSeats(1)
        #expect(try await client.patch(path, ["status": "active"]).problem == "seats-exhausted")
        try await company.setSeats(2)
        #expect(try await client.patch(path, ["status": "active"])["status"] == "active")
    }

    @Test("a signed-in person founds a further organization, and owns it")
    func founds() async throws {
        let company = try await Company.found(), client = try await company.owner()
        let slug = "second-\(UUID().uuidString.lowercased().prefix(13))"
        let made = try await client.post("/api/v1/organizations", ["name": "Second", "slug": .string(slug)])
        #expect(made.status == 201, "\(made.text)")
        #expect(made["role"] == "owner")
        let list = try await client.get("/api/v1/organizations")["data"].array
        #expect(list.compactMap { $0["slug"].string } == [slug, company.slug])
        #expect(try await client.post("/api/v1/organizations", ["name": "Second", "slug": .string(slug)]).problem == "slug-taken")
        // The token is of the first one: tokens of the second come from auth.
        #expect(try await client.get("/api/v1/organizations/\(made["id"].string ?? "")").status == 404)
        let nobody = try await company.host.client(TestTenant().owner)
        #expect(try await nobody.post("/api/v1/organizations", ["name": "Nobody's"]).status == 403)
    }
}

@Suite struct OwnershipTests {
    @Test("ownership goes to an active member, by an owner who has just proved who they are")
    func transfer() async throws {
        let company = try await Company.found(), tenant = company.tenant
        try await company.join(tenant.admin, role: "admin")
        try await company.join(tenant.editor, role: "editor")
        let path = "\(company.path)/transfer-ownership", body: JSONValue = ["userId": .string(tenant.editor.id.description)]
        let stale = try await tenant.owner.recent(at: company.host, ago: 3_600).post(path, body)
        #expect(stale.status == 401)
        #expect(stale.problem == "insufficient-user-authentication")
        let admin = try await company.host.client(tenant.admin)
        #expect(try await admin.post(path, body).problem == "owners-only")
        let owner = try await company.owner()
        let invited = try #require(try await company.add()["id"].string)
        for nobody in [invited, tenant.owner.id.description] {
            #expect(try await owner.post(path, ["userId": .string(nobody)]).problem == "not-owner")
        }
        #expect(try await owner.post(path, ["userId": .string(UserID.make().description)]).status == 404)
        #expect(try await owner.post(path, body).status == 200)
        let roles = try await admin.get("/api/v1/users?status=active")["data"].array.map {
            ($0["id"].string ?? "", $0["role"].string ?? "")
        }
        #expect(Dictionary(uniqueKeysWithValues: roles)[tenant.editor.id.description] == "owner")
        #expect(Dictionary(uniqueKeysWithValues: roles)[tenant.owner.id.description] == "admin")
        // The old owner's token says too much.
        #expect(try await owner.get("/api/v1/users/me").status == 401)
    }

    @Test("anybody leaves but the last owner, and is out at once")
    func leaves() async throws {
        let company = try await Company.found(), tenant = company.tenant
        try await company.join(tenant.viewer, role: "viewer")
        let viewer = try await company.host.client(tenant.viewer), owner = try await company.owner()
        let refused = try await owner.post("\(company.path)/leave")
        #expect(refused.status == 409)
        #expect(refused.problem == "last-owner")
        #expect(try await viewer.post("\(company.path)/leave").status == 204)
        #expect(try await viewer.get("/api/v1/users/me").status == 401)
        #expect(try await owner.get("/api/v1/users/\(tenant.viewer.id)").status == 404)
        #expect(try await company.events().suffix(2).map(\.type) == [MemberRemoved.type, UserDeleted.type])
        let other = try await Company.found()
        #expect(try await owner.post("\(other.path)/leave").status == 404)
    }

    @Test("an owner deletes the organization by naming its slug: everybody is out, nobody has its slug, nobody signs in to it")
    func deletes() async throws {
        let company = try await Company.found(), tenant = company.tenant
        try await company.join(tenant.admin, role: "admin")
        let admin = try await company.host.client(tenant.admin), owner = try await company.owner()
        #expect(try await admin.delete(company.path, headers: ["x-confirm-slug": company.slug]).problem == "owners-only")
        #expect(try await owner.delete(company.path).problem == "not-confirmed")
        #expect(try await owner.delete(company.path, headers: ["x-confirm-slug": "other"]).problem == "not-confirmed")
        let stale = try await tenant.owner.recent(at: company.host, ago: 3_600)
        #expect(try await stale.delete(company.path, headers: ["x-confirm-slug": company.slug]).status == 401)
        #expect(try await owner.delete(company.path, headers: ["x-confirm-slug": company.slug]).status == 204)
        for dead in [admin, owner] { #expect(try await dead.get("/api/v1/users/me").status == 401) }
        let auth = try await company.host.client(service: .auth)
        #expect(try await auth.get("/internal/v1/people/\(tenant.owner.id)/claims").status == 404)
        #expect(try await auth.get("/internal/v1/organizations/by-slug/\(company.slug)")["status"] == "deleted")
        let event = try #require(try await company.events().last)
        #expect(event.type == OrganizationDeleted.type)
        #expect(event.payload["erasedAfter"].string != nil)
        let second = Company(host: company.host, tenant: TestTenant(), slug: company.slug, email: "x@example.org")
        #expect(try await second.register().problem == "slug-taken")
    }
}
