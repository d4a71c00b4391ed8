import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

extension FactorDesk {
    /// The mailbox has been shown to be the person's.
    func verifyAddress() async throws {
        let user = person.user
        try await database.execute(
            "UPDATE accounts SET email_verified_at = COALESCE(email_verified_at, now()) WHERE id = \(user)", as: AccountStore.caller)
    }
}

/// What a password alone, though it was right, does not open.
@Suite struct FactorGuardTests {
    @Test("where any organization of the person's demands a factor, the last one stays, whichever they are signed in to")
    func demandedElsewhere() async throws {
        let desk = try await FactorDesk.open(), other = try await FactorDesk.open()
        try await desk.verifyAddress()
        _ = try await desk.addApp()
        try await desk.stack.join(desk.person, other.person)
        try await other.demandSecondFactor()
        let id = try await desk.signedIn.get("/api/v1/auth/mfa")["data"].array.first?["id"].string ?? ""
        let refused = try await desk.signedIn.delete("/api/v1/auth/mfa/\(id)")
        #expect(refused.status == 409 && refused.problem == "last-second-factor", "\(refused.text)")
        try await other.demandSecondFactor(false)
        #expect(try await desk.signedIn.delete("/api/v1/auth/mfa/\(id)").status == 204)
    }

    @Test("a sign-in with a password on a trusted device neither adds nor removes factors, nor makes recovery codes")
    func trustedDevice() async throws {
        let desk = try await FactorDesk.open()
        try await desk.verifyAddress()
        // Before there is a factor: the same session as a trusted device would have.
        let plain = desk.host.client(token: try await desk.logIn()["accessToken"].string)
        let begun = try await plain.post("/api/v1/auth/mfa/setup", ["method": "totp"])
        let key = try #require(begun["secret"].string.flatMap { Base32Text.decode($0) })
        var authenticator = SoftwareAuthenticator()
        let added = try await desk.addKey(&authenticator)
        #expect(added.status == 200, "\(added.text)")
        let id = added["factor"]["id"].string ?? ""
        let code = JSONValue.string(TOTP.code(key: key, step: TOTP.step(at: Date())))
        for answer in [
            try await plain.post("/api/v1/auth/mfa/setup", ["method": "totp"]),
            try await plain.post("/api/v1/auth/mfa/verify", ["method": "totp", "code": code]),
            try await plain.post("/api/v1/auth/mfa/recovery-codes"),
            try await plain.delete("/api/v1/auth/mfa/\(id)"),
        ] {
            #expect(answer.status == 403 && answer.problem == "second-factor-needed", "\(answer.text)")
        }
        // Whoever has shown the factor may.
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/recovery-codes").status == 200)
        #expect(try await desk.signedIn.delete("/api/v1/auth/mfa/\(id)").status == 204)
    }

    @Test("a password steps up no session once the organization demands a second factor")
    func stepUp() async throws {
        let desk = try await FactorDesk.open()
        let body: JSONValue = ["password": .string(desk.person.newcomer.password)]
        #expect(try await desk.signedIn.post("/api/v1/auth/step-up", body).status == 200)
        try await desk.demandSecondFactor()
        let refused = try await desk.signedIn.post("/api/v1/auth/step-up", body)
        #expect(refused.status == 403 && refused.problem == "second-factor-required", "\(refused.text)")
    }

    @Test("of many guesses that come at once, those that wait for their turn are held against the locks of their turn")
    func guessesAtOnce() async throws {
        let stack = try await AuthStack.shared.value, newcomer = Newcomer()
        // One hash at a time, each of about a tenth of a second.
        let host = try await stack.another([
            "TRIONEX_AUTH_LOCKOUT_FAILURES": "2", "TRIONEX_AUTH_LOCKOUT_FIRST_SECONDS": "600", "TRIONEX_AUTH_HASHING_THREADS": "1",
            "TRIONEX_AUTH_ARGON2_MEMORY_KIB": "65536", "TRIONEX_AUTH_ARGON2_PASSES": "3",
        ])
        _ = try await stack.register(newcomer, at: host)
        let statuses = try await withThrowingTaskGroup(of: (Bool, Int).self) { group in
            for index in 0..<12 {
                group.addTask {
                    let guess: JSONValue = ["email": .string(newcomer.email), "password": .string("a wrong guess, number \(index)")]
                    return (false, try await host.client(token: nil).post("/api/v1/auth/login", guess).status)
                }
            }
            group.addTask {
                try await Task.sleep(for: .milliseconds(60))
                return (true, try await host.client(token: nil).post("/api/v1/auth/login", newcomer.signIn).status)
            }
            return try await group.reduce(into: [(Bool, Int)]()) { $0.append($1) }
        }
        #expect(statuses.filter { $0.0 }.allSatisfy { $0.1 != 200 }, "the right one among them is too late")
        #expect(statuses.allSatisfy { $0.1 == 401 || $0.1 == 429 })
        try await host.stop()
    }

    @Test("an address that is kept for somebody invited is not taken by registering again without the invitation")
    func reserved() async throws {
        let stack = try await AuthStack.shared.value, newcomer = Newcomer()
        let kept = try await stack.program(.users, of: stack.auth).put("/internal/v1/accounts", ["email": .string(newcomer.email)])
        #expect(kept.status == 200, "\(kept.text)")
        let details: JSONValue = ["email": .string(newcomer.email), "password": .string(newcomer.password)]
        let withToken: JSONValue = [
            "email": .string(newcomer.email), "password": .string(newcomer.password), "invitationToken": "trx_inv_nonsense",
        ]
        // While users is away nobody has said that the invitation is none.
        let first = try await AuthStack.withoutUsers.value.client(token: nil).post("/api/v1/auth/register", withToken)
        #expect(first.status == 503)
        let second = try await stack.auth.client(token: nil).post("/api/v1/auth/register", details)
        #expect(second.status == 409 && second.problem == "registration-pending", "\(second.text)")
        let email = newcomer.email
        let status = Query<String>("SELECT status FROM accounts WHERE email = \(email)", column: "status")
        #expect(try await stack.auth.database.first(status, as: AccountStore.caller) != "active")
    }
}
