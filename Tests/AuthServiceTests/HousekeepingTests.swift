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

    @Test("letters and places that are long over are forgotten, those of today are not")
    func prunesAccounts() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register(), database = stack.auth.database, house = stack.auth.host.foundations
        let user = person.user, email = person.newcomer.email, old = Date().addingTimeInterval(-SignInPlaceStore.memory - 60)
        let ids = (0..<5).map { _ in UUID.version7(at: old) }
        for id in ids {
            try await database.transaction(as: AccountStore.caller) { tx in
                try tx.execute(
                    """
                    INSERT INTO email_proofs (tenant_id, id, purpose, email, token_digest, code_digest, created_at, expires_at)
                    VALUES (\(TenantID.platform), \(id), 'verify-email', \(email), \(Data(id.uuidString.utf8)), \(Data()), \(old), \(old))
                    """)
                try tx.execute(
                    """
                    INSERT INTO sign_in_places (tenant_id, account_id, device, network, mark, first_seen_at, last_seen_at)
                    VALUES (\(TenantID.platform), \(user), \(id.uuidString), 'unknown', '', \(old), \(old))
                    """)
            }
        }
        let sessions = Sessions(
            database: database, keys: stack.keys, revocations: house.revocations, accessLifetime: 900,
            life: SessionLife(idle: 60, absolute: 60), logger: .silent)
        let passwords = try PasswordHashing(
            cost: Argon2Cost(memoryKiB: 64, passes: 1, lanes: 1), threads: HashingThreads(threads: 1, limit: 10))
        try await AccountHousekeeping(
            database: database, sessions: sessions, keys: stack.keyEnding, passwords: passwords, now: { Date() }, logger: .silent,
            pruningBatch: 2
        ).prune()
        let proofs = Query<Int>("SELECT count(*) AS count FROM email_proofs WHERE email = \(email)", column: "count")
        let places = Query<Int>("SELECT count(*) AS count FROM sign_in_places WHERE account_id = \(user)", column: "count")
        #expect(try await database.first(proofs, as: AccountStore.caller) == 1)
        #expect(try await database.first(places, as: AccountStore.caller) == 1)
    }
}
