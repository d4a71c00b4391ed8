import Contracts
import Foundation
import Postgres
import Synchronization
import TestKit
import Testing

@testable import AnalyticsService

/// A transaction that has what others wait for, until it is let go: for half a minute at most.
final class Hold: Sendable {
    private let isOver = Mutex(false)
    private let task = Mutex<Task<Void, any Error>?>(nil)

    static func begin(
        _ database: Database, as caller: Caller, _ take: @escaping @Sendable (Transaction) throws -> Void
    ) async throws -> Hold {
        let hold = Hold(), held = AsyncStream<Void>.makeStream()
        let task = Task {
            defer { held.continuation.finish() }
            try await database.transaction(as: caller) { tx in
                try take(tx)
                held.continuation.finish()
                for _ in 0..<600 where !hold.isOver.withLock({ $0 }) { _ = try tx.first("SELECT pg_sleep(0.05)") }
            }
        }
        hold.task.withLock { $0 = task }
        for await _ in held.stream {}
        return hold
    }

    func end() async throws {
        isOver.withLock { $0 = true }
        try await task.withLock { $0 }?.value
    }
}

@Suite("The pace of folds")
struct FoldPaceTests {
    private let slow = TenantID.make()
    private let other = TenantID.make()

    @Test("An organization whose folds take too long, or fail for it, gets fewer rows, and others full folds")
    func fewer() {
        let paces = FoldPaces()
        #expect(paces.rows(of: slow) == RollupFold.rowsAtOnce)
        paces.took(.seconds(2), slow)
        #expect(paces.rows(of: slow) == RollupFold.rowsAtOnce / 2)
        // As after a statement that ran out of its ten seconds, again and again.
        for _ in 0..<10 { paces.took(.seconds(10), slow) }
        #expect(paces.rows(of: slow) == FoldPaces.fewest)
        #expect(paces.rows(of: other) == RollupFold.rowsAtOnce)
    }

    @Test("An answer waits for several full folds, and for one of an organization whose folds are slow")
    func beforeAnswers() {
        let paces = FoldPaces()
        #expect(paces.turnsBeforeAnswer(of: slow) == Folds.turnsBeforeAnswer)
        paces.took(.seconds(2), slow)
        #expect(paces.turnsBeforeAnswer(of: slow) == 1)
        #expect(paces.turnsBeforeAnswer(of: other) == Folds.turnsBeforeAnswer)
    }

    // MARK: - Beside others

    private func fold(_ database: Database, as caller: Caller) async throws -> Hold {
        try await Hold.begin(database, as: caller) { try RollupFold.lock($0) }
    }

    @Test("Who asks waits for somebody else's fold, but not for one that does not end")
    func busy() async throws {
        let host = try await TestHost.start(Analytics.self)
        let tenant = TestTenant(), caller = Caller.service(.analytics, for: tenant.id)
        let client = try await host.client(tenant.owner)
        let folds = Folds(database: host.database, bound: .standard)
        let long = try await fold(host.database, as: caller)
        #expect(try await client.post("/api/v1/analytics/events", ["eventName": "x"]).status == 202)
        #expect(try await !folds.catchUp(as: caller), "given up while it was still held")
        #expect(try await client.get("/api/v1/analytics/overview").status == 200)
        try await long.end()
        let short = try await fold(host.database, as: caller)
        #expect(try await client.post("/api/v1/analytics/events", ["eventName": "x"]).status == 202)
        async let caughtUp = folds.catchUp(as: caller)
        try await Task.sleep(for: .milliseconds(300))
        try await short.end()
        #expect(try await caughtUp)
        #expect(try await client.get("/api/v1/analytics/overview")["totals"]["events"] == 2)
    }

    @Test("Waiting for somebody else's fold is not held against an organization")
    func waitingIsFree() async throws {
        let host = try await TestHost.start(Analytics.self)
        let tenant = TestTenant(), caller = Caller.service(.analytics, for: tenant.id)
        let folds = Folds(database: host.database, bound: .standard)
        let other = try await fold(host.database, as: caller)
        #expect(try await host.client(tenant.owner).post("/api/v1/analytics/events", ["eventName": "x"]).status == 202)
        async let folded = folds.turn(as: caller, waits: true)
        try await Task.sleep(for: FoldPaces.target * 2)
        try await other.end()
        #expect(try await folded != nil)
        #expect(folds.paces.rows(of: tenant.id) == RollupFold.rowsAtOnce)
    }

    @Test("When they are quick again it gets twice as many each time, up to full ones")
    func more() {
        let paces = FoldPaces()
        paces.took(.seconds(30), slow)
        let fewer = paces.rows(of: slow)
        #expect(fewer == RollupFold.rowsAtOnce / 8)
        paces.took(.milliseconds(600), slow)
        #expect(paces.rows(of: slow) == fewer, "as long as it should take")
        for _ in 0..<3 { paces.took(.milliseconds(100), slow) }
        #expect(paces.rows(of: slow) == RollupFold.rowsAtOnce)
    }
}
