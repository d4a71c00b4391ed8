import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

/// One after the other: they hold what the others would wait for.
@Suite("Upkeep", .serialized)
struct UpkeepTests {
    let tenant = TestTenant()
    private var caller: Caller { .service(.analytics, for: tenant.id) }

    /// Somebody who has waited for so many seconds to be taken out of their rows, though some have their name again.
    private func wait(_ seconds: Double, _ person: UserID, _ database: Database, of caller: Caller) async throws {
        let since = Date().addingTimeInterval(-seconds), now = Date(), id = EventID.make()
        try await database.transaction(as: caller) { tx in
            let fact = Fact(id: id, subject: person.description, occurredAt: now, counted: Counted(.signIn, by: person))
            try FactStore(tx: tx).add(fact)
            try tx.execute(
                """
                INSERT INTO objections (tenant_id, user_id, objected_at, reason, waiting_since)
                VALUES (\(caller.tenant), \(person), \(now), 'left', \(since))
                """)
        }
    }

    private struct Waiting: Sendable {
        let since: Date
        let unnamed: Date?
    }

    private func waiting(_ person: UserID, _ database: Database, of caller: Caller) async throws -> Waiting? {
        try await database.first(
            Query("SELECT waiting_since, unnamed_at FROM objections WHERE user_id = \(person)") { row in
                Waiting(since: try row("waiting_since"), unnamed: try row("unnamed_at"))
            }, as: caller)
    }

    @Test("Who cannot be taken out of their rows goes behind the others, and keeps nobody waiting")
    func failing() async throws {
        let host = try await TestHost.start(Analytics.self)
        let other = Caller.service(.analytics, for: TestTenant().id), stuck = UserID.make(), free = UserID.make()
        // A location that is none: what is in it cannot be taken out.
        let event = EventID.make()
        try await host.database.execute(
            """
            INSERT INTO analytics_events (tenant_id, occurred_at, id, user_id, event_name, location, received_at)
            VALUES (\(tenant.id), \(Date()), \(event), \(stuck), 'x', '"nowhere"', \(Date()))
            """, as: caller)
        try await wait(1_000_000, stuck, host.database, of: caller)
        try await wait(999_000, free, host.database, of: other)
        try await Upkeep.plain(host, .untouched).unname(waitingSince: Date().addingTimeInterval(-3_600))
        #expect(try await waiting(free, host.database, of: other)?.unnamed != nil)
        let left = try #require(try await waiting(stuck, host.database, of: caller))
        #expect(left.unnamed == nil)
        #expect(left.since > Date().addingTimeInterval(-600))
        try await host.database.execute("DELETE FROM analytics_events WHERE id = \(event)", as: caller)
    }

    @Test("A step that fails ends no other: without partitions people are still taken out of their rows, and organizations looked after")
    func steps() async throws {
        let host = try await TestHost.start(Analytics.self)
        let person = UserID.make()
        try await wait(4_000, person, host.database, of: caller)
        try await host.database.execute(
            "INSERT INTO organizations (tenant_id) VALUES (\(tenant.id)) ON CONFLICT (tenant_id) DO UPDATE SET pruned_at = NULL", as: caller
        )
        // As another program that makes them.
        let holding = try await Hold.begin(host.database, as: caller) { tx in
            try tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('analytics.partitions', 0))")
        }
        try await Upkeep.plain(host, .untouched).turn()
        #expect(try await waiting(person, host.database, of: caller)?.unnamed != nil)
        let pruned = Query<Date?>("SELECT pruned_at FROM organizations", column: "pruned_at")
        #expect(try await (host.database.first(pruned, as: caller) ?? nil) != nil)
        try await holding.end()
    }

    @Test("A past month's partition is dropped by the platform's function alone, one a call")
    func droppedPartition() async throws {
        let host = try await TestHost.start(Analytics.self)
        await #expect(throws: PostgresFailure.self) {
            try await host.database.query(UpkeepStore.dropPartition(before: Date(timeIntervalSince1970: 0)), as: caller)
        }
        // Nothing ends before 1970; and what would be dropped is seen in a transaction that is rolled back.
        let none = try await host.database.platform(PlatformWork("partitions of raw events")) { tx in
            try tx.first(UpkeepStore.dropPartition(before: Date(timeIntervalSince1970: 0))) ?? nil
        }
        #expect(none == nil)
        // Partitions of the inbox end in ids: whatever plan is taken, their ends are not read as times.
        try await host.database.platform(PlatformWork("partitions of raw events")) { tx in
            try tx.execute("SELECT set_config('enable_nestloop', 'off', true)")
            _ = try tx.first(UpkeepStore.dropPartition(before: Date(timeIntervalSince1970: 0)))
        }
        let rows = try await Psql.rows(
            """
            BEGIN;
            SELECT analytics.make_partition('2090-01-01', '2090-01-15');
            SELECT analytics.make_partition('2090-01-01', '2090-01-15');
            SELECT analytics.make_partition('2090-01-01', '2090-01-15');
            SELECT analytics.make_partition('2090-01-01', '2090-01-15') IS NULL;
            SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = 'facts_2090_01';
            ROLLBACK;
            """)
        #expect(rows == [["analytics_events_2090_01"], ["page_views_2090_01"], ["facts_2090_01"], ["t"], ["t"]])
    }
}
