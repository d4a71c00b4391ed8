import AuthService
import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct EmailVerificationTests {
    private func stack() async throws -> (stack: AuthStack, nobody: TestClient, letters: LetterBox) {
        let stack = try await AuthStack.shared.value
        return (stack, stack.auth.client(token: nil), LetterBox(host: stack.auth))
    }

    private func isVerified(_ person: SignedInPerson, _ stack: AuthStack) async throws -> JSONValue {
        try await stack.auth.client(token: person.access).get("/api/v1/auth/me")["user"]["emailVerified"]
    }

    private func platformEvents(_ person: SignedInPerson, _ type: String, _ stack: AuthStack) async throws -> [JSONValue] {
        let user = person.user.description
        return try await stack.auth.outbox(.platform).filter { $0.type == type && $0.payload["userID"].string == user }.map(\.payload)
    }

    /// Puts back when the letters were asked for, as if an hour had passed.
    private func forgetAsking(_ email: String, _ stack: AuthStack) async throws {
        try await stack.auth.database.execute(
            "UPDATE email_proofs SET created_at = created_at - interval '2 hours' WHERE email = \(email)", as: AccountStore.caller)
    }

    @Test("a registration sends one letter, and its link verifies the address once")
    func link() async throws {
        let (stack, nobody, letters) = try await stack()
        let person = try await stack.register(), email = person.newcomer.email
        #expect(try await isVerified(person, stack) == false)
        #expect(try await letters.letters(to: email).map(\.template) == ["verify-email"])
        let letter = try await letters.letter(to: email, "verify-email")
        #expect(letter.data["link"]?.hasPrefix("http://127.0.0.1:8080/api/v1/auth/email/verify?token=trx_ml_") == true)
        #expect(letter.data["minutes"] == "1440")
        #expect(letter.expiresAt != nil)
        let verified = try await nobody.post(
            "/api/v1/auth/email/verify", ["token": .string(letter.token), "password": .string(person.newcomer.password)])
        #expect(verified.status == 200)
        #expect(verified["emailVerified"] == true)
        #expect(try await isVerified(person, stack) == true)
        let again = try await nobody.post(
            "/api/v1/auth/email/verify", ["token": .string(letter.token), "password": .string(person.newcomer.password)])
        #expect(again.status == 400)
        #expect(again.problem == "invalid-link")
        #expect(try await platformEvents(person, EmailVerificationRequested.type, stack).count == 1)
        #expect(try await platformEvents(person, EmailVerified.type, stack).map { $0["email"].string } == [email])
    }

    @Test("the code verifies the address too, written with a space or a hyphen, and spends the link")
    func code() async throws {
        let (stack, nobody, letters) = try await stack()
        let person = try await stack.register(), email = person.newcomer.email
        let letter = try await letters.letter(to: email, "verify-email")
        #expect(letter.code.count == 8 && letter.code.allSatisfy(\.isNumber))
        let spaced = letter.code.prefix(4) + " " + letter.code.suffix(4)
        let verified = try await nobody.post(
            "/api/v1/auth/email/verify",
            ["email": .string(email), "code": .string(String(spaced)), "password": .string(person.newcomer.password)])
        #expect(verified.status == 200)
        #expect(try await isVerified(person, stack) == true)
        #expect(
            try await nobody.post(
                "/api/v1/auth/email/verify", ["token": .string(letter.token), "password": .string(person.newcomer.password)]
            ).status == 400)
    }

    @Test("five wrong codes are all: then the right one is refused in the same words, and the link is still good")
    func attempts() async throws {
        let (stack, nobody, letters) = try await stack()
        let person = try await stack.register(), email = person.newcomer.email
        let letter = try await letters.letter(to: email, "verify-email")
        let wrong = letter.code == "00000000" ? "00000001" : "00000000"
        func attempt(_ code: String, _ address: String) async throws -> TestResponse {
            try await nobody.post(
                "/api/v1/auth/email/verify", ["email": .string(address), "code": .string(code)], headers: ["x-request-id": "the-same"])
        }
        var bodies: Set<Data> = []
        for _ in 0..<5 { bodies.insert(try await attempt(wrong, email).body) }
        let right = try await attempt(letter.code, email)
        #expect(right.status == 400)
        #expect(right.problem == "wrong-code")
        bodies.insert(right.body)
        bodies.insert(try await attempt(wrong, Newcomer().email).body)
        #expect(bodies.count == 1, "a wrong code, one that is over and an unknown address answer alike")
        #expect(
            try await nobody.post(
                "/api/v1/auth/email/verify", ["token": .string(letter.token), "password": .string(person.newcomer.password)]
            ).status == 200)
        #expect(try await isVerified(person, stack) == true)
    }

    @Test("a later letter takes the place of the earlier, and both expire")
    func replaced() async throws {
        let (stack, nobody, letters) = try await stack()
        let person = try await stack.register(), email = person.newcomer.email
        let first = try await letters.letter(to: email, "verify-email")
        let resent = try await nobody.post("/api/v1/auth/email/resend", ["email": .string(email)])
        #expect(resent.status == 202)
        let second = try await letters.letter(to: email, "verify-email")
        #expect(second.token != first.token)
        #expect(
            try await nobody.post(
                "/api/v1/auth/email/verify", ["token": .string(first.token), "password": .string(person.newcomer.password)]
            ).status == 400)
        #expect(
            try await nobody.post(
                "/api/v1/auth/email/verify",
                ["email": .string(email), "code": .string(first.code), "password": .string(person.newcomer.password)]
            ).status == 400)
        try await stack.auth.database.execute(
            "UPDATE email_proofs SET expires_at = now() - interval '1 second' WHERE email = \(email)", as: AccountStore.caller)
        #expect(
            try await nobody.post(
                "/api/v1/auth/email/verify", ["token": .string(second.token), "password": .string(person.newcomer.password)]
            ).problem == "invalid-link")
        #expect(
            try await nobody.post(
                "/api/v1/auth/email/verify",
                ["email": .string(email), "code": .string(second.code), "password": .string(person.newcomer.password)]
            ).status == 400)
        #expect(try await isVerified(person, stack) == false)
    }

    @Test("resending answers the same for everybody, writes to those with something to verify, and to nobody more than five times an hour")
    func resend() async throws {
        let (stack, nobody, letters) = try await stack()
        let open = try await stack.register(), done = try await stack.register(), unknown = Newcomer().email
        let token = try await letters.letter(to: done.newcomer.email, "verify-email").token
        #expect(
            try await nobody.post("/api/v1/auth/email/verify", ["token": .string(token), "password": .string(done.newcomer.password)])
                .status == 200)
        var bodies: Set<Data> = []
        for email in [open.newcomer.email, done.newcomer.email, unknown] {
            for _ in 0..<7 {
                let answer = try await nobody.post("/api/v1/auth/email/resend", ["email": .string(email)])
                #expect(answer.status == 202)
                bodies.insert(answer.body)
            }
        }
        #expect(bodies.count == 1)
        #expect(try await letters.letters(to: open.newcomer.email).count == 5)
        #expect(try await letters.letters(to: done.newcomer.email).count == 1)
        #expect(try await letters.letters(to: unknown).isEmpty)
        // What was refused did not take the last letter's place.
        try await forgetAsking(open.newcomer.email, stack)
        let last = try await letters.letter(to: open.newcomer.email, "verify-email")
        #expect(
            try await nobody.post("/api/v1/auth/email/verify", ["token": .string(last.token), "password": .string(open.newcomer.password)])
                .status == 200)
    }

    @Test("opening the link's page spends nothing; its button verifies, without any script")
    func page() async throws {
        let (stack, nobody, letters) = try await stack()
        let person = try await stack.register()
        let letter = try await letters.letter(to: person.newcomer.email, "verify-email")
        let path = "/api/v1/auth/email/verify?token=\(letter.token)"
        for _ in 0..<3 {
            let page = try await nobody.get(path)
            #expect(page.status == 200)
            #expect(page.header("content-type") == "text/html; charset=utf-8")
            #expect(page.header("cache-control") == "no-store")
            #expect(page.header("referrer-policy") == "no-referrer")
            #expect(page.text.contains("<form method=\"post\" action=\"/api/v1/auth/email/verify/confirm\">"))
            #expect(page.text.contains("value=\"\(letter.token)\""))
            #expect(page.text.contains("<html lang=\"en\">") && !page.text.contains("<script"))
        }
        #expect(try await nobody.head(path).status == 200)
        #expect(try await isVerified(person, stack) == false)
        let form = Data("token=\(letter.token)&password=\(person.newcomer.password.replacing(" ", with: "+"))".utf8)
        let confirmed = try await nobody.send(
            .POST, "/api/v1/auth/email/verify/confirm", bytes: form, headers: ["content-type": "application/x-www-form-urlencoded"])
        #expect(confirmed.status == 200)
        #expect(confirmed.text.contains("is confirmed"))
        #expect(try await isVerified(person, stack) == true)
        #expect(try await nobody.get(path).status == 400)
        let hostile = try await nobody.get("/api/v1/auth/email/verify?token=%22%3E%3Cscript%3E")
        #expect(hostile.status == 400 && !hostile.text.contains("<script"))
    }

    @Test("the mailbox's owner cannot vouch with a click for an account that somebody else made with the address")
    func strangersAccount() async throws {
        let (stack, nobody, letters) = try await stack()
        let person = try await stack.register(), letter = try await letters.letter(to: person.newcomer.email, "verify-email")
        let link = JSONValue.string(letter.token)
        #expect(try await nobody.post("/api/v1/auth/email/verify", ["token": link]).badFields == ["/password"])
        for _ in 0..<5 {
            #expect(try await nobody.post("/api/v1/auth/email/verify", ["token": link, "password": "another password"]).status == 401)
        }
        let right = try await nobody.post(
            "/api/v1/auth/email/verify", ["token": link, "password": .string(person.newcomer.password)])
        #expect(right.status == 400, "after five wrong ones the letter is worth nothing")
        #expect(try await isVerified(person, stack) == false)
    }

    @Test("a link of another kind verifies nothing, and a body that says neither link nor code is told so")
    func otherKinds() async throws {
        let (stack, nobody, letters) = try await stack()
        let person = try await stack.register(), email = person.newcomer.email
        #expect(try await nobody.post("/api/v1/auth/password/forgot", ["email": .string(email)]).status == 202)
        let reset = try await letters.letter(to: email, "reset-password")
        #expect(try await nobody.post("/api/v1/auth/email/verify", ["token": .string(reset.token)]).problem == "invalid-link")
        let bodies: [(JSONValue, String)] = [
            ([:], "/token"), (["email": .string(email)], "/code"), (["code": "12345678"], "/email"),
            (["token": "x", "email": .string(email), "code": "1"], "/token"),
        ]
        for (body, field) in bodies {
            #expect(try await nobody.post("/api/v1/auth/email/verify", body).badFields == [field])
        }
    }

    @Test("neither a link nor a code can be read back from the database, and no event has one")
    func secrets() async throws {
        let (stack, _, letters) = try await stack()
        let person = try await stack.register(), email = person.newcomer.email
        let letter = try await letters.letter(to: email, "verify-email")
        let rows = try await stack.auth.database.query(
            Query("SELECT to_jsonb(p)::text AS row FROM email_proofs p WHERE email = \(email)", column: "row") as Query<String>,
            as: AccountStore.caller)
        #expect(rows.count == 1)
        let events = try await stack.auth.outbox(.platform).map { "\($0.payload)" }.joined()
        for secret in [letter.token, letter.code] {
            #expect(!rows.joined().contains(secret) && !events.contains(secret))
        }
    }

    @Test("no link, code or new password reaches the log, at any level")
    func silentLog() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_LOG_LEVEL": "trace"]), nobody = host.client(token: nil)
        let person = try await stack.register(at: host), email = person.newcomer.email, letters = LetterBox(host: host)
        let verify = try await letters.letter(to: email, "verify-email")
        _ = try await nobody.get("/api/v1/auth/email/verify?token=\(verify.token)")
        _ = try await nobody.post("/api/v1/auth/email/verify", ["email": .string(email), "code": .string(verify.code)])
        _ = try await nobody.post("/api/v1/auth/password/forgot", ["email": .string(email)])
        let reset = try await letters.letter(to: email, "reset-password")
        _ = try await nobody.get("/api/v1/auth/password/reset?token=\(reset.token)")
        _ = try await nobody.post(
            "/api/v1/auth/password/reset", ["token": .string(reset.token), "password": "a password for the log to miss"])
        let lines = host.log.lines.joined(separator: "\n")
        #expect(lines.contains("/api/v1/auth/password/reset"), "the log is there at all")
        for secret in [verify.token, verify.code, reset.token, reset.code, "a password for the log to miss"] {
            #expect(!lines.contains(secret))
        }
        try await host.stop()
    }
}

