import Contracts
import Foundation
import ServiceKit
import TestKit
import Testing
import UsersService

@testable import AuthService

/// The letter of an invitation, followed as the one who got it follows it: open the link, fill in the form.
@Suite struct InvitationPageTests {
    private static let link = "http://127.0.0.1:8080/api/v1/auth/invitation?token="

    /// Opens the letter's link and sends its form.
    private func send(
        _ letter: Letter, _ newcomer: Newcomer, password: String? = nil, firstName: String = "Grace", at host: TestHost
    ) async throws -> TestResponse {
        let browser = Browser(host), link = try #require(letter.data["link"])
        #expect(link.hasPrefix(Self.link + "trx_inv_"), "\(link)")
        let page = try await browser.get(String(link.dropFirst("http://127.0.0.1:8080".count)))
        #expect(page.status == 200)
        return try await browser.post(
            try #require(page.formAction),
            [
                ("token", try #require(page.hidden("token"))), ("email", newcomer.email), ("firstName", firstName),
                ("lastName", "Hopper"), ("password", password ?? newcomer.password),
            ])
    }

    @Test("the link in the letter opens a form; whoever fills it in is an active member with the role that was offered, and signs in")
    func joins() async throws {
        let pair = try await InvitingPair.shared.value, auth = pair.stack.auth
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        let letter = try await pair.letter(to: newcomer.email, by: owner)
        // Opening spends nothing, however often a scanner does.
        for _ in 0..<3 {
            let page = try await auth.client(token: nil).get("/api/v1/auth/invitation?token=\(letter.token)")
            #expect(page.status == 200 && !page.text.contains("<script"))
            for purpose in ["email", "given-name", "family-name", "new-password"] {
                #expect(page.text.contains("autocomplete=\"\(purpose)\""))
            }
        }
        let done = try await send(letter, newcomer, at: auth)
        #expect(done.status == 200 && done.text.contains("Your account is ready"), "\(done.text)")
        #expect(!done.text.contains("eyJ") && done.header("set-cookie") == nil, "no tokens are shown or set")
        let person = try SignedInPerson(newcomer, try await auth.client(token: nil).post("/api/v1/auth/login", newcomer.signIn))
        #expect(person.tenant == owner.tenant)
        let member = try await pair.users.client(token: owner.access).get("/api/v1/users/\(person.user)")
        #expect(member["status"] == "active" && member["role"] == "editor", "\(member.text)")
        #expect(member["firstName"] == "Grace" && member["lastName"] == "Hopper", "\(member.text)")
        let me = try await auth.client(token: person.access).get("/api/v1/auth/me")
        #expect(me["user"]["emailVerified"] == true)
        let sessions = try await auth.client(token: person.access).get("/api/v1/auth/sessions")
        #expect(sessions["data"].array.count == 1, "the page opened none: \(sessions.text)")
        // The letter has been used.
        let again = try await send(letter, Newcomer(), at: auth)
        #expect(again.status == 400 && again.text.contains("role=\"alert\"") && !again.text.contains("<form"), "\(again.text)")
    }

    @Test("what is wrong is said first, all at once; what was typed is kept, as text, but for the password; and the letter stays good")
    func problems() async throws {
        let pair = try await InvitingPair.shared.value, auth = pair.stack.auth
        let owner = try await pair.stack.register(), newcomer = Newcomer()
        let letter = try await pair.letter(to: newcomer.email, by: owner)
        let refused = try await Browser(auth).post(
            "/api/v1/auth/invitation/confirm",
            [("token", letter.token), ("email", "grace"), ("firstName", "\"><b>Grace"), ("lastName", " "), ("password", "tooshort9")])
        #expect(refused.status == 400)
        #expect(refused.text.contains("role=\"alert\""))
        #expect(refused.text.contains("<a href=\"#email\">The e-mail address must be"))
        #expect(refused.text.contains("<a href=\"#password\">The password must have at least 10 characters.</a>"))
        #expect(refused.text.contains("value=\"grace\"") && refused.text.contains("value=\"&quot;&gt;&lt;b&gt;Grace\""))
        #expect(!refused.text.contains("tooshort9") && !refused.text.contains("<b>"))
        #expect(refused.hidden("token") == letter.token)
        #expect(try await send(letter, newcomer, password: "password1234", at: auth).text.contains("tried first"))
        let other = try await send(letter, Newcomer(), at: auth)
        #expect(other.status == 400 && other.text.contains("the one that the letter came to"), "\(other.text)")
        #expect(try await send(letter, newcomer, at: auth).status == 200)
        let rubbish = try await Browser(auth).post(
            "/api/v1/auth/invitation/confirm",
            [("token", "trx_inv_rubbish"), ("email", Newcomer().email), ("password", newcomer.password)])
        #expect(rubbish.status == 400 && rubbish.text.contains("This invitation is not valid"), "\(rubbish.text)")
        #expect(try await Browser(auth).get("/api/v1/auth/invitation").status == 400)
    }

    @Test("somebody with an account is told to sign in, and accepts with the token that the page shows")
    func hasAccount() async throws {
        let pair = try await InvitingPair.shared.value
        let owner = try await pair.stack.register(), member = try await pair.stack.register()
        let letter = try await pair.letter(to: member.newcomer.email, by: owner, role: "viewer")
        let told = try await send(letter, member.newcomer, password: "another good secret, mine", at: pair.stack.auth)
        #expect(told.status == 409)
        #expect(told.text.contains("POST /api/v1/invitations/accept"))
        #expect(told.text.contains("value=\"\(letter.token)\" autocomplete=\"off\""))
        let joined = try await pair.users.client(token: member.access).post("/api/v1/invitations/accept", ["token": .string(letter.token)])
        #expect(joined.status == 200, "\(joined.text)")
    }

    @Test("where registrations are confirmed, the page sends everybody to their mailbox, in the same words")
    func confirmed() async throws {
        let pair = try await InvitingPair.shared.value
        let host = try await pair.stack.another(["TRIONEX_AUTH_REGISTRATION": "confirmed"])
        let owner = try await pair.stack.register(), member = try await pair.stack.register(), newcomer = Newcomer()
        var pages: Set<String> = []
        for person in [newcomer, member.newcomer] {
            let letter = try await pair.letter(to: person.email, by: owner)
            let answer = try await send(letter, person, at: host)
            #expect(answer.status == 202, "\(answer.text)")
            pages.insert(answer.text.replacingOccurrences(of: letter.token, with: ""))
        }
        #expect(pages.count == 1)
        try await host.stop()
    }
}
