import Contracts
import DevStack
import Foundation
import Kafka
import Postgres
import TestKit
import Testing

@testable import Messaging

@Suite("The days of an outbox")
struct OutboxDaysTests {
    enum Days: TestTopic { static let name = "days" }

    private func days(_ stage: RelayStage) async throws -> [String] {
        try await Psql.rows(
            """
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'alpha.outbox'::regclass ORDER BY 1
            """, stage.adminURL
        ).map { $0[0] }
    }

    /// Days of the past as a service that has run for long has them.
    private func makePast(_ stage: RelayStage, days: Int) async throws {
        _ = try await stage.database.platform(PlatformWork("tests")) { tx in
            try tx.execute("SELECT outbox_days(current_date - \(Int32(days)), current_date - 1, '-infinity')")
        }
    }

    private func announced(_ stage: RelayStage, _ tenant: TenantID) async throws -> [Int] {
        try await stage.database.query(
            Query("SELECT convert_from(payload, 'UTF8')::jsonb ->> 'number' AS number FROM outbox ORDER BY position") { row in
                Int(try row("number") as String) ?? -1
            }, as: .service(Bench.alphaName, for: tenant))
    }

    @Test("Days kept long enough are dropped whole, and days are made ahead")
    func turning() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        try await makePast(stage, days: 12)
        let old = stage.anotherDatabase { Date(timeIntervalSinceNow: -10 * 86_400) }
        let recent = stage.anotherDatabase { Date(timeIntervalSinceNow: -2 * 86_400) }
        try await stage.announce([Noted<Days>(subject: "d", number: 1)], for: tenant, in: old)
        try await stage.announce([Noted<Days>(subject: "d", number: 2)], for: tenant, in: recent)
        try await stage.announce([Noted<Days>(subject: "d", number: 3)], for: tenant)
        let limits = RelayStage.limits { $0.pruneInterval = .milliseconds(50) }
        try await during([stage.relay(limits: limits).run]) {
            try await expectEventually { try await stage.waiting() == 0 }
            // A week is kept: of the twelve days before today those that ended in it, and today, tomorrow and so on.
            try await expectEventually { try await days(stage).count == 7 + 1 + 3 + 1 }
        }
        #expect(try await announced(stage, tenant) == [2, 3])
        #expect(try await days(stage).contains("outbox_other"))
    }

    @Test("A day with an event that still waits is kept, however old, and what comes after it")
    func waiting() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        try await makePast(stage, days: 12)
        let old = stage.anotherDatabase { Date(timeIntervalSinceNow: -10 * 86_400) }
        try await stage.announce([Noted<Days>(subject: "d", number: 1)], for: tenant, in: old)
        let producer = try await downProducer()
        let limits = RelayStage.limits { $0.pruneInterval = .milliseconds(50) }
        try await during([stage.relay(nil, producer, limits: limits).run]) {
            // Two days before it go.
            try await expectEventually { try await days(stage).count < 17 }
            try await Task.sleep(for: .milliseconds(300))
            #expect(try await announced(stage, tenant) == [1])
        }
        await producer.shutdown()
    }

    private func downProducer() async throws -> KafkaProducer {
        let broker = try await Bench.freshBroker()
        try await broker.control("down 1")
        return try KafkaProducer(Bench.kafka(broker), logger: quiet)
    }

    @Test("An event of a day for which there is none is announced all the same")
    func otherDays() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        let wrong = stage.anotherDatabase { Date(timeIntervalSinceNow: 400 * 86_400) }
        try await during([stage.relay().run]) {
            try await stage.announce([Noted<Days>(subject: "d", number: 1)], for: tenant, in: wrong)
            try await expectEventually { try await stage.waiting() == 0 }
        }
        #expect(try await announced(stage, tenant) == [1])
    }

    @Test("The service can neither make nor drop days, nor reach one past its table")
    func rights() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        let day = try #require(try await days(stage).first { $0 != "outbox_other" })
        for sql in [
            "SELECT alpha.outbox_days(current_date, current_date, now())", "SELECT count(*) FROM alpha.\(day)", "DROP TABLE alpha.\(day)",
            "DELETE FROM alpha.outbox", "UPDATE alpha.outbox SET topic = ''", "DELETE FROM alpha.outbox_waiting",
        ] {
            let url = stage.bench.postgres.url(user: "alpha", password: "alpha", database: stage.name)
            await #expect(throws: StackFailure.self, "\(sql)") { try await Psql.rows(sql, url) }
        }
        // As another tenant nothing is seen.
        try await stage.announce([Noted<Days>(subject: "d", number: 1)], for: tenant)
        #expect(try await announced(stage, .make()).isEmpty)
    }

    @Test("A youngest day cannot be dropped, whatever is asked")
    func youngest() async throws {
        let stage = try await RelayStage.make()
        let before = try await days(stage)
        _ = try await stage.database.platform(PlatformWork("tests")) { tx in
            try tx.execute("SELECT outbox_days(current_date, current_date, 'infinity')")
        }
        #expect(try await days(stage) == before)
    }

    @Test("The inbox has days too: old ones are dropped whole, and an event is handled once whatever its day")
    func inbox() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        _ = try await Psql.rows("DROP TABLE alpha.inbox_to_\(Self.tomorrow())", stage.adminURL)
        _ = try await stage.database.platform(PlatformWork("tests")) { tx in
            try tx.execute("SELECT inbox_days(current_date - 40, current_date, '-infinity')")
        }
        let ids = [-35, -2, 0, 300].map { EventID.make(at: Date(timeIntervalSinceNow: $0 * 86_400)) }
        func claim() async throws -> Int {
            try await stage.database.transaction(as: .anonymous(in: tenant)) { tx in try InboxStore(tx: tx).claim(ids, by: "c").count }
        }
        #expect(try await claim() == 4)
        #expect(try await claim() == 0)
        let limits = RelayStage.limits { $0.pruneInterval = .milliseconds(50) }
        try await during([stage.relay(limits: limits).run]) {
            try await Task.sleep(for: .milliseconds(400))
            #expect(try await claim() == 0, "the event of 35 days ago was handled today: it is remembered")
            _ = try await Psql.rows(
                "UPDATE alpha.inbox SET handled_at = now() - interval '31 days' WHERE event_id = '\(ids[0])'", stage.adminURL)
            try await expectEventually {
                try await Psql.rows("SELECT count(*) FROM alpha.inbox", stage.adminURL) == [["3"]]
            }
        }
        #expect(try await claim() == 1)
    }

    private static func tomorrow() -> String {
        Date(timeIntervalSinceNow: 86_400).formatted(.iso8601.year().month().day().dateSeparator(.omitted))
    }

    @Test("Events announced before the migration are kept, what waited waits, and a program of the release before still announces")
    func migration() async throws {
        let bench = try await Bench.shared.value
        let name = "relay_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        _ = try await Psql.rows("CREATE DATABASE \(name)", bench.postgres.url())
        let scratch = try ScratchDirectory("trionex-outbox-migration")
        defer { scratch.remove() }
        let folder = scratch.path + "/migrations"
        let files = FileManager.default
        try files.createDirectory(atPath: folder + "/alpha", withIntermediateDirectories: true)
        try files.copyItem(atPath: bench.migrations + "/_shared", toPath: folder + "/_shared")
        try "-- include: _shared/messaging.sql\n".write(toFile: folder + "/alpha/0001_tables.sql", atomically: true, encoding: .utf8)
        let admin = bench.postgres.url(database: name)
        try await Migrator(adminURL: admin, folder: folder).run()
        let tenant = TenantID.make()
        let insert = """
            INSERT INTO alpha.outbox (tenant_id, id, topic, type, subject, occurred_at, payload)
            SELECT '\(tenant)', gen_random_uuid(), '\(Noted<Days>.topic.name)', '\(Noted<Days>.type)', 's' || n % 7, now(),
            convert_to('{"subject":"s","number":' || n || '}', 'UTF8') FROM
            """
        _ = try await Psql.rows("\(insert) generate_series(1, 100) n", admin)
        _ = try await Psql.rows("UPDATE alpha.outbox SET sent_at = now() WHERE position % 2 = 0", admin)
        try "-- include: _shared/outbox.sql\n".write(toFile: folder + "/alpha/0002_outbox.sql", atomically: true, encoding: .utf8)
        try await Migrator(adminURL: admin, folder: folder).run()
        // The release before writes so: it knows neither positions nor what waits.
        _ = try await Psql.rows("\(insert) generate_series(101, 110) n", admin)
        let stage = RelayStage(bench: bench, name: name)
        #expect(try await stage.waiting(tenant) == 60)
        #expect(try await announced(stage, tenant) == Array(1...110))
        try await during([stage.relay().run]) { try await expectEventually { try await stage.waiting() == 0 } }
        #expect(try await Republication.request(since: .distantPast, in: stage.database) == 110)
    }
}
