import AuthService
import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct PasswordChangeTests {
    private static let next = "quite another good password"

    private func forgot(_ email: String, _ host: TestHost) async throws -> TestResponse {
        try await host.client(token: nil).post(
            "/api/v1/auth/password/forgot", ["email": .string(email)], headers: ["x-request-id": "the-same"])
    }

    private func signIn(_ person: SignedInPerson, _ password: String, _ host: TestHost) async throws -> TestResponse {
        try await host.client(token: nil).post(
            "/api/v1/auth/login", ["email": .string(person.newcomer.email), "password": .string(password)])
    }

    private func events(_ person: SignedInPerson, _ type: String, _ host: TestHost) async throws -> [JSONValue] {
        let user = person.user.description
        return try await host.outbox(.platform).filter { $0.type == type && $0.payload["userID"].string == user }.map(\.payload)
    }

    @Test("a forgotten password is set by the link, once, and every session ends, in every organization")
    func reset() async throws {
        let stack = try await AuthStack.shared.value, nobody = stack.auth.client(token: nil), letters = LetterBox(host: stack.auth)
        let person = try await stack.register(), other = try await stack.register(), email = person.newcomer.email
        try await stack.users.database.execute(
            """
            INSERT INTO people (tenant_id, user_id, email, role, status, created_at, updated_at)
            VALUES (\(other.tenant), \(person.user), \(email), 'viewer', 'active', \(Date()), \(Date()))
            """, as: .service(.users, for: other.tenant))
        let elsewhere = try await nobody.post(
            "/api/v1/auth/login",
            ["email": .string(email), "password": .string(person.newcomer.password), "organization": .string(other.newcomer.slug)])
        #expect(elsewhere["organization"]["id"].string == other.tenant.description)

        #expect(try await forgot(email, stack.auth).status == 202)
        let letter = try await letters.letter(to: email, "reset-password")
        #expect(letter.data["link"]?.contains("/api/v1/auth/password/reset?token=trx_ml_") == true)
        #expect(letter.data["minutes"] == "30")
        let body: JSONValue = ["token": .string(letter.token), "password": .string(Self.next)]
        #expect(try await nobody.post("/api/v1/auth/password/reset", body).status == 204)
        #expect(try await nobody.post("/api/v1/auth/password/reset", body).problem == "invalid-link")

        #expect(try await signIn(person, person.newcomer.password, stack.auth).status == 401)
        #expect(try await signIn(person, Self.next, stack.auth).status == 200)
        for token in [person.access, elsewhere["accessToken"].string] {
            #expect(try await stack.auth.client(token: token).get("/api/v1/auth/me").problem == "revoked-session")
        }
        for token in [person.refresh, elsewhere["refreshToken"].string ?? ""] {
            #expect(try await nobody.post("/api/v1/auth/refresh", ["refreshToken": .string(token)]).status == 401)
        }
        #expect(try await letters.letters(to: email, "password-changed").count == 1)
        #expect(try await events(person, PasswordResetRequested.type, stack.auth).map { $0["requestedBy"].string } == ["person"])
        #expect(try await events(person, PasswordChanged.type, stack.auth).map { $0["reason"].string } == ["reset"])
        let ended = try await stack.auth.outbox(other.tenant).filter { $0.type == SessionRevoked.type }.map { $0.payload["reason"].string }
        #expect(ended == ["password-reset"])
        // Who has the mailbox has verified the address.
        let again = try SignedInPerson(
            Newcomer(), try await signIn(person, Self.next, stack.auth))
        #expect(try await stack.auth.client(token: again.access).get("/api/v1/auth/me")["user"]["emailVerified"] == true)
    }

    @Test("a reset by the mailbox's owner leaves nothing of whoever had registered with the address before them")
    func planted() async throws {
        let stack = try await AuthStack.shared.value, nobody = stack.auth.client(token: nil)
        let squatter = try await stack.register(), desk = FactorDesk(stack: stack, host: stack.auth, person: squatter)
        var passkey = SoftwareAuthenticator()
        #expect(try await desk.addKey(&passkey).status == 200)
        try await stack.auth.database.execute(
            """
            INSERT INTO identities (tenant_id, id, issuer, subject, account_id, email, linked_by, created_at, last_used_at)
            VALUES (\(TenantID.platform), \(UUID()), 'https://i.example', \(UUID().uuidString), \(squatter.user), NULL, 'person', now(), now())
            """, as: AccountStore.caller)
        let email = squatter.newcomer.email
        #expect(try await forgot(email, stack.auth).status == 202)
        let letter = try await LetterBox(host: stack.auth).letter(to: email, "reset-password")
        let reset = try await nobody.post(
            "/api/v1/auth/password/reset", ["token": .string(letter.token), "password": .string(Self.next)])
        #expect(reset.status == 204)
        let options = try await nobody.post("/api/v1/auth/passkey/options", [:])["publicKey"]
        #expect(try await nobody.post("/api/v1/auth/passkey/login", ["credential": try passkey.assert(options)]).status == 401)
        let owner = try SignedInPerson(Newcomer(), try await signIn(squatter, Self.next, stack.auth))
        #expect(try await stack.auth.client(token: owner.access).get("/api/v1/auth/identities")["data"].array.isEmpty)
    }

    @Test("the code resets too; wrong codes are counted, and a password that is refused spends nothing")
    func code() async throws {
        let stack = try await AuthStack.shared.value, nobody = stack.auth.client(token: nil)
        let person = try await stack.register(), email = person.newcomer.email
        #expect(try await forgot(email, stack.auth).status == 202)
        let letter = try await LetterBox(host: stack.auth).letter(to: email, "reset-password")
        func reset(_ code: String, _ password: String) async throws -> TestResponse {
            try await nobody.post(
                "/api/v1/auth/password/reset",
                ["email": .string(email), "code": .string(code), "password": .string(password)])
        }
        #expect(try await reset(letter.code, "too short").badFields == ["/password"])
        #expect(try await reset(letter.code, email).badFields == ["/password"])
        #expect(try await reset(letter.code == "00000000" ? "00000001" : "00000000", Self.next).problem == "wrong-code")
        #expect(try await reset(letter.code, Self.next).status == 204)
        #expect(try await signIn(person, Self.next, stack.auth).status == 200)
    }

    @Test("asking answers alike for everybody, replaces the earlier letter, and writes to nobody who has no account")
    func forgotten() async throws {
        let stack = try await AuthStack.shared.value, nobody = stack.auth.client(token: nil), letters = LetterBox(host: stack.auth)
        let person = try await stack.register(), email = person.newcomer.email, unknown = Newcomer().email
        var bodies: Set<Data> = []
        for address in [email, unknown, email, unknown] {
            let answer = try await forgot(address, stack.auth)
            #expect(answer.status == 202)
            bodies.insert(answer.body)
        }
        #expect(bodies.count == 1)
        #expect(try await letters.letters(to: unknown).isEmpty)
        let sent = try await letters.letters(to: email, "reset-password")
        #expect(sent.count == 2)
        let statuses = [
            try await nobody.post("/api/v1/auth/password/reset", ["token": .string(sent[0].token), "password": .string(Self.next)]).status,
            try await nobody.post("/api/v1/auth/password/reset", ["token": .string(sent[1].token), "password": .string(Self.next)]).status,
        ]
        #expect(statuses == [400, 204])
    }

    @Test("of two who show one link at once, one sets the password")
    func race() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        #expect(try await forgot(person.newcomer.email, stack.auth).status == 202)
        let letter = try await LetterBox(host: stack.auth).letter(to: person.newcomer.email, "reset-password")
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<6 {
                group.addTask {
                    try await stack.auth.client(token: nil).post(
                        "/api/v1/auth/password/reset",
                        ["token": .string(letter.token), "password": .string("one of several passwords, \(index)")]
                    ).status
                }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 204 }.count == 1)
        #expect(statuses.filter { $0 == 400 }.count == 5)
    }

    @Test("the page of the link asks for a password and says what is wrong with one")
    func page() async throws {
        let stack = try await AuthStack.shared.value, nobody = stack.auth.client(token: nil), person = try await stack.register()
        #expect(try await forgot(person.newcomer.email, stack.auth).status == 202)
        let letter = try await LetterBox(host: stack.auth).letter(to: person.newcomer.email, "reset-password")
        let page = try await nobody.get("/api/v1/auth/password/reset?token=\(letter.token)")
        #expect(page.status == 200)
        #expect(page.text.contains("autocomplete=\"new-password\"") && !page.text.contains("<script"))
        func send(_ password: String) async throws -> TestResponse {
            let form = "token=\(letter.token)&password=\(password.replacingOccurrences(of: " ", with: "+"))"
            return try await nobody.send(
                .POST, "/api/v1/auth/password/reset/confirm", bytes: Data(form.utf8),
                headers: ["content-type": "application/x-www-form-urlencoded"])
        }
        let short = try await send("short")
        #expect(short.status == 400 && short.text.contains("at least 10 characters"))
        #expect(try await send("password1234").text.contains("tried first"))
        #expect(try await send(Self.next).status == 200)
        #expect(try await signIn(person, Self.next, stack.auth).status == 200)
        #expect(try await nobody.get("/api/v1/auth/password/reset?token=\(letter.token)").status == 400)
    }

    @Test("changing the password keeps this session, ends the others and makes waiting reset links worthless")
    func changes() async throws {
        let stack = try await AuthStack.shared.value, nobody = stack.auth.client(token: nil), letters = LetterBox(host: stack.auth)
        let person = try await stack.register()
        let other = try SignedInPerson(person.newcomer, try await signIn(person, person.newcomer.password, stack.auth))
        #expect(try await forgot(person.newcomer.email, stack.auth).status == 202)
        let link = try await letters.letter(to: person.newcomer.email, "reset-password").token
        let client = stack.auth.client(token: person.access)
        let body: JSONValue = ["currentPassword": .string(person.newcomer.password), "newPassword": .string(Self.next)]
        #expect(try await client.post("/api/v1/auth/password/change", body).status == 204)
        #expect(try await client.get("/api/v1/auth/me").status == 200)
        #expect(try await nobody.post("/api/v1/auth/refresh", ["refreshToken": .string(person.refresh)]).status == 200)
        #expect(try await stack.auth.client(token: other.access).get("/api/v1/auth/me").problem == "revoked-session")
        #expect(try await nobody.post("/api/v1/auth/refresh", ["refreshToken": .string(other.refresh)]).status == 401)
        try await stack.users.eventually("users refuses the other session too") {
            try await stack.users.client(token: other.access).get("/api/v1/users/me").problem == "revoked-session"
        }
        #expect(
            try await nobody.post("/api/v1/auth/password/reset", ["token": .string(link), "password": "a third good password"]).status
                == 400)
        #expect(try await signIn(person, person.newcomer.password, stack.auth).status == 401)
        #expect(try await signIn(person, Self.next, stack.auth).status == 200)
        #expect(try await events(person, PasswordChanged.type, stack.auth).map { $0["reason"].string } == ["change"])
        #expect(try await letters.letters(to: person.newcomer.email, "password-changed").count == 1)
    }

    @Test("a wrong current password is refused and counted as a failed sign-in is; a bad new one names its field")
    func refused() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_LOCKOUT_FAILURES": "3"])
        let person = try await stack.register(at: host), client = host.client(token: person.access)
        func change(_ current: String, _ new: String) async throws -> TestResponse {
            try await client.post("/api/v1/auth/password/change", ["currentPassword": .string(current), "newPassword": .string(new)])
        }
        #expect(try await change(person.newcomer.password, "password1234").badFields == ["/newPassword"])
        #expect(try await change(person.newcomer.password, person.newcomer.email).badFields == ["/newPassword"])
        let same = try await change(person.newcomer.password, person.newcomer.password)
        #expect(same["errors"][0]["code"] == "password-unchanged")
        for _ in 0..<3 {
            let wrong = try await change("not the password", Self.next)
            #expect(wrong.status == 401)
            #expect(wrong.problem == "wrong-password")
        }
        #expect(try await change(person.newcomer.password, Self.next).status == 429)
        #expect(try await signIn(person, person.newcomer.password, host).status == 429)
        try await host.stop()
    }

    @Test("sessions that a change of password could not end are ended by the worker, and so are those opened meanwhile with the old one")
    func worker() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let house = stack.auth.host.foundations, user = person.user
        let changed = Date().addingTimeInterval(60)
        // As after a crash: the password is changed, nothing has ended yet.
        try await house.database.execute(
            "UPDATE accounts SET sessions_end_at = \(changed), session_kept = NULL WHERE id = \(user)", as: AccountStore.caller)
        let sessions = Sessions(
            database: house.database, keys: stack.keys, revocations: house.revocations, accessLifetime: 900,
            life: SessionLife(idle: 60, absolute: 60), logger: .silent)
        let passwords = try PasswordHashing(
            cost: Argon2Cost(memoryKiB: 64, passes: 1, lanes: 1), threads: HashingThreads(threads: 1, limit: 10))
        let worker = AccountHousekeeping(
            database: house.database, sessions: sessions, keys: stack.keyEnding, passwords: passwords,
            now: { changed.addingTimeInterval(11) }, logger: .silent)
        try await worker.endSessions()
        #expect(try await stack.auth.client(token: person.access).get("/api/v1/auth/me").problem == "revoked-session")
        let left = try await house.database.first(
            Query("SELECT sessions_end_at FROM accounts WHERE id = \(user)", column: "sessions_end_at") as Query<Date?>,
            as: AccountStore.caller)
        #expect(left == .some(nil))
    }

    @Test("an administrator's reset, asked for by users, sends the letter; nobody else may ask for it")
    func byAdmin() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let path = "/internal/v1/accounts/\(person.user)/password-reset"
        let program = try await stack.program(.users, of: stack.auth)
        #expect(try await program.post(path).status == 202)
        #expect(try await LetterBox(host: stack.auth).letters(to: person.newcomer.email, "reset-password").count == 1)
        #expect(try await events(person, PasswordResetRequested.type, stack.auth).map { $0["requestedBy"].string } == ["admin"])
        #expect(try await stack.auth.client(token: person.access).post(path).status == 403)
        #expect(try await program.post("/internal/v1/accounts/\(UserID.make())/password-reset").status == 404)
    }
}
