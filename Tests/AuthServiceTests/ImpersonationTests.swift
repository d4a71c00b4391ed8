import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

/// A platform admin.
struct Impersonator: Sendable {
    let stack: AuthStack
    let id = UserID.make()
    let session = SessionID.make()
    let tenant = TenantID.make()

    init(_ stack: AuthStack) { self.stack = stack }

    func token(authenticated: Date = Date(), roles: [String] = ["superadmin"], impersonator: UserID? = nil) async throws -> String {
        try await stack.keys.sign(
            AccessClaims(
                user: id, session: session, tenant: tenant, roles: roles, permissions: ["*"], plan: "enterprise", amr: ["pwd", "otp"],
                issuedAt: Date(), lifetime: 900, authTime: authenticated, impersonator: impersonator))
    }

    /// The token of an impersonation that has begun.
    func token(for person: SignedInPerson) async throws -> String {
        try #require(try await begin(person)["accessToken"].string)
    }

    func begin(_ person: SignedInPerson, at auth: TestHost? = nil, token: String? = nil, minutes: Int? = nil, access: String? = nil)
        async throws -> TestResponse
    {
        var body: [String: JSONValue] = [
            "organizationId": .string(person.tenant.description), "userId": .string(person.user.description),
            "reason": "Support case 4711: cannot publish",
        ]
        if let access { body["access"] = .string(access) }
        if let minutes { body["minutes"] = .integer(minutes) }
        let token = if let token { token } else { try await self.token() }
        return try await (auth ?? stack.auth).client(token: token).post("/api/v1/auth/impersonate", .object(body))
    }
}

