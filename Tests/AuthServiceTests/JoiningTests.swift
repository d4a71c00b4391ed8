import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@testable import AuthService

/// Invitations and the ends of rights, where two services take part: whatever is cut short, they agree in the end.
@Suite struct JoiningTests {
    private func registration(_ newcomer: Newcomer, _ token: String) -> JSONValue {
        ["email": .string(newcomer.email), "password": .string(newcomer.password), "firstName": "Grace", "invitationToken": .string(token)]
    }

    @Test("whoever is invited and registers joins, under the id that was kept for them, and founds nothing")
    func registers() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        let invited = try await pair.invite(newcomer.email, by: owner)
        #expect(invited.status == 201, "\(invited.text)")
        let token = try await pair.invitationToken(newcomer.email)
        let response = try await pair.stack.auth.client(token: nil).post("/api/v1/auth/register", registration(newcomer, token))
        let person = try SignedInPerson(newcomer, response)
        #expect(person.tenant == owner.tenant)
        #expect(person.user.description == invited["id"].string)
        #expect(try await pair.client(person).get("/api/v1/users/me")["role"] == "editor")
        #expect(try await pair.client(person).get("/api/v1/organizations")["data"].array.count == 1)
        // The letter has been used.
        let again = try await pair.stack.auth.client(token: nil).post("/api/v1/auth/register", registration(Newcomer(), token))
        #expect(again.status == 400)
        #expect(again.badFields == ["/invitationToken"])
    }

    @Test("a registration with a token that is worth nothing leaves nothing behind")
    func badToken() async throws {
        let pair = try await InvitingPair.shared.value, newcomer = Newcomer()
        let refused = try await pair.stack.auth.client(token: nil).post(
            "/api/v1/auth/register", registration(newcomer, "trx_inv_rubbish"))
        #expect(refused.status == 400)
        #expect(refused.badFields == ["/invitationToken"])
        #expect(try await pair.stack.register(newcomer).status == 201)
    }

    @Test("somebody with an account is invited as they are, accepts signed in, and can switch")
    func accepts() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), member = try await pair.stack.register()
        let invited = try await pair.invite(member.newcomer.email, by: owner, role: "viewer")
        #expect(invited["id"].string == member.user.description)
        let token = try await pair.invitationToken(member.newcomer.email)
        let joined = try await pair.client(member).post("/api/v1/invitations/accept", ["token": .string(token)])
        #expect(joined.status == 200, "\(joined.text)")
        let switched = try await pair.stack.auth.client(token: member.access).post("/api/v1/auth/organizations/\(owner.tenant)/switch")
        #expect(switched.status == 200, "\(switched.text)")
        #expect(TokenParts.claims(switched["accessToken"].string ?? "")["roles"] == ["viewer"])
    }

    @Test("whoever invites cannot tell from the id whether, or since when, the address has an account")
    func idsTellNothing() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), member = try await pair.stack.register(), imported = Newcomer()
        let programs = try await pair.stack.program(.users, of: pair.stack.auth)
        let answer = try await programs.post("/internal/v1/accounts/import", ["accounts": [["email": .string(imported.email)]]])
        #expect(answer.status == 200, "\(answer.text)")
        for email in [member.newcomer.email, imported.email, Newcomer().email] {
            let id = try #require(try await pair.invite(email, by: owner)["id"].string.flatMap { UserID($0) })
            #expect(id.hasNoTime, "\(id)")
        }
        // With auth away, too.
        let away = try await pair.stack.users.client(token: owner.access).post("/api/v1/users", ["email": .string(Newcomer().email)])
        #expect(try #require(away["id"].string.flatMap { UserID($0) }).hasNoTime)
    }

    @Test("invited while auth was away, somebody gets the id of their account when they register")
    func invitedWithAuthAway() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        // The shared users of the stack does not know where auth is.
        let invited = try await pair.stack.users.client(token: owner.access).post("/api/v1/users", ["email": .string(newcomer.email)])
        #expect(invited.status == 201)
        let token = try await pair.invitationToken(newcomer.email)
        let person = try SignedInPerson(
            newcomer, try await pair.stack.auth.client(token: nil).post("/api/v1/auth/register", registration(newcomer, token)))
        #expect(person.tenant == owner.tenant)
        #expect(try await pair.client(owner).get("/api/v1/users/\(person.user)")["status"] == "active")
        #expect(
            try await pair.client(owner).get("/api/v1/users/\(invited["id"].string ?? "")").status
                == (person.user.description == invited["id"].string ? 200 : 404))
    }

    @Test(
        "a registration by invitation that was cut short, before or after users had answered, ends in the inviting organization",
        arguments: [false, true])
    func heals(afterUsers: Bool) async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        _ = try await pair.invite(newcomer.email, by: owner)
        let token = try await pair.invitationToken(newcomer.email)
        let alone = try await AuthStack.withoutUsers.value
        #expect(try await alone.client(token: nil).post("/api/v1/auth/register", registration(newcomer, token)).status == 503)
        if afterUsers {
            // As if the answer of users had been lost: the person is a member, the account does not know it.
            let id = try #require(try await pair.client(owner).get("/api/v1/users?email=\(newcomer.email)")["data"][0]["id"].string)
            let body: JSONValue = [
                "email": .string(newcomer.email), "firstName": "Grace", "organizationID": .string(TenantID.make().description),
                "organizationName": "Grace's own", "gdprConsent": false, "marketingConsent": false, "invitationToken": .string(token),
            ]
            let made = try await pair.stack.program(.auth, of: pair.users).put("/internal/v1/registrations/\(id)", body)
            #expect(made.status == 200, "\(made.text)")
        }
        let healer = try await pair.stack.another(["TRIONEX_AUTH_COMPLETION_SECONDS": "1"])
        try await healer.eventually("sign-in works, and leads to the inviting organization") {
            let signedIn = try await healer.client(token: nil).post("/api/v1/auth/login", newcomer.signIn)
            return signedIn.status == 200 && signedIn["organization"]["id"].string == owner.tenant.description
        }
        try await healer.stop()
        let added = try await pair.users.outbox(owner.tenant).filter { $0.type == MemberAdded.type }
        #expect(added.count == 2, "the owner's and the newcomer's, each once")
    }

    @Test("a suspended member's tokens and session are over at once, and they cannot sign in; activated again, they can")
    func suspended() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        _ = try await pair.invite(newcomer.email, by: owner)
        let token = try await pair.invitationToken(newcomer.email)
        let anybody = pair.stack.auth.client(token: nil)
        let person = try SignedInPerson(newcomer, try await anybody.post("/api/v1/auth/register", registration(newcomer, token)))
        let path = "/api/v1/users/\(person.user)"
        #expect(try await pair.client(owner).patch(path, ["status": "suspended"]).status == 200)
        #expect(try await pair.client(person).get("/api/v1/users/me").status == 401)
        try await pair.stack.auth.eventually("auth refuses the token too") {
            try await pair.stack.auth.client(token: person.access).get("/api/v1/auth/me").status == 401
        }
        #expect(try await anybody.post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)]).status == 401)
        #expect(try await anybody.post("/api/v1/auth/login", newcomer.signIn).status == 403)
        #expect(try await pair.client(owner).patch(path, ["status": "active"]).status == 200)
        let back = try await anybody.post("/api/v1/auth/login", newcomer.signIn)
        #expect(back.status == 200, "\(back.text)")
        #expect(try await pair.users.client(token: back["accessToken"].string).get("/api/v1/users/me").status == 200)
    }

    @Test("after a demotion the old token is dead, the session lives, and a refresh gives one with the new rights")
    func demoted() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        _ = try await pair.invite(newcomer.email, by: owner, role: "admin")
        let token = try await pair.invitationToken(newcomer.email)
        let anybody = pair.stack.auth.client(token: nil)
        let person = try SignedInPerson(newcomer, try await anybody.post("/api/v1/auth/register", registration(newcomer, token)))
        #expect(try await pair.client(owner).patch("/api/v1/users/\(person.user)", ["role": "viewer"]).status == 200)
        #expect(try await pair.client(person).get("/api/v1/users/me").status == 401)
        let refreshed = try await anybody.post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)])
        #expect(refreshed.status == 200, "\(refreshed.text)")
        let access = try #require(refreshed["accessToken"].string)
        #expect(TokenParts.claims(access)["permissions"] == ["*:read"])
        try await pair.users.eventually("the new token is good") {
            try await pair.users.client(token: access).get("/api/v1/users/me").status == 200
        }
    }

    @Test("removed in the second of a demotion, somebody who has just refreshed is out at once")
    func demotedAndRemoved() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        _ = try await pair.invite(newcomer.email, by: owner, role: "admin")
        let token = try await pair.invitationToken(newcomer.email)
        let anybody = pair.stack.auth.client(token: nil)
        let person = try SignedInPerson(newcomer, try await anybody.post("/api/v1/auth/register", registration(newcomer, token)))
        let path = "/api/v1/users/\(person.user)"
        #expect(try await pair.client(owner).patch(path, ["role": "viewer"]).status == 200)
        let refreshed = try await anybody.post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)])
        let fresh = pair.users.client(token: try #require(refreshed["accessToken"].string))
        #expect(try await fresh.get("/api/v1/users").status == 200)
        #expect(try await pair.client(owner).delete(path).status == 204)
        try await pair.users.eventually("the new token is dead too") {
            try await fresh.get("/api/v1/users").status == 401
        }
    }

    @Test("an admin's reset sends the person a letter, and tells the admin nothing")
    func resetsPassword() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register()
        let answer = try await pair.client(owner).post("/api/v1/users/\(owner.user)/reset-password")
        #expect(answer.status == 202, "\(answer.text)")
        #expect(answer.json == ["userId": .string(owner.user.description)])
        let letter = try await LetterBox(host: pair.stack.auth).letter(to: owner.newcomer.email, "reset-password")
        #expect(!letter.token.isEmpty)
        let invited = try await pair.invite(Newcomer().email, by: owner)
        #expect(try await pair.client(owner).post("/api/v1/users/\(invited["id"].string ?? "")/reset-password").problem == "not-joined")
        let other = try await pair.stack.register()
        #expect(try await pair.client(owner).post("/api/v1/users/\(other.user)/reset-password").status == 404)
    }
}

extension TypedID where Kind == UserKind {
    /// UUID version 7 begins with the time in milliseconds; that of an account lies before 2025, whenever it was made.
    var hasNoTime: Bool {
        let digits = description.filter { $0 != "-" }
        guard digits.dropFirst(12).first == "7", let milliseconds = Int(digits.prefix(12), radix: 16) else { return false }
        return (1_577_836_800_000..<1_735_689_600_000).contains(milliseconds)
    }
}
