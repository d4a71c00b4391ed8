import Contracts
import Foundation
import Messaging
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Storage: months, roll-ups, retention")
struct StorageTests {
    let tenant = TestTenant()
    private var caller: Caller { .service(.analytics, for: tenant.id) }

    private struct Report {
        let id = EventID.make()
        let time: Date
        let isView: Bool
        let user: UserID?
        let session: String?
        let name: String
        let path: String
        let seconds: Int?
        let bounce: Bool

        var json: JSONValue {
            var fields: [String: JSONValue] = [
                "eventId": .string(id.description), "occurredAt": .string(Timestamp.text(time)), "url": .string(path + "?q=1"),
            ]
            if let user { fields["userId"] = .string(user.description) }
            if let session { fields["sessionId"] = .string(session) }
            if isView {
                fields["bounce"] = .bool(bounce)
                if let seconds { fields["durationSeconds"] = .integer(seconds) }
            } else {
                fields["eventName"] = .string(name)
            }
            return .object(fields)
        }
    }

    /// Of the last hours and, some, of the last months.
    private func reports(_ count: Int, seed: UInt64, views: Bool) -> [Report] {
        var generator = SeededGenerator(state: seed)
        let people = (0..<40).map { _ in UserID.make() }
        return (0..<count).map { _ in
            let isLate = Int.random(in: 0..<10, using: &generator) == 0
            let age = Double.random(in: 0..<(isLate ? 90 * 86_400 : 7_200), using: &generator)
            return Report(
                time: Date(timeIntervalSince1970: (Date().timeIntervalSince1970 - age).rounded(.down)), isView: views,
                user: Int.random(in: 0..<5, using: &generator) == 0 ? nil : people.randomElement(using: &generator),
                session: Bool.random(using: &generator) ? "s\(Int.random(in: 0..<60, using: &generator))" : nil,
                name: "event-\(Int.random(in: 0..<4, using: &generator))", path: "/page/\(Int.random(in: 0..<6, using: &generator))",
                seconds: Bool.random(using: &generator) ? Int.random(in: 0..<300, using: &generator) : nil,
                bounce: Bool.random(using: &generator))
        }
    }

    private func send(_ reports: [Report], _ client: TestClient) async throws {
        for (path, list, chosen) in [
            ("events", "events", reports.filter { !$0.isView }), ("page-views", "pageViews", reports.filter(\.isView)),
        ] {
            for start in stride(from: 0, to: chosen.count, by: 250) {
                let part = chosen[start..<min(start + 250, chosen.count)]
                let response = try await client.post("/api/v1/analytics/\(path)", [list: .array(part.map(\.json))])
                #expect(response.status == 202, "\(response.text.prefix(300))")
            }
        }
    }

    private struct Stored: Sendable {
        let unit: RollupUnit
        let dimension: RollupDimension
        let bucket: Date
        let value: String
        let numbers: [Int]
    }

    private func rollups(_ host: TestHost) async throws -> [Stored] {
        try await host.database.query(
            Query(
                """
                SELECT unit, dimension, bucket, value, events, page_views, bounces, duration_seconds, timed_views, users, sessions
                FROM activity_rollups
                """
            ) { row in
                let (users, sessions): ([UInt8]?, [UInt8]?) = (try row("users"), try row("sessions"))
                return Stored(
                    unit: try row("unit"), dimension: try row("dimension"), bucket: try row("bucket"), value: try row("value"),
                    numbers: [
                        try row("events"), try row("page_views"), try row("bounces"), try row("duration_seconds"), try row("timed_views"),
                        users.flatMap { Sketch(bytes: $0) }?.estimate ?? 0, sessions.flatMap { Sketch(bytes: $0) }?.estimate ?? 0,
                    ])
            }, as: caller)
    }

