import AuthService
import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@testable import AuthService

@Suite struct AccountRoutesTests {
    @Test("an id kept for an address is the same each time, and becomes the account's when its owner proves the mailbox")
    func reserves() async throws {
        let stack = try await AuthStack.shared.value, newcomer = Newcomer(), nobody = stack.auth.client(token: nil)
        let program = try await stack.program(.users, of: stack.auth), body: JSONValue = ["email": .string(newcomer.email)]
        let first = try await program.put("/internal/v1/accounts", body), second = try await program.put("/internal/v1/accounts", body)
        #expect(first.status == 200)
        #expect(first["status"] == "reserved")
        #expect(first.json == second.json)
        #expect(try await nobody.post("/api/v1/auth/login", newcomer.signIn).problem == "wrong-credentials")
        #expect(try await nobody.post("/api/v1/auth/password/forgot", body).status == 202)
        let letters = LetterBox(host: stack.auth)
        #expect(try await letters.letters(to: newcomer.email).isEmpty)

        // Users may know the id already: whoever registers with it must show that the address is theirs.
        let registered = try await nobody.post("/api/v1/auth/register", newcomer.registration)
        #expect(registered.status == 202)
        #expect(registered["status"] == "verification-required")
        let letter = try await letters.letter(to: newcomer.email, "verify-email")
        let verified = try await nobody.post(
            "/api/v1/auth/email/verify", ["token": .string(letter.token), "password": .string(newcomer.password)])
        #expect(verified.status == 200)
        let person = try SignedInPerson(newcomer, try await nobody.post("/api/v1/auth/login", newcomer.signIn))
        #expect(person.user.description == first["id"].string)
        #expect(try await program.put("/internal/v1/accounts", body)["status"] == "active")
        #expect(try await stack.auth.client(token: person.access).put("/internal/v1/accounts", body).status == 403)
    }

    @Test("a registration with a bad invitation leaves the reserved id as it was")
    func badInvitation() async throws {
        let stack = try await AuthStack.shared.value, newcomer = Newcomer(), nobody = stack.auth.client(token: nil)
        let program = try await stack.program(.users, of: stack.auth), body: JSONValue = ["email": .string(newcomer.email)]
        let reserved = try await program.put("/internal/v1/accounts", body)
        let refused = try await nobody.post(
            "/api/v1/auth/register",
            ["email": .string(newcomer.email), "password": .string(newcomer.password), "invitationToken": "nothing that users knows"])
        #expect(refused.status == 400)
        #expect(refused.badFields == ["/invitationToken"])
        let after = try await program.put("/internal/v1/accounts", body)
        #expect(after.json == reserved.json)
        let email = newcomer.email
        let hash = try await stack.auth.database.first(
            Query("SELECT password_hash FROM accounts WHERE email = \(email)", column: "password_hash") as Query<String?>,
            as: AccountStore.caller)
        #expect(hash == .some(nil), "the password of whoever tried is gone")
    }

    @Test("whoever is invited joins the organization under the reserved id, with the address proven, and no organization of their own")
    func invitation() async throws {
        let stack = try await AuthStack.shared.value, owner = try await stack.register(), newcomer = Newcomer()
        let users = try await AuthStack.invitingUsers.value
        let invited = try await users.client(token: owner.access).post(
            "/api/v1/organizations/\(owner.tenant)/invitations", ["email": .string(newcomer.email), "role": "editor"])
        #expect(invited.status == 201, "\(invited.text)")
        let letter = try await LetterBox(host: users).letter(to: newcomer.email, "invitation")
        func register(_ email: String) async throws -> TestResponse {
            try await stack.auth.client(token: nil).post(
                "/api/v1/auth/register",
                ["email": .string(email), "password": .string(newcomer.password), "invitationToken": .string(letter.token)])
        }
        #expect(try await register(Newcomer().email).status == 400, "the invitation is for one address")
        let person = try SignedInPerson(newcomer, try await register(newcomer.email))
        #expect(person.tenant == owner.tenant)
        #expect(person.answer["user"]["roles"] == ["editor"])
        #expect(try await stack.auth.client(token: person.access).get("/api/v1/auth/me")["user"]["emailVerified"] == true)
        #expect(try await LetterBox(host: stack.auth).letters(to: newcomer.email, "verify-email").isEmpty)
    }

    @Test("imported people sign in with the passwords they had, and their hashes become ours")
    func imports() async throws {
        let stack = try await AuthStack.shared.value, owner = try await stack.register(), newcomer = Newcomer()
        let program = try await stack.program(.users, of: stack.auth)
        // "abc", of the published vectors: too short to be chosen here, good enough to have been.
        let hash = BcryptTests.vectors[2].1
        let answer = try await program.post(
            "/internal/v1/accounts/import",
            [
                "accounts": [
                    ["email": .string(newcomer.email), "passwordHash": .string(hash), "emailVerified": true],
                    ["email": .string(owner.newcomer.email), "passwordHash": .string(hash)],
                ]
            ])
        #expect(answer.status == 200)
        #expect(answer["accounts"].array.map { $0["status"] } == ["imported", "exists"])
        #expect(answer["accounts"][1]["id"].string == owner.user.description)
        let user = try #require(answer["accounts"][0]["id"].string)
        let joined = try await stack.program(.auth, of: stack.users).put(
            "/internal/v1/organizations/\(owner.tenant)/members/\(user)", ["email": .string(newcomer.email), "role": "viewer"])
        #expect(joined.status == 200)
        let nobody = stack.auth.client(token: nil)
        func signIn(_ password: String) async throws -> TestResponse {
            try await nobody.post("/api/v1/auth/login", ["email": .string(newcomer.email), "password": .string(password)])
        }
        #expect(try await signIn("abd").status == 401)
        #expect(try await signIn("abc").status == 200)
        let email = newcomer.email
        let stored: String?? = try await stack.auth.database.first(
            Query("SELECT password_hash FROM accounts WHERE email = \(email)", column: "password_hash") as Query<String?>,
            as: AccountStore.caller)
        #expect((stored ?? nil)?.hasPrefix("$argon2id$") == true)
        #expect(try await signIn("abc").status == 200)
        #expect(try await nobody.post("/api/v1/auth/login", owner.newcomer.signIn).status == 200, "who was there keeps their password")
    }

    @Test("hashes that cannot be taken over are named, and then nothing is imported")
    func badImport() async throws {
        let stack = try await AuthStack.shared.value, newcomer = Newcomer()
        let program = try await stack.program(.users, of: stack.auth)
        let answer = try await program.post(
            "/internal/v1/accounts/import",
            ["accounts": [["email": .string(newcomer.email)], ["email": .string(Newcomer().email), "passwordHash": "plain text"]]])
        #expect(answer.status == 400)
        #expect(answer.badFields == ["/accounts/1/passwordHash"])
        #expect(try await program.put("/internal/v1/accounts", ["email": .string(newcomer.email)])["status"] == "reserved")
        #expect(try await program.post("/internal/v1/accounts/import", ["accounts": []]).status == 400)
    }
}