@Suite struct ConfirmedRegistrationTests {
    private static let host = Task { try await AuthStack.shared.value.another(["TRIONEX_AUTH_REGISTRATION": "confirmed"]) }

    private func register(_ person: Newcomer, _ host: TestHost) async throws -> TestResponse {
        try await host.client(token: nil).post("/api/v1/auth/register", person.registration, headers: ["x-request-id": "the-same"])
    }

    @Test("known and unknown addresses are answered alike, and only the mailbox learns which it is")
    func alike() async throws {
        let stack = try await AuthStack.shared.value, host = try await Self.host.value, letters = LetterBox(host: host)
        let known = try await stack.register().newcomer, newcomer = Newcomer()
        let answers = [try await register(known, host), try await register(newcomer, host)]
        for answer in answers {
            #expect(answer.status == 202)
            #expect(answer["status"] == "verification-required")
        }
        #expect(answers[0].body == answers[1].body)
        #expect(Set(answers[0].headers.map(\.name)) == Set(answers[1].headers.map(\.name)))
        #expect(try await letters.letters(to: known.email).map(\.template) == ["verify-email", "account-exists"])
        #expect(try await letters.letters(to: newcomer.email).map(\.template) == ["verify-email"])
        // Nothing is made of it yet, and signing in says no more than to a stranger.
        #expect(try await host.client(token: nil).post("/api/v1/auth/login", newcomer.signIn).problem == "wrong-credentials")
    }