@Suite struct ImpersonationTests {
    @Test("an admin of the platform acts as a person: their rights, the admin's name on it, a short time, no refresh token")
    func begins() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), admin = Impersonator(stack)
        let answer = try await admin.begin(person, minutes: 20)
        #expect(answer.status == 201)
        #expect(answer.header("cache-control") == "no-store")
        #expect(answer["refreshToken"] == .null && answer["expiresIn"] == 1_200)
        let token = try #require(answer["accessToken"].string), claims = TokenParts.claims(token)
        #expect(claims["sub"].string == person.user.description && claims["org"].string == person.tenant.description)
        #expect(claims["act"]["sub"].string == admin.id.description)
        #expect((claims["exp"].int ?? 0) - (claims["iat"].int ?? 0) <= 1_200)
        #expect(claims["roles"] == ["owner"] && claims["permissions"] == ["*:read"], "to look, unless more is asked for")
        let full = try await admin.begin(person, access: "full")
        #expect(TokenParts.claims(try #require(full["accessToken"].string))["permissions"] == ["*"])
        let me = try await stack.auth.client(token: token).get("/api/v1/auth/me")
        #expect(me.status == 200 && me["user"]["email"].string == person.newcomer.email)
    }

    @Test("the organization reads of it in its audit trail, and the person sees it among their sessions and can end it there")
    func visible() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), admin = Impersonator(stack)
        let answer = try await admin.begin(person)
        let token = try #require(answer["accessToken"].string), session = try #require(answer["sessionId"].string)
        let entry = try #require(
            try await stack.auth.outbox(person.tenant).map(\.payload).first { $0["action"] == "auth.impersonation.begin" })
        #expect(entry["actor"].string == "person:\(admin.id)" && entry["riskLevel"] == "high")
        #expect(entry["resourceID"].string == person.user.description)
        #expect(entry["changed"]["reason"] == "Support case 4711: cannot publish")
        let owner = stack.auth.client(token: person.access)
        let sessions = try await owner.get("/api/v1/auth/sessions")["data"].array
        let shown = try #require(sessions.first { $0["id"].string == session })
        #expect(shown["impersonatedBy"].string == admin.id.description)
        #expect(shown["impersonationReason"] == "Support case 4711: cannot publish")
        #expect(sessions.count { $0["impersonatedBy"] != .null } == 1)
        #expect(try await owner.delete("/api/v1/auth/sessions/\(session)").status == 204)
        #expect(try await stack.auth.client(token: token).get("/api/v1/auth/me").status == 401)
        #expect(try await owner.get("/api/v1/auth/me").status == 200)
    }

    @Test("it ends with its own token, by DELETE or by signing out, once; an ordinary token has nothing to end")
    func ends() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), admin = Impersonator(stack)
        for end in ["DELETE", "logout"] {
            let token = try #require(try await admin.begin(person)["accessToken"].string), client = stack.auth.client(token: token)
            let ended = end == "DELETE" ? try await client.delete("/api/v1/auth/impersonate") : try await client.post("/api/v1/auth/logout")
            #expect(ended.status == 204)
            #expect(try await client.get("/api/v1/auth/me").status == 401)
            #expect(try await client.delete("/api/v1/auth/impersonate").status == 401)
        }
        let ends = try await stack.auth.outbox(person.tenant).map(\.payload).filter { $0["action"] == "auth.impersonation.end" }
        #expect(ends.count == 1 && ends[0]["impersonator"].string == admin.id.description)
        let ordinary = try await stack.auth.client(token: person.access).delete("/api/v1/auth/impersonate")
        #expect(ordinary.status == 409 && ordinary.problem == "not-impersonating")
        #expect(try await stack.auth.client(token: person.access).get("/api/v1/auth/me").status == 200)
    }

    @Test("only an admin of the platform may, in person, having proved who they are of late")
    func whoMay() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), admin = Impersonator(stack)
        #expect(try await admin.begin(person, token: person.access).problem == "superadmin-only")
        #expect(try await admin.begin(person, token: admin.token(roles: ["owner", "admin"])).problem == "superadmin-only")
        #expect(try await admin.begin(person, token: admin.token(impersonator: .make())).problem == "superadmin-only")
        let old = try await admin.begin(person, token: admin.token(authenticated: Date().addingTimeInterval(-601)))
        #expect(old.status == 401 && old.problem == "insufficient-user-authentication")
    }

    @Test("nobody acts as an admin of the platform, as somebody who is not there, without a reason, or for more than an hour")
    func refused() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), admin = Impersonator(stack)
        #expect(throws: ImpersonationFailure.superadmin) {
            try Impersonation.refuse(claims(person, roles: ["owner", "superadmin"]), by: admin.id)
        }
        #expect(throws: ImpersonationFailure.oneself) { try Impersonation.refuse(claims(person, roles: ["owner"]), by: person.user) }
        let client = stack.auth.client(token: try await admin.token())
        let elsewhere = try await client.post(
            "/api/v1/auth/impersonate",
            [
                "organizationId": .string(TenantID.make().description), "userId": .string(person.user.description),
                "reason": "They asked me to",
            ])
        #expect(elsewhere.status == 404)
        let answer = try await client.post(
            "/api/v1/auth/impersonate",
            [
                "organizationId": .string(person.tenant.description), "userId": .string(person.user.description), "reason": " ok ",
                "minutes": 61,
            ])
        #expect(answer.status == 400 && Set(answer.badFields) == ["/reason", "/minutes"])
    }

    private func claims(_ person: SignedInPerson, roles: [String]) -> PersonClaims {
        PersonClaims(
            userID: person.user, email: "ada@example.org", firstName: nil, lastName: nil,
            organization: .init(id: person.tenant, name: "Engines", slug: "engines", plan: "starter", status: "active"), roles: roles,
            permissions: ["*"])
    }

    @Test("passwords, second factors, keys, other sessions and other organizations are out of reach for whoever acts as somebody")
    func outOfReach() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), admin = Impersonator(stack)
        let made = try await MadeKey.make(stack.auth.client(token: person.access))
        let token = try #require(try await admin.begin(person, access: "full")["accessToken"].string)
        let client = stack.auth.client(token: token)
        let calls: [(String, TestResponse)] = [
            ("make a key", try await client.post("/api/v1/auth/api-keys", ["name": "Mine", "scopes": ["*"]])),
            ("revoke a key", try await client.delete("/api/v1/auth/api-keys/\(made.id)")),
            ("rename a key", try await client.patch("/api/v1/auth/api-keys/\(made.id)", ["name": "Mine"])),
            ("another organization", try await client.post("/api/v1/auth/organizations/\(person.tenant)/switch")),
            (
                "the password",
                try await client.post(
                    "/api/v1/auth/password/change",
                    ["currentPassword": .string(person.newcomer.password), "newPassword": "another very good secret"])
            ),
            ("a second factor", try await client.post("/api/v1/auth/mfa/setup", ["method": "totp"])),
            ("a grant", try await client.delete("/api/v1/auth/grants/\(UUID())")),
            ("a fresh proof", try await client.post("/api/v1/auth/step-up", ["password": .string(person.newcomer.password)])),
        ]
        for (what, answer) in calls { #expect(answer.status == 403, "\(what): \(answer.status) \(answer.text)") }
        #expect(try await stack.auth.client(token: person.access).get("/api/v1/auth/api-keys/\(made.id)").status == 200)
    }

    @Test("what it does says who it was: the audit entry has the person and the admin")
    func named() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), admin = Impersonator(stack)
        let client = stack.auth.client(token: try await admin.token(for: person))
        #expect(try await client.post("/api/v1/auth/logout").status == 204)
        let entries = try await stack.auth.outbox(person.tenant).map(\.payload).filter { $0["action"] == "auth.session.end" }
        #expect(entries.count == 1)
    }
}

