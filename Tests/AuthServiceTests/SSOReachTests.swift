import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

/// How far an organization's issuer reaches: into the organization, and no further, unless it owns the domain of the account's address.
@Suite(.serialized) struct SSOReachTests {
    /// A member from elsewhere, who has linked who they are at the organization's issuer.
    private func contractor(of company: SSOCompany) async throws -> (own: SignedInPerson, email: String) {
        let email = "contractor@elsewhere-\(UUID().uuidString.lowercased()).example"
        let own = try await SSOCompany.register(email, at: company.host)
        try await company.admit(own.user, email, role: "admin")
        company.person(email, sub: "contractor")
        let issuer = company.issuer.url
        try await company.host.database.execute(
            """
            INSERT INTO identities (tenant_id, id, issuer, subject, account_id, email, linked_by, created_at, last_used_at)
            VALUES (\(TenantID.platform), \(UUID()), \(issuer), 'contractor', \(own.user), \(email), 'person', now(), now())
            """, as: AccountStore.caller)
        return (own, email)
    }

    @Test("an issuer opens its own organization, and nothing of the account beyond: no other organization, factor or identity")
    func elsewhere() async throws {
        let company = try await SSOCompany.found(settings: ["domains": [], "joins": false])
        let (own, _) = try await contractor(of: company)
        let session = try await company.signIn(), client = company.host.client(token: session.access)
        #expect(session.user == own.user && session.tenant == company.owner.tenant)
        #expect(TokenParts.claims(session.access)["amr"] == ["fed"])
        let identity = try await client.get("/api/v1/auth/identities")["data"].array.first?["id"].string ?? ""
        let refused: [(String, TestResponse)] = [
            ("switch", try await client.post("/api/v1/auth/organizations/\(own.tenant)/switch")),
            ("set up", try await client.post("/api/v1/auth/mfa/setup", ["method": "totp"])),
            ("recovery codes", try await client.post("/api/v1/auth/mfa/recovery-codes")),
            ("rename", try await client.patch("/api/v1/auth/mfa/\(UUID())", ["name": "x"])),
            ("remove", try await client.delete("/api/v1/auth/mfa/\(UUID())")),
            ("link", try await client.post("/api/v1/auth/sso/\(company.connection)/link", [:])),
            ("unlink", try await client.delete("/api/v1/auth/identities/\(identity)")),
            ("end all sessions", try await client.delete("/api/v1/auth/sessions")),
        ]
        for (what, answer) in refused {
            #expect(answer.status == 403 && answer.problem == "own-sign-in-needed", "\(what): \(answer.text)")
        }
        let shown = try await client.get("/api/v1/auth/sessions")["data"].array.map { $0["organization"].string }
        #expect(Set(shown) == [company.owner.tenant.description])
        let theirs = try #require(TokenParts.claims(own.access)["sid"].string)
        #expect(try await client.delete("/api/v1/auth/sessions/\(theirs)").status == 404)
        // Inside the organization it is as good as any: also for what needs a recent sign-in.
        let key = try await client.post("/api/v1/auth/api-keys", ["name": "CI", "scopes": ["content:read"]])
        #expect(key.status == 201, "\(key.text)")
        #expect(try await company.host.client(token: own.access).get("/api/v1/auth/me").status == 200)
    }

    @Test("the issuer of the domain's owner speaks for the whole account: it could read its mail in any case")
    func ownDomain() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let owner = try await company.signIn(), client = company.host.client(token: owner.access)
        #expect(TokenParts.claims(owner.access)["amr"] == ["fed", "fed-domain"])
        #expect(try await client.post("/api/v1/auth/mfa/setup", ["method": "totp"]).status == 200)
    }

    @Test("where the organization demands a second factor, a code from the mailbox is it: the issuer sets up nothing in the account")
    func demanded() async throws {
        let company = try await SSOCompany.found(settings: ["domains": [], "joins": false])
        let (_, email) = try await contractor(of: company)
        try await FactorDesk(stack: company.stack, host: company.host, person: company.owner).demandSecondFactor()
        let answer = try await company.exchange(try await SSOBrowser(company.host).signIn(company.start).code)
        #expect(answer["mfaRequired"] == true && answer["mustEnrol"] == false && answer["methods"] == ["email"], "\(answer.text)")
        let nobody = company.host.client(token: nil), token = answer["mfaToken"]
        #expect(try await nobody.post("/api/v1/auth/mfa/setup", ["mfaToken": token, "method": "totp"]).status == 401)
        #expect(try await nobody.post("/api/v1/auth/mfa/challenge", ["mfaToken": token, "method": "email"]).status == 200)
        let code = try #require(try await LetterBox(host: company.host).letters(to: email, "sign-in-code").last?.data["code"])
        let done = try await nobody.post("/api/v1/auth/mfa/verify", ["mfaToken": token, "method": "email", "code": .string(code)])
        #expect(TokenParts.claims(done["accessToken"].string ?? "")["amr"] == ["fed", "mail"])
        #expect(try await nobody.post("/api/v1/auth/refresh", ["refreshToken": done["refreshToken"]]).status == 200)
    }

    @Test("administrators of the platform need a second factor, whatever their organization says")
    func superadmins() throws {
        let claims = PersonClaims(
            userID: .make(), email: "root@trionex.example", firstName: nil, lastName: nil,
            organization: .init(id: .make(), name: "Ours", slug: "ours", plan: "starter", status: "active"),
            roles: ["owner", "superadmin"], permissions: ["*"], requiresSecondFactor: false)
        #expect(throws: AccessFailure.secondFactorRequired) { try SecondFactors.check(["pwd"], against: claims) }
        #expect(throws: AccessFailure.secondFactorRequired) { try SecondFactors.check(["pwd", "mailbox"], against: claims) }
        #expect(throws: Never.self) { try SecondFactors.check(["pwd", "otp"], against: claims) }
        // A session by an issuer opens nothing of the platform's.
        #expect(throws: Never.self) { try SecondFactors.check(["fed"], against: claims) }
    }
}
