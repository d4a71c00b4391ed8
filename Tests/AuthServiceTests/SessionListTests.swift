import AuthService
import Contracts
import Foundation
import NIOHTTP1
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct SessionListTests {
    static let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

    private func signIn(_ person: SignedInPerson, _ host: TestHost, agent: String = firefox, address: String = "127.0.0.1") async throws
        -> SignedInPerson
    {
        let answer = try await host.client(token: nil).post(
            "/api/v1/auth/login", person.newcomer.signIn, headers: ["user-agent": agent, "x-forwarded-for": address])
        return try SignedInPerson(person.newcomer, answer)
    }

    @Test("a person sees where they are signed in, with device, address and last use, and which of them asks")
    func lists() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        let other = try await signIn(person, stack.auth, address: "203.0.113.9")
        let answer = try await stack.auth.client(token: person.access).get("/api/v1/auth/sessions")
        #expect(answer.status == 200)
        let rows = answer["data"].array
        #expect(rows.count == 2)
        #expect(rows.map { $0["current"] } == [false, true])
        #expect(rows[0]["id"] == TokenParts.claims(other.access)["sid"])
        #expect(rows[0]["device"] == "Firefox on Linux")
        #expect(rows[0]["address"] == "203.0.113.9")
        #expect(rows[0]["userAgent"].string == Self.firefox)
        #expect(rows[0]["methods"] == ["pwd"])
        #expect(rows[0]["organization"].string == person.tenant.description)
        #expect(rows[0]["lastUsedAt"].string != nil && rows[0]["expiresAt"].string != nil)
        guard case .number(let risk) = rows[0]["risk"] else {
            Issue.record("a new device at a new place is some risk")
            return
        }
        #expect(risk > 0 && risk < 1)
        #expect(rows[1]["risk"] == .integer(0) || rows[1]["risk"] == .number(0))
    }

    @Test("the list has pages, and they are whole")
    func pages() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        for _ in 0..<4 { _ = try await signIn(person, stack.auth) }
        var seen: [String] = [], path = "/api/v1/auth/sessions?limit=2", count = 0
        while count < 5 {
            let page = try await stack.auth.client(token: person.access).get(path)
            #expect(page.status == 200)
            seen += page["data"].array.compactMap { $0["id"].string }
            count += 1
            guard let next = page["nextCursor"].string else { break }
            path = "/api/v1/auth/sessions?limit=2&cursor=\(next)"
        }
        #expect(count == 3)
        #expect(seen.count == 5 && Set(seen).count == 5)
        let bad = try await stack.auth.client(token: person.access).get("/api/v1/auth/sessions?cursor=bm9uZQ")
        #expect(bad.status == 400)
    }

    @Test("a person ends one of their sessions, or all the others; nobody can end another's")
    func ends() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), stranger = try await stack.register()
        let one = try await signIn(person, stack.auth), two = try await signIn(person, stack.auth),
            three = try await signIn(person, stack.auth)
        let client = stack.auth.client(token: person.access)
        func id(_ session: SignedInPerson) -> String { TokenParts.claims(session.access)["sid"].string ?? "" }
        #expect(try await stack.auth.client(token: stranger.access).delete("/api/v1/auth/sessions/\(id(one))").status == 404)
        #expect(try await stack.auth.client(token: one.access).get("/api/v1/auth/me").status == 200)
        #expect(try await client.delete("/api/v1/auth/sessions/\(id(one))").status == 204)
        #expect(try await stack.auth.client(token: one.access).get("/api/v1/auth/me").problem == "revoked-session")
        #expect(try await client.delete("/api/v1/auth/sessions/\(id(one))").status == 404)
        #expect(try await client.delete("/api/v1/auth/sessions").status == 204)
        for session in [two, three] {
            #expect(try await stack.auth.client(token: session.access).get("/api/v1/auth/me").problem == "revoked-session")
        }
        #expect(try await client.get("/api/v1/auth/sessions")["data"].array.map { $0["current"] } == [true])
        #expect(try await stack.auth.client(token: stranger.access).get("/api/v1/auth/me").status == 200)
        let reasons = try await stack.auth.outbox(person.tenant).filter { $0.type == SessionRevoked.type }.map {
            $0.payload["reason"].string
        }
        #expect(reasons == ["ended", "ended", "ended"])
        try await stack.users.eventually("users refuses them too") {
            try await stack.users.client(token: two.access).get("/api/v1/users/me").problem == "revoked-session"
        }
    }

    @Test("a session dies at the end of its absolute life, however much it is used")
    func absolute() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another(["TRIONEX_AUTH_SESSION_SECONDS": "3", "TRIONEX_AUTH_SESSION_IDLE_SECONDS": "2"])
        let person = try await stack.register(at: host), start = ContinuousClock.now
        var refresh = person.refresh, lived = Duration.zero
        while true {
            let answer = try await host.client(token: nil).post("/api/v1/auth/refresh", ["refreshToken": .string(refresh)])
            guard let next = answer["refreshToken"].string else { break }
            refresh = next
            lived = .now - start
            try #require(lived < .seconds(30), "it is still alive")
            try await Task.sleep(for: .milliseconds(300))
        }
        #expect(lived > .seconds(2), "being used, it lived longer than its idle life")
        try await host.stop()
    }

    @Test("a new device is written to the person about, an old one and the first are not")
    func newDevice() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register(), letters = LetterBox(host: stack.auth)
        let email = person.newcomer.email
        #expect(try await letters.letters(to: email, "new-device").isEmpty)
        _ = try await signIn(person, stack.auth)
        let sent = try await letters.letters(to: email, "new-device")
        #expect(sent.count == 1)
        #expect(sent.first?.data["agent"] == "Firefox on Linux")
        _ = try await signIn(person, stack.auth)
        _ = try await signIn(person, stack.auth, agent: Self.firefox.replacingOccurrences(of: "128", with: "130"))
        #expect(try await letters.letters(to: email, "new-device").count == 1)
    }

    @Test("many places within an hour raise the risk of a session")
    func pace() async throws {
        let stack = try await AuthStack.shared.value, person = try await stack.register()
        var risks: [Double] = []
        for place in 1...4 {
            let session = try await signIn(person, stack.auth, address: "198.51.\(place).7")
            let me = try await stack.auth.client(token: session.access).get("/api/v1/auth/me")
            if case .number(let risk) = me["session"]["risk"] { risks.append(risk) }
        }
        #expect(risks.count == 4)
        // The first is a new device too.
        #expect(risks[1] < risks[2] && risks[2] < risks[3], "\(risks)")
    }
}
