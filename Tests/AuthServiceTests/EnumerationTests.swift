import AuthService
import Contracts
import Foundation
import NIOHTTP1
import ServiceKit
import TestKit
import Testing

@testable import AuthService

/// Whether an account has an address cannot be told by time: medians of many tries, known and unknown in turn.
///
/// A hash is cheap here, so that whatever else takes time shows. A difference that is there shows in every round; one that only a
/// busy machine makes does not.
@Suite(.serialized) struct EnumerationTests {
    private static let tries = 30
    private static let rounds = 8
    /// Of the larger median.
    private static let tolerance = 0.2

    /// Accounts nobody has signed in to: as good as any to fail with, and quick to make.
    private func people(_ count: Int, _ stack: AuthStack) async throws -> [String] {
        let hashing = try PasswordHashing(
            cost: Argon2Cost(memoryKiB: 64, passes: 1, lanes: 1), threads: HashingThreads(threads: 1, limit: 10))
        let hash = try await hashing.hash(Array("a password of everybody".utf8))
        let emails = (0..<count).map { _ in Newcomer().email }
        let body = JSONValue.array(emails.map { ["email": .string($0), "passwordHash": .string(hash)] })
        let answer = try await stack.program(.users, of: stack.auth).post("/internal/v1/accounts/import", ["accounts": body])
        #expect(answer.status == 200)
        return emails
    }

    private func compare(_ stack: AuthStack, _ host: TestHost, _ status: Int, _ request: (TestClient, String) async throws -> TestResponse)
        async throws
    {
        let client = host.client(token: nil)
        func time(_ email: String) async throws -> Double {
            let start = ContinuousClock.now
            let answer = try await request(client, email)
            let elapsed = ContinuousClock.now - start
            #expect(answer.status == status)
            return Double(elapsed.components.attoseconds) / 1e15 + Double(elapsed.components.seconds) * 1e3
        }
        var found = ""
        for _ in 0..<Self.rounds {
            let emails = try await people(Self.tries, stack)
            var known: [Double] = [], unknown: [Double] = []
            for (index, email) in emails.enumerated() {
                // Whichever comes second must not profit from the first.
                if index % 2 == 0 { known.append(try await time(email)) }
                unknown.append(try await time(Newcomer().email))
                if index % 2 == 1 { known.append(try await time(email)) }
            }
            let (one, other) = (known.sorted()[Self.tries / 2], unknown.sorted()[Self.tries / 2])
            found += " known \(one) ms, unknown \(other) ms;"
            if abs(one - other) <= Self.tolerance * max(one, other) { return }
        }
        Issue.record("known and unknown addresses can be told apart:\(found)")
    }

    @Test("not by a failed sign-in")
    func signIn() async throws {
        let stack = try await AuthStack.shared.value
        try await compare(stack, stack.auth, 401) { client, email in
            try await client.post("/api/v1/auth/login", ["email": .string(email), "password": "not the password"])
        }
    }

    @Test("not by asking for a reset")
    func forgot() async throws {
        let stack = try await AuthStack.shared.value
        try await compare(stack, stack.auth, 202) { client, email in
            try await client.post("/api/v1/auth/password/forgot", ["email": .string(email)])
        }
    }

    @Test("not by asking for another verification letter")
    func resend() async throws {
        let stack = try await AuthStack.shared.value
        try await compare(stack, stack.auth, 202) { client, email in
            try await client.post("/api/v1/auth/email/resend", ["email": .string(email)])
        }
    }

    @Test("not by registering, where registrations are confirmed by mail")
    func registration() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_REGISTRATION": "confirmed"])
        try await compare(stack, host, 202) { client, email in
            try await client.post("/api/v1/auth/register", ["email": .string(email), "password": "a very good secret of mine"])
        }
        try await host.stop()
    }

    @Test("not by a code, right or wrong in form")
    func code() async throws {
        let stack = try await AuthStack.shared.value
        try await compare(stack, stack.auth, 400) { client, email in
            try await client.post("/api/v1/auth/email/verify", ["email": .string(email), "code": "12345678"])
        }
    }
}