    /// Against a computation over what was sent that is slow and obviously right.
    @Test("Roll-ups agree with counting one by one: late, repeated, in many calls, folded by several at once")
    func rollupsAgree() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        let key = try await host.client(tenant.person(may: "analytics:write"))
        let all = reports(600, seed: 1, views: false) + reports(600, seed: 2, views: true)
        let caller = caller
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await send(Array(all[..<300]), key) }
            group.addTask { try await send(Array(all[200..<900]), key) }
            group.addTask { try await send(Array(all[600...]), key) }
            for _ in 0..<3 {
                group.addTask {
                    for _ in 0..<5 { _ = try await RollupFold.catchUp(host.database, as: caller) }
                }
            }
            try await group.waitForAll()
        }
        try await send(Array(all.shuffled().prefix(400)), client)
        #expect(try await RollupFold.catchUp(host.database, as: caller))

        // Whom an event without a person belongs to is who sent it; the sender differs here by the call that came first.
        let stored = try await rollups(host)
        let people: [Stored] = stored
        for unit in RollupUnit.allCases {
            for dimension in [RollupDimension.everything, .eventName, .page] where unit != .minute || dimension.hasMinutes {
                let oldest = Date().addingTimeInterval(-Double(RollupBatch.minuteDays) * 86_400)
                let counted = all.filter { unit != .minute || $0.time >= oldest }.filter { dimension != .eventName || !$0.isView }
                func value(_ report: Report) -> String {
                    switch dimension {
                    case .eventName: report.name
                    case .page: report.path
                    default: ""
                    }
                }
                let expected = Dictionary(grouping: counted) { "\(unit.bucket($0.time)) \(value($0))" }
                let found = people.filter { $0.unit == unit && $0.dimension == dimension }
                #expect(Set(found.map { "\($0.bucket) \($0.value)" }) == Set(expected.keys), "\(unit) \(dimension)")
                for row in found {
                    let reports = expected["\(row.bucket) \(row.value)"] ?? []
                    let timed = reports.filter(\.isView).compactMap(\.seconds)
                    // Everybody who is named, and the sender of those that name nobody.
                    let named = Set(reports.compactMap(\.user)).count
                    let unnamed = reports.contains { $0.user == nil }
                    #expect(
                        Array(row.numbers[..<5]) == [
                            reports.count { !$0.isView }, reports.count(where: \.isView), reports.count { $0.isView && $0.bounce },
                            timed.reduce(0, +), timed.count,
                        ])
                    #expect(
                        (named + (unnamed ? 1 : 0)...named + (unnamed ? 2 : 0)).contains(row.numbers[5]), "\(row.numbers[5]) of \(named)")
                    #expect(row.numbers[6] == Set(reports.compactMap(\.session)).count)
                }
            }
        }
        let firsts = try await host.database.query(
            Query("SELECT user_id, first_seen_at FROM people") { row in First(user: try row("user_id"), time: try row("first_seen_at")) },
            as: caller)
        for (user, reports) in Dictionary(grouping: all.filter { $0.user != nil }, by: \.user) {
            #expect(firsts.first { $0.user == user }?.time == reports.map(\.time).min())
        }
    }

    private struct First: Sendable {
        let user: UserID
        let time: Date
    }

    @Test("What is collected is folded by the worker within moments, asked or not")
    func worker() async throws {
        let host = try await TestHost.start(Analytics.self)
        try await send(reports(50, seed: 9, views: false), try await host.client(tenant.owner))
        let caller = caller
        try await host.eventually("the queue is empty") {
            let waits = Query<Bool>("SELECT EXISTS (SELECT FROM rollup_queue) AS waits", column: "waits")
            return try await host.database.first(waits, as: caller) == false
        }
        let total = Query<Int>(
            "SELECT sum(events)::bigint AS n FROM activity_rollups WHERE unit = 'day' AND dimension = ''", column: "n")
        #expect(try await host.database.first(total, as: caller) == 50)
    }

    @Test("A row lies in the partition of its month, very old ones together, and months are there ahead of time")
    func partitions() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        let now = Date()
        for time in [now, now.addingTimeInterval(-70 * 86_400), now.addingTimeInterval(-5_000 * 86_400)] {
            let event: JSONValue = ["eventName": .string("x"), "occurredAt": .string(Timestamp.text(time))]
            #expect(try await client.post("/api/v1/analytics/events", event).status == 202)
        }
        let places = try await host.database.query(
            Query("SELECT tableoid::regclass::text AS place FROM analytics_events ORDER BY occurred_at", column: "place") as Query<String>,
            as: caller)
        func name(_ time: Date) -> String { "analytics_events_" + Timestamp.text(time).prefix(7).replacing("-", with: "_") }
        #expect(places == ["analytics_events_before", name(now.addingTimeInterval(-70 * 86_400)), name(now)])
        let ahead = try await Psql.rows(
            "SELECT to_regclass('analytics.\(name(now.addingTimeInterval(80 * 86_400)))') IS NOT NULL, to_regclass('analytics.facts_default') IS NOT NULL"
        )
        #expect(ahead == [["t", "t"]])
        let misplaced = try await Psql.rows(
            """
            SELECT count(*) FROM analytics.analytics_events_default UNION ALL SELECT count(*) FROM analytics.page_views_default
            UNION ALL SELECT count(*) FROM analytics.facts_default
            """)
        #expect(misplaced.allSatisfy { $0 == ["0"] })
    }

    @Test("The same id is the same event, also with the time of another month")
    func dedupAcrossMonths() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        let id = JSONValue.string(EventID.make().description)
        func report(_ days: Double) async throws -> JSONValue {
            let time = JSONValue.string(Timestamp.text(Date().addingTimeInterval(-days * 86_400)))
            return try await client.post("/api/v1/analytics/events", ["eventName": "x", "eventId": id, "occurredAt": time])["accepted"]
        }
        #expect(try await report(0) == 1)
        #expect(try await report(40) == 0)
        #expect(try await report(400) == 0)
        // An id of an event is not one of a page view.
        #expect(try await client.post("/api/v1/analytics/page-views", ["url": "/", "eventId": id])["accepted"] == 1)
    }

    private func count(_ table: SQL, _ host: TestHost) async throws -> Int {
        try await host.database.first(Query("SELECT count(*) AS n FROM \(fragment: table)", column: "n"), as: caller) ?? -1
    }

    @Test("Rows past the plan's retention go, counted, and an erased organization goes whole")
    func retention() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        for days in [0.0, 80, 100, 200] {
            let time = JSONValue.string(Timestamp.text(Date().addingTimeInterval(-days * 86_400)))
            _ = try await client.post("/api/v1/analytics/events", ["eventName": "x", "occurredAt": time])
            _ = try await client.post("/api/v1/analytics/page-views", ["url": "/", "occurredAt": time])
        }
        let upkeep = Upkeep.plain(host, try #require(Retention("starter=90,*=150")))
        try await upkeep.look(after: .init(tenant: tenant.id, plan: nil, isErased: false), at: Date())
        #expect(try await count("analytics_events", host) == 3)
        try await upkeep.look(after: .init(tenant: tenant.id, plan: "starter", isErased: false), at: Date())
        #expect(try await count("analytics_events", host) == 2)
        #expect(try await count("page_views", host) == 2)
        // Ids are known a while longer than their events, or the same backfill would count again.
        #expect(try await count("collected_ids", host) == 8)
        let days = Query<Int>("SELECT sum(events)::bigint AS n FROM activity_rollups WHERE unit = 'day' AND dimension = ''", column: "n")
        #expect(try await host.database.first(days, as: caller) == 4)

        try await upkeep.look(after: .init(tenant: tenant.id, plan: "starter", isErased: true), at: Date())
        let tables: [SQL] = [
            "analytics_events", "page_views", "facts", "collected_ids", "rollup_queue", "activity_rollups", "fact_rollups", "people",
            "daily_salts", "organizations",
        ]
        for table in tables { #expect(try await count(table, host) == 0, "\(table)") }
    }

    @Test("The plan is learned from events, and an older word changes nothing")
    func plans() async throws {
        let host = try await TestHost.start(Analytics.self)
        let caller = caller
        try await host.publish(PlanChanged(organizationID: tenant.id, plan: "business", previous: "starter"), for: tenant.id)
        let plan = Query<String?>("SELECT plan FROM organizations", column: "plan")
        try await host.eventually("the plan is known") {
            try await host.database.first(plan, as: caller) == "business"
        }
        try await host.database.transaction(as: caller) { tx in
            try OrganizationStore(tx: tx).setPlan("starter", at: Date().addingTimeInterval(-3_600))
        }
        #expect(try await host.database.first(plan, as: caller) == "business")
    }
}