    @Test("the link and the password together make the account, once, with its organization")
    func confirms() async throws {
        let host = try await Self.host.value, newcomer = Newcomer(), nobody = host.client(token: nil)
        #expect(try await register(newcomer, host).status == 202)
        let letter = try await LetterBox(host: host).letter(to: newcomer.email, "verify-email")
        let link = JSONValue.string(letter.token)
        let without = try await nobody.post("/api/v1/auth/email/verify", ["token": link])
        #expect(without.status == 400 && without.badFields == ["/password"])
        let wrong = try await nobody.post("/api/v1/auth/email/verify", ["token": link, "password": "another password"])
        #expect(wrong.status == 401)
        let done = try await nobody.post("/api/v1/auth/email/verify", ["token": link, "password": .string(newcomer.password)])
        #expect(done.status == 200)
        let person = try SignedInPerson(newcomer, try await nobody.post("/api/v1/auth/login", newcomer.signIn))
        #expect(person.user.hasNoTime)
        #expect(person.answer["organization"]["slug"].string == newcomer.slug)
        #expect(try await host.client(token: person.access).get("/api/v1/auth/me")["user"]["emailVerified"] == true)
        let events = try await host.outbox(person.tenant).map(\.type)
        #expect(events.filter { $0 == UserRegistered.type }.count == 1)
        let again = try await nobody.post("/api/v1/auth/email/verify", ["token": link, "password": .string(newcomer.password)])
        #expect(again.status == 400)
    }

