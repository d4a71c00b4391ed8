import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct HousekeepingTests {
    @Test("what is long over is removed in one round, however many batches it takes, and nothing else")
    func prunes() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let house = stack.auth.host.foundations, database = house.database
        let tenant = person.tenant, caller = Caller.service(.auth, for: tenant)
        let now = Date(), expired = now.addingTimeInterval(-SessionHousekeeping.retention - 60)
        let digests = (0..<7).map { _ in Data(UUID().uuidString.utf8) }
        let failedAt = now.addingTimeInterval(-LockOut.memory - 60)
        for digest in digests {
            let session = SessionID.make(at: expired)
            let user = person.user
            try await database.transaction(as: caller) { tx in
                try tx.execute(
                    """
                    INSERT INTO sessions (tenant_id, id, account_id, methods, created_at, last_used_at, expires_at)
                    VALUES (\(tenant), \(session), \(user), \(["pwd"]), \(expired), \(expired), \(expired))
                    """)
                try tx.execute(
                    """
                    INSERT INTO refresh_tokens (tenant_id, digest, session_id, created_at, expires_at)
                    VALUES (\(tenant), \(digest), \(session), \(expired), \(expired))
                    """)
            }
            try await database.execute(
                """
                INSERT INTO sign_in_failures (tenant_id, email_digest, failures, last_failed_at)
                VALUES (\(TenantID.platform), \(digest), 1, \(failedAt))
                """, as: AccountStore.caller)
        }
        let worker = SessionHousekeeping(
            database: database, revocations: house.revocations, accessLifetime: 900, now: { now }, logger: .silent, pruningBatch: 3)
        try await worker.prune()
        func count(_ query: Query<Int>, _ caller: Caller) async throws -> Int? { try await database.first(query, as: caller) }
        #expect(try await count(Query("SELECT count(*) AS count FROM sessions", column: "count"), caller) == 1)
        #expect(try await count(Query("SELECT count(*) AS count FROM refresh_tokens", column: "count"), caller) == 1)
        let failures = Query<Int>(
            "SELECT count(*) AS count FROM sign_in_failures WHERE email_digest = ANY(\(digests))", column: "count")
        #expect(try await count(failures, AccountStore.caller) == 0)
    }
}