@Suite struct SwitchTests {
    /// The person joins the organization of somebody else, as a member there.
    private func join(_ stack: AuthStack, _ person: SignedInPerson, _ other: SignedInPerson, role: String = "viewer") async throws {
        let (user, email, tenant) = (person.user, person.newcomer.email, other.tenant)
        try await stack.users.database.transaction(as: .service(.users, for: tenant)) { tx in
            _ = try tx.execute(
                """
                INSERT INTO people (tenant_id, user_id, email, role, status, created_at, updated_at)
                VALUES (\(tenant), \(user), \(email), \(role), 'active', \(tx.now), \(tx.now))
                """)
        }
    }

    @Test("a member of two organizations changes between them: other rights, the same proof of identity at its own age")
    func changes() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), host = try await stack.register()
        try await join(stack, person, host)
        let proven = Date().addingTimeInterval(-1_800)
        let client = stack.auth.client(token: try await person.token(stack, authenticated: proven))
        let answer = try await client.post("/api/v1/auth/organizations/\(host.tenant)/switch")
        #expect(answer.status == 200)
        #expect(answer.header("cache-control") == "no-store")
        #expect(answer["organization"]["id"].string == host.tenant.description)
        let claims = TokenParts.claims(try #require(answer["accessToken"].string))
        #expect(claims["org"].string == host.tenant.description && claims["roles"] == ["viewer"] && claims["amr"] == ["pwd"])
        #expect(claims["auth_time"].int == Int(proven.timeIntervalSince1970), "changing proves nothing anew")
        #expect(claims["sid"] != TokenParts.claims(person.access)["sid"])
        let there = stack.auth.client(token: answer["accessToken"].string)
        #expect(try await there.get("/api/v1/auth/me")["organization"]["id"].string == host.tenant.description)
        #expect(try await stack.auth.client(token: person.access).get("/api/v1/auth/me").status == 200)
        let refreshed = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/refresh", ["refreshToken": answer["refreshToken"]])
        #expect(refreshed["organization"]["id"].string == host.tenant.description)
        let back = try await there.post("/api/v1/auth/organizations/\(person.tenant)/switch")
        #expect(back["organization"]["id"].string == person.tenant.description)
    }

    @Test("an organization that one does not belong to is not there; keys and clients change nowhere")
    func refused() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), stranger = try await stack.register()
        let client = stack.auth.client(token: person.access)
        for id in [stranger.tenant.description, TenantID.make().description, "nonsense"] {
            #expect(try await client.post("/api/v1/auth/organizations/\(id)/switch").status == 404)
        }
        let key = try await MadeKey.make(client, scopes: ["*"])
        #expect(
            try await stack.auth.client(token: key.key).post("/api/v1/auth/organizations/\(person.tenant)/switch").problem == "person-only")
    }

    @Test("a suspended membership, or organization, is refused as at sign-in")
    func suspended() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), host = try await stack.register()
        try await join(stack, person, host)
        let user = person.user, users = Caller.service(.users, for: host.tenant)
        try await stack.users.database.execute("UPDATE people SET status = 'suspended' WHERE user_id = \(user)", as: users)
        let client = stack.auth.client(token: person.access)
        #expect(try await client.post("/api/v1/auth/organizations/\(host.tenant)/switch").problem == "member-suspended")
        try await stack.users.database.execute("UPDATE people SET status = 'active' WHERE user_id = \(user)", as: users)
        try await stack.users.database.execute("UPDATE organizations SET status = 'suspended'", as: users)
        #expect(try await client.post("/api/v1/auth/organizations/\(host.tenant)/switch").problem == "organization-suspended")
    }
}