    @Test("whoever registers with another's address cannot have its owner finish the registration for them")
    func squatter() async throws {
        let host = try await Self.host.value, owner = Newcomer(), nobody = host.client(token: nil)
        let squatter: JSONValue = ["email": .string(owner.email), "password": "the squatter's own password"]
        #expect(try await nobody.post("/api/v1/auth/register", squatter).status == 202)
        #expect(try await register(owner, host).status == 202)
        #expect(try await nobody.post("/api/v1/auth/register", squatter).status == 202)
        // The owner takes the code of each letter in turn: one is theirs, and it was not spent by the squatter's later try.
        var statuses: [Int] = []
        for letter in try await LetterBox(host: host).letters(to: owner.email, "verify-email") {
            let tried = try await nobody.post(
                "/api/v1/auth/email/verify", ["token": .string(letter.token), "password": .string(owner.password)])
            statuses.append(tried.status)
        }
        #expect(statuses == [401, 200, 401])
        #expect(try await nobody.post("/api/v1/auth/login", owner.signIn).status == 200)
        #expect(try await nobody.post("/api/v1/auth/login", squatter).status == 401)
    }

    @Test("wrong passwords for a registration are counted: after five it cannot be finished")
    func guesses() async throws {
        let host = try await Self.host.value, newcomer = Newcomer(), nobody = host.client(token: nil)
        #expect(try await register(newcomer, host).status == 202)
        let letter = try await LetterBox(host: host).letter(to: newcomer.email, "verify-email")
        for _ in 0..<5 {
            _ = try await nobody.post("/api/v1/auth/email/verify", ["token": .string(letter.token), "password": "another password"])
        }
        let link: JSONValue = ["token": .string(letter.token), "password": .string(newcomer.password)]
        #expect(try await nobody.post("/api/v1/auth/email/verify", link).status == 400)
    }

