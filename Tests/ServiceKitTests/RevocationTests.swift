import Contracts
import DevStack
import Foundation
import Logging
import Redis
import ServiceKit
import TestKit
import Testing

@Suite("What ended before its time")
struct RevocationTests {
    private let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }

    private func redis() async throws -> Redis {
        Redis(try RedisConfiguration(url: "redis://127.0.0.1:\(try await TestServers.shared.value.redis.port)"), logger: quiet)
    }

    private func caller(_ principal: Caller.Principal, in tenant: TenantID, session: SessionID? = nil, issued: Date) -> Caller {
        Caller(principal, tenant: tenant, session: session, issuedAt: issued)
    }

    @Test("kills a session, a key and a client for good, whenever their tokens were signed")
    func forGood() async throws {
        let redis = try await redis()
        let here = Revocations(redis: redis, logger: quiet), there = Revocations(redis: redis, logger: quiet)
        let (tenant, user, now) = (TenantID.make(), UserID.make(), Date())
        let (session, key, client) = (SessionID.make(), APIKeyID.make(), ClientID.make())
        try await here.revoke([.session(session), .apiKey(key), .client(client)], at: now, tokensExpire: now.addingTimeInterval(900))
        try await there.read()
        for revocations in [here, there] {
            for issued in [now.addingTimeInterval(-600), now.addingTimeInterval(30)] {
                #expect(revocations.contains(caller(.person(user), in: tenant, session: session, issued: issued)))
                #expect(revocations.contains(caller(.apiKey(key, owner: user), in: tenant, issued: issued)))
                #expect(revocations.contains(caller(.client(client), in: tenant, issued: issued)))
            }
            #expect(!revocations.contains(caller(.person(user), in: tenant, session: .make(), issued: now)))
            #expect(!revocations.contains(caller(.apiKey(.make(), owner: user), in: tenant, issued: now)))
        }
        await redis.shutdown()
    }

    @Test("kills what a member, an account or an organization held until then, and nothing signed afterwards")
    func until() async throws {
        let redis = try await redis()
        let revocations = Revocations(redis: redis, logger: quiet)
        let (tenant, other, user, colleague) = (TenantID.make(), TenantID.make(), UserID.make(), UserID.make())
        let now = Date()
        let (before, after) = (now.addingTimeInterval(-5), now.addingTimeInterval(1.5))
        func isDead(_ user: UserID, _ tenant: TenantID, _ issued: Date) -> Bool {
            revocations.contains(caller(.person(user), in: tenant, session: .make(), issued: issued))
        }
        try await revocations.revoke([.member(user, tenant)], at: now, tokensExpire: now.addingTimeInterval(900))
        #expect(isDead(user, tenant, before) && !isDead(user, other, before) && !isDead(colleague, tenant, before))
        #expect(!isDead(user, tenant, after))
        #expect(revocations.contains(caller(.apiKey(.make(), owner: user), in: tenant, issued: before)), "the member's keys too")
        try await revocations.revoke([.account(user)], at: now, tokensExpire: now.addingTimeInterval(900))
        #expect(isDead(user, other, before) && !isDead(user, other, after))
        try await revocations.revoke([.organization(tenant)], at: now, tokensExpire: now.addingTimeInterval(900))
        #expect(isDead(colleague, tenant, before) && !isDead(colleague, other, before) && !isDead(colleague, tenant, after))
        #expect(revocations.contains(caller(.client(.make()), in: tenant, issued: before)))
        let earliest = try #require(revocations.earliestIssue(user: user, tenant: tenant))
        #expect(!isDead(user, tenant, earliest) && earliest.timeIntervalSince(now) <= 1, "a token signed from then on lives")
        await redis.shutdown()
    }

    @Test("kills what was given to a client, what an admin does as somebody, and nothing that a clock far ahead has not seen")
    func delegated() async throws {
        let redis = try await redis()
        let revocations = Revocations(redis: redis, logger: quiet)
        let (tenant, client, admin, now) = (TenantID.make(), ClientID.make(), UserID.make(), Date())
        let given = Caller(.person(.make()), tenant: tenant, session: .make(), issuedAt: now, client: client)
        let acting = Caller(.person(.make()), tenant: tenant, session: .make(), issuedAt: now, impersonator: admin)
        #expect(!revocations.contains(given) && !revocations.contains(acting))
        try await revocations.revoke([.client(client), .account(admin)], at: now, tokensExpire: now.addingTimeInterval(900))
        #expect(revocations.contains(given) && revocations.contains(acting))
        let user = UserID.make(), ahead = now.addingTimeInterval(3_600)
        try await revocations.revoke([.member(user, tenant)], at: ahead, tokensExpire: ahead.addingTimeInterval(900))
        let earliest = try #require(revocations.earliestIssue(user: user, tenant: tenant))
        #expect(earliest.timeIntervalSince(now) <= 8)
        await redis.shutdown()
    }

    @Test("is caught up with by a program that was away, and forgotten when no token of it can live")
    func awayForAWhile() async throws {
        let redis = try await redis()
        let writer = Revocations(redis: redis, logger: quiet)
        let session = SessionID.make(), old = SessionID.make()
        let now = Date()
        try await writer.revoke([.session(session)], at: now, tokensExpire: now.addingTimeInterval(900))
        try await writer.revoke([.session(old)], at: now.addingTimeInterval(-5_000), tokensExpire: now.addingTimeInterval(-4_000))
        let late = Revocations(redis: redis, now: { Date().addingTimeInterval(600) }, logger: quiet)
        try await late.read()
        #expect(late.contains(caller(.person(.make()), in: .make(), session: session, issued: now)))
        #expect(!late.contains(caller(.person(.make()), in: .make(), session: old, issued: now)))
        await redis.shutdown()
    }
}
