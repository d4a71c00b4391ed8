import AuthService
import Contracts
import Foundation
import NIOHTTP1
import ServiceKit
import TestKit
import Testing

@testable import AuthService

/// What failing on purpose does to others: nothing for long, and nothing at all where they have signed in before.
@Suite struct LockOutScenarioTests {
    private static let home = "203.0.113.7"
    private static let firefox = SessionListTests.firefox

    private struct Scene: Sendable {
        let host: TestHost
        let person: SignedInPerson

        func signIn(
            _ password: String? = nil, as email: String? = nil, from address: String, cookie: String? = nil, agent: String = "curl/8"
        )
            async throws -> TestResponse
        {
            var headers = ["x-forwarded-for": address, "user-agent": agent]
            headers["cookie"] = cookie
            return try await host.client(token: nil).post(
                "/api/v1/auth/login",
                ["email": .string(email ?? person.newcomer.email), "password": .string(password ?? person.newcomer.password)],
                headers: headers)
        }
    }

    /// Locks after two failures at one place, eight over all places; locks are long.
    private func scene(_ settings: [String: String] = [:]) async throws -> Scene {
        let stack = try await AuthStack.shared.value, newcomer = Newcomer()
        let host = try await stack.another(
            ["TRIONEX_AUTH_LOCKOUT_FAILURES": "2", "TRIONEX_AUTH_LOCKOUT_FIRST_SECONDS": "600"].merging(settings) { $1 })
        let answer = try await host.client(token: nil).post(
            "/api/v1/auth/register", newcomer.registration, headers: ["x-forwarded-for": Self.home, "user-agent": "curl/8"])
        return Scene(host: host, person: try SignedInPerson(newcomer, answer))
    }

    @Test("attackers everywhere close an account to places unknown to it, and to nobody at home")
    func attackedFromEverywhere() async throws {
        let scene = try await scene(), letters = LetterBox(host: scene.host), email = scene.person.newcomer.email
        for place in 0..<8 {
            let failed = try await scene.signIn("a wrong guess", from: "198.51.\(place).1")
            #expect(failed.status == 401)
        }
        // Even the right password is refused at a place that the account does not know, in the words of a wrong one.
        let stolen = try await scene.signIn(from: "198.51.99.1")
        #expect(stolen.status == 401)
        #expect(stolen.problem == "wrong-credentials")
        #expect(try await scene.signIn(from: "203.0.113.99").status == 200, "another address of the range at home")
        let warnings = try await letters.letters(to: email, "account-locked")
        #expect(warnings.count == 1)
        let user = scene.person.user.description
        let locked = try await scene.host.outbox(.platform).filter { $0.type == UserLocked.type && $0.payload["userID"].string == user }
        #expect(!locked.isEmpty)
        try await scene.host.stop()
    }

    @Test("whoever is shut out while travelling resets the password by mail, and is in")
    func travelling() async throws {
        let scene = try await scene(), nobody = scene.host.client(token: nil), hotel = "192.0.2.50"
        for place in 0..<8 { _ = try await scene.signIn("a wrong guess", from: "198.51.\(place).1") }
        #expect(try await scene.signIn(from: hotel).status == 401)
        #expect(
            try await nobody.post("/api/v1/auth/password/forgot", ["email": .string(scene.person.newcomer.email)]).status == 202)
        let letter = try await LetterBox(host: scene.host).letter(to: scene.person.newcomer.email, "reset-password")
        let reset = try await nobody.post(
            "/api/v1/auth/password/reset", ["token": .string(letter.token), "password": "the new good password"],
            headers: ["x-forwarded-for": hotel])
        #expect(reset.status == 204)
        #expect(try await scene.signIn("the new good password", from: hotel).status == 200)
        // And again when the attack goes on.
        for place in 0..<8 { _ = try await scene.signIn("a wrong guess", from: "198.51.\(place).1") }
        #expect(try await scene.signIn("the new good password", from: hotel).status == 200)
        #expect(try await scene.signIn("the new good password", from: "198.51.99.1").status == 401)
        try await scene.host.stop()
    }

    @Test("behind one address a browser that has signed in before keeps an allowance of its own")
    func sameAddress() async throws {
        let scene = try await scene()
        let first = try await scene.signIn(from: Self.home, agent: Self.firefox)
        let cookie = try #require(first.header("set-cookie")?.split(separator: ";").first.map(String.init))
        #expect(first.header("set-cookie")?.contains("HttpOnly") == true)
        for _ in 0..<2 { #expect(try await scene.signIn("a wrong guess", from: Self.home, agent: Self.firefox).status == 401) }
        #expect(try await scene.signIn(from: Self.home, agent: Self.firefox).status == 429)
        #expect(try await scene.signIn(from: Self.home, cookie: "trx_device=\(String(repeating: "0", count: 32))").status == 429)
        #expect(try await scene.signIn(from: Self.home, cookie: cookie, agent: Self.firefox).status == 200)
        #expect(try await scene.signIn(from: "198.51.7.1", cookie: cookie, agent: Self.firefox).status == 200, "wherever it is carried")
        // It can be used up like any other.
        for _ in 0..<2 { #expect(try await scene.signIn("a wrong guess", from: Self.home, cookie: cookie).status == 401) }
        #expect(try await scene.signIn(from: Self.home, cookie: cookie).status == 429)
        try await scene.host.stop()
    }

    @Test("a place that tries many addresses is closed to those that never signed in there, known or unknown, and to no others")
    func spraying() async throws {
        let scene = try await scene(["TRIONEX_AUTH_LOCKOUT_NETWORK_FAILURES": "6"]), sprayer = "198.51.100.7"
        let neighbour = try SignedInPerson(
            Newcomer(),
            try await scene.host.client(token: nil).post(
                "/api/v1/auth/register", Newcomer().registration, headers: ["x-forwarded-for": "198.51.100.9"]))
        _ = neighbour
        for _ in 0..<6 { #expect(try await scene.signIn("a wrong guess", as: Newcomer().email, from: sprayer).status == 401) }
        #expect(try await scene.signIn(from: sprayer).status == 401, "the right password, of somebody who was never there")
        #expect(try await scene.signIn(from: Self.home).status == 200)
        let local = Newcomer()
        #expect(
            try await scene.host.client(token: nil).post(
                "/api/v1/auth/register", local.registration, headers: ["x-forwarded-for": sprayer]
            ).status == 201)
        #expect(try await scene.signIn(local.password, as: local.email, from: sprayer).status == 200)
        try await scene.host.stop()
    }

    @Test("what locks say does not depend on whether an account has the address")
    func alike() async throws {
        let scene = try await scene()
        var answers: [[Int]] = []
        for email in [scene.person.newcomer.email, Newcomer().email] {
            var statuses: [Int] = []
            for _ in 0..<3 { statuses.append(try await scene.signIn("a wrong guess", as: email, from: Self.home).status) }
            for place in 0..<8 { statuses.append(try await scene.signIn("a wrong guess", as: email, from: "198.51.\(place).1").status) }
            statuses.append(try await scene.signIn("a wrong guess", as: email, from: "203.0.113.200").status)
            statuses.append(try await scene.signIn("a wrong guess", as: email, from: "192.0.2.1").status)
            answers.append(statuses)
        }
        #expect(answers[0] == answers[1])
        try await scene.host.stop()
    }
}