    @Test("a slug that was taken meanwhile does not spoil a verified registration")
    func slugTaken() async throws {
        let stack = try await AuthStack.shared.value, host = try await Self.host.value, nobody = host.client(token: nil)
        let newcomer = Newcomer()
        #expect(try await register(newcomer, host).status == 202)
        var other = Newcomer().registration
        guard case .object(var fields) = other else { return }
        fields["organization"] = ["name": "Others", "slug": .string(newcomer.slug)]
        other = .object(fields)
        #expect(try await stack.auth.client(token: nil).post("/api/v1/auth/register", other).status == 201)
        let letter = try await LetterBox(host: host).letter(to: newcomer.email, "verify-email")
        let done = try await nobody.post(
            "/api/v1/auth/email/verify", ["token": .string(letter.token), "password": .string(newcomer.password)])
        #expect(done.status == 200)
        let person = try SignedInPerson(newcomer, try await nobody.post("/api/v1/auth/login", newcomer.signIn))
        #expect(person.answer["organization"]["slug"].string != newcomer.slug)
    }

    @Test("the page asks for the password, and a resent letter finishes the same registration")
    func page() async throws {
        let host = try await Self.host.value, newcomer = Newcomer(), nobody = host.client(token: nil)
        #expect(try await register(newcomer, host).status == 202)
        #expect(try await nobody.post("/api/v1/auth/email/resend", ["email": .string(newcomer.email)]).status == 202)
        let letter = try await LetterBox(host: host).letter(to: newcomer.email, "verify-email")
        let page = try await nobody.get("/api/v1/auth/email/verify?token=\(letter.token)")
        #expect(page.text.contains("type=\"password\"") && page.text.contains("<label for=\"password\">"))
        func send(_ password: String) async throws -> TestResponse {
            let form = "token=\(letter.token)&password=\(password.replacingOccurrences(of: " ", with: "+"))"
            return try await nobody.send(
                .POST, "/api/v1/auth/email/verify/confirm", bytes: Data(form.utf8),
                headers: ["content-type": "application/x-www-form-urlencoded"])
        }
        let wrong = try await send("another password")
        #expect(wrong.status == 400 && wrong.text.contains("role=\"alert\""))
        #expect(try await send(newcomer.password).status == 200)
        #expect(try await nobody.post("/api/v1/auth/login", newcomer.signIn).status == 200)
    }
}
