import Contracts
import DevStack
import Foundation
import Logging
import Redis
import ServiceKit
import TestKit
import Testing

@Suite("A token verifier")
struct TokenVerifierTests {
    private let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }

    private func claims(_ person: TestPerson, at now: Date, lifetime: TimeInterval = 900) -> AccessClaims {
        AccessClaims(
            user: person.id, session: person.session, tenant: person.tenant, roles: person.roles, permissions: person.permissions,
            plan: "starter",
            amr: ["pwd"], issuedAt: now, lifetime: lifetime)
    }

    @Test("knows a token again without looking at its keys, until it expires")
    func cache() async throws {
        let (server, clock, person) = (KeyServer(), HandClock(), TestTenant().editor)
        try server.add("a")
        let verifier = TokenVerifier(source: .keys { server.set() }, revocations: nil, now: { clock.now }, logger: quiet)
        let token = try await server.sign(claims(person, at: clock.now, lifetime: 60), with: "a")
        for _ in 0..<5 {
            #expect(
                try await verifier.verify(token)
                    == Caller(
                        .person(person.id), tenant: person.tenant, roles: ["editor"], permissions: PermissionSet(person.permissions),
                        session: person.session, plan: "starter", methods: ["pwd"], authenticatedAt: clock.now.wholeSecond,
                        issuedAt: clock.now.wholeSecond))
        }
        #expect(server.asked == 1)
        clock.advance(61)
        await #expect(throws: AccessFailure.expiredToken) { try await verifier.verify(token) }
    }

    @Test("takes up a new key by itself, and lets go of a retired one")
    func rotation() async throws {
        let (server, clock, person) = (KeyServer(), HandClock(), TestTenant().owner)
        try server.add("old")
        let verifier = TokenVerifier(source: .keys { server.set() }, revocations: nil, now: { clock.now }, logger: quiet)
        _ = try await verifier.verify(try await server.sign(claims(person, at: clock.now), with: "old"))
        try server.add("new")
        clock.advance(10)
        _ = try await verifier.verify(try await server.sign(claims(person, at: clock.now), with: "new"))
        server.retire("old")
        clock.advance(400)
        let late = try await server.sign(claims(person, at: clock.now), with: "old")
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(late) }
    }

    @Test("lets go of what a retired key signed, also of what it knew, within five minutes; and of a token that says it lives for years")
    func compromisedKey() async throws {
        let (server, clock, person) = (KeyServer(), HandClock(), TestTenant().owner)
        try server.add("stolen")
        try server.add("new")
        let verifier = TokenVerifier(source: .keys { server.set() }, revocations: nil, now: { clock.now }, logger: quiet)
        let forged = try await server.sign(claims(person, at: clock.now, lifetime: 3_000), with: "stolen")
        let honest = try await server.sign(claims(person, at: clock.now, lifetime: 3_000), with: "new")
        _ = try await verifier.verify(forged)
        _ = try await verifier.verify(honest)
        let years = try await server.sign(claims(person, at: clock.now, lifetime: 100_000_000), with: "new")
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(years) }
        server.retire("stolen")
        clock.advance(301)
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(forged) }
        _ = try await verifier.verify(honest)
    }

    @Test("does not ask for keys again for every invented key id")
    func flood() async throws {
        let (server, clock, person) = (KeyServer(), HandClock(), TestTenant().owner)
        try server.add("a")
        let verifier = TokenVerifier(source: .keys { server.set() }, revocations: nil, now: { clock.now }, logger: quiet)
        let other = KeyServer()
        for index in 0..<20 {
            try other.add("invented-\(index)")
            let token = try await other.sign(claims(person, at: clock.now), with: "invented-\(index)")
            await #expect(throws: AccessFailure.badToken) { try await verifier.verify(token) }
        }
        #expect(server.asked <= 2)
    }

    @Test("refuses tokens not yet valid, of another issuer's audience, without an organization, and far too long ones")
    func wrongClaims() async throws {
        let (server, clock, person) = (KeyServer(), HandClock(), TestTenant().owner)
        try server.add("a")
        let verifier = TokenVerifier(source: .keys { server.set() }, revocations: nil, now: { clock.now }, logger: quiet)
        let early = try await server.sign(claims(person, at: clock.now.addingTimeInterval(600)), with: "a")
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(early) }
        let long = String(repeating: "a", count: 10_000)
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(long) }
        let good = try await server.sign(claims(person, at: clock.now), with: "a")
        var parts = good.split(separator: ".").map(String.init)
        let payload = try #require(Base64URL.decode(parts[1]))
        parts[1] = Base64URL.encode(Data(String(decoding: payload, as: UTF8.self).replacing("starter", with: "premium").utf8))
        let changed = parts.joined(separator: ".")
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(changed) }
    }

    @Test("refuses an ended session on every program within two seconds, and only that one")
    func revocation() async throws {
        let host = try await TestHost.start(Workshop.self)
        let servers = try await TestServers.shared.value
        let (ended, other) = (TestTenant().owner, TestTenant().owner)
        let (first, second) = (try await host.client(ended), try await host.client(other))
        #expect(try await first.get("/api/v1/workshop/filter").status == 200)
        var configuration = try RedisConfiguration(url: "redis://127.0.0.1:\(servers.redis.port)")
        // The machine may be busy with other tests.
        configuration.timeout = .seconds(20)
        let redis = Redis(configuration, logger: quiet)
        try await Revocations(redis: redis, logger: quiet).revoke(
            [.session(ended.session)], at: Date(), tokensExpire: Date().addingTimeInterval(900))
        try await TrionexTesting.eventually("the session is dead") {
            try await first.get("/api/v1/workshop/filter").problem == "revoked-session"
        }
        #expect(try await second.get("/api/v1/workshop/filter").status == 200)
        await redis.shutdown()
    }
}

extension Date {
    fileprivate var wholeSecond: Date { Date(timeIntervalSince1970: timeIntervalSince1970.rounded(.down)) }
}
