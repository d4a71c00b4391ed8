import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("What is answered of times whose rows are gone")
struct StorageKeptTests {
    let tenant = TestTenant()
    private var caller: Caller { .service(.analytics, for: tenant.id) }

    // MARK: - The rule

    @Test("A period reaches back to what is kept: rows by the plan, values and hours by fixed times, days of the whole for ever")
    func rule() throws {
        let now = try #require(Timestamp.date("2026-11-21T12:00:00Z"))
        func period(_ from: String, _ granularity: Granularity = .month) throws -> Period {
            try Period(from: Timestamp.date(from), to: now, granularity: granularity, now: now)
        }
        let limit = try #require(Timestamp.date("2026-10-22T12:00:00Z"))
        let short = Kept(rows: limit, now: now)
        #expect(short.rowsFrom(try period("2026-10-22T12:00:00Z")) == nil)
        #expect(short.rowsFrom(try period("2026-10-22T11:59:59Z")) == limit)
        #expect(short.valuesFrom(try period("2024-01-01T00:00:00Z")) == nil)
        #expect(short.valuesFrom(try period("2023-01-01T00:00:00Z")) == short.values)
        #expect(Timestamp.text(short.values) == "2023-10-24T00:00:00.000Z")
        #expect(try !short.prefersRows(period("2023-01-01T00:00:00Z")))
        // Outwards to hours, or to days where there are no hours; by hours not at all.
        let inside = try period("2026-10-23T05:30:00Z")
        #expect(try short.fitted(inside, now: now) == inside)
        #expect(try short.fitted(period("2026-10-01T05:30:00Z"), now: now).from == Timestamp.date("2026-10-01T05:00:00Z"))
        #expect(try short.fitted(period("2025-01-01T05:30:00Z"), now: now).from == Timestamp.date("2025-01-01T00:00:00Z"))
        let hours = try Period(
            from: Timestamp.date("2025-01-01T05:00:00Z"), to: Timestamp.date("2025-01-02T05:00:00Z"), granularity: .hour, now: now)
        #expect(throws: ValidationFailure.self) { try short.fitted(hours, now: now) }
        #expect(try Kept.everything.fitted(hours, now: now) == hours)

        // Rows that reach further back than values.
        let far = try #require(Timestamp.date("2020-01-01T00:00:00Z"))
        let long = Kept(rows: far, now: now)
        #expect(try long.prefersRows(period("2021-01-01T00:00:00Z")))
        #expect(try !long.prefersRows(period("2024-01-01T00:00:00Z")))
        #expect(long.valuesFrom(try period("2021-01-01T00:00:00Z")) == nil)
        #expect(long.valuesFrom(try period("2019-01-01T00:00:00Z")) == far)
    }

    // MARK: - Answers

    /// Of each of these days, half past ten: somebody's order and page view, a registration, an answer and a rating.
    private func report(_ days: [Double], _ host: TestHost) async throws -> [Date] {
        let client = try await host.client(tenant.owner)
        let times = days.map { BucketCalendar.start(of: Date().addingTimeInterval(-$0 * 86_400), .day).addingTimeInterval(10.5 * 3_600) }
        for time in times {
            let at = JSONValue.string(Timestamp.text(time))
            let order: JSONValue = [
                "eventName": "order.completed", "occurredAt": at, "sessionId": .string("s\(at)"),
                "eventProperties": ["amount": 100, "currency": "EUR"],
            ]
            #expect(try await client.post("/api/v1/analytics/events", order)["accepted"] == 1)
            #expect(try await client.post("/api/v1/analytics/page-views", ["url": "/a", "occurredAt": at])["accepted"] == 1)
            let person = UserID.make()
            try await host.database.transaction(as: caller) { tx in
                for counted in [
                    Counted(.registration, by: person), Counted(.publication, by: person, label: "news"),
                    Counted(.answer, by: person, label: "small", amount: 12, details: ["promptTokens": 7, "completionTokens": 5]),
                    Counted(.rating, label: "5", amount: 5),
                ] { try FactStore(tx: tx).add(Fact(id: .make(), subject: "", occurredAt: time, counted: counted)) }
            }
        }
        #expect(try await RollupFold.catchUp(host.database, as: caller))
        return times
    }

    private func prune(_ host: TestHost, days: Int) async throws {
        let retention = try #require(Retention("*=\(days)"))
        try await Upkeep.plain(host, retention).look(after: .init(tenant: tenant.id, plan: nil, isErased: false), at: Date())
    }

    private func get(_ host: TestHost, _ path: String, _ from: Date, _ more: String = "") async throws -> TestResponse {
        try await host.client(tenant.viewer).get("/api/v1/analytics/\(path)?from=\(Timestamp.text(from))\(more)")
    }

    @Test("Counts are those of the roll-ups for ever, whatever the bounds; what only rows tell says from when on it is")
    func answers() async throws {
        let host = try await TestHost.start(Analytics.self)
        let times = try await report([500, 40, 5], host)
        try await prune(host, days: 30)
        let (old, middle, recent) = (times[0], times[1], times[2])
        func text(_ date: Date, _ unit: Granularity) -> JSONValue { .string(Timestamp.text(BucketCalendar.start(of: date, unit))) }

        // Within an hour: outwards to the day where hours are no longer kept, else to the hour.
        for (from, unit, count) in [(old, Granularity.day, 3), (middle, .hour, 2), (recent, nil, 1)] as [(Date, Granularity?, Int)] {
            let odd = from.addingTimeInterval(-900)
            let overview = try await get(host, "overview", odd)
            #expect(overview["from"] == unit.map { text(odd, $0) } ?? .string(Timestamp.text(odd)))
            for figure in ["events", "pageViews", "registrations", "answers", "ratings"] {
                #expect(overview["totals"][figure].int == count, "\(figure) from \(odd)")
            }
            #expect(overview["approximate"].isNull == (count == 1))
            let assistant = try await get(host, "ai-assistant", odd)
            #expect(assistant["from"] == overview["from"])
            #expect(assistant["totals"]["answers"].int == count && assistant["totals"]["ratings"].int == count)
            #expect(assistant["totals"]["promptTokens"] == 7)
            #expect(assistant["models"] == [["model": "small", "answers": .integer(count), "tokens": .integer(12 * count)]])
            #expect(assistant["keptFrom"].isNull == (count == 1))
            let content = try await get(host, "content", odd)
            #expect(content["totals"]["publications"].int == count)
            #expect(content["categories"] == [["category": "news", "publications": .integer(count)]])
            #expect(content["keptFrom"].isNull)
            #expect(try await get(host, "pages", odd)["data"][0]["views"].int == count)
        }
        try await byHours(host, old: old, middle: middle)
        try await onlyRows(host, middle: middle, recent: recent)
        try await questions(host, middle: middle)
    }

    private func byHours(_ host: TestHost, old: Date, middle: Date) async throws {
        let end = "&granularity=hour&to="
        let gone = try await get(host, "overview", old, end + Timestamp.text(old.addingTimeInterval(86_400)))
        #expect(gone.status == 400)
        #expect(gone.badFields == ["?granularity"])
        let there = try await get(host, "overview", middle, end + Timestamp.text(middle.addingTimeInterval(86_400)))
        #expect(there["totals"]["events"] == 1)
        #expect(there["series"][0]["registrations"] == 1)
    }

    private func onlyRows(_ host: TestHost, middle: Date, recent: Date) async throws {
        for path in [
            "sessions", "cohorts", "reports/sessions", "reports/revenue", "reports/retention", "reports/satisfaction", "experiments",
        ] {
            let limit = try #require(try await get(host, path, middle)["keptFrom"].string.flatMap(Timestamp.date), "\(path)")
            #expect(abs(limit.timeIntervalSinceNow + 30 * 86_400) < 600)
            // Cohorts begin with a Monday, and none is gone.
            #expect(try await get(host, path, recent)["keptFrom"].isNull, "\(path)")
        }
        #expect(try await get(host, "funnels", middle, "&steps=order.completed,other")["keptFrom"].string != nil)
        let visits = try await get(host, "reports/sessions", middle)["rows"].array
        #expect(visits.count < 40 && visits.reduce(0) { $0 + ($1[1].int ?? 0) } == 2)

        // The thirty days of now, and those of which only counts are left.
        let kpis = try await host.client(tenant.viewer).get("/api/v1/analytics/kpi")
        #expect(kpis["keptFrom"].isNull)
        func kpi(_ key: String) -> JSONValue { kpis["kpis"].array.first { $0["key"].string == key } ?? .null }
        #expect(kpi("registrations")["previous"] == 1 && kpi("registrations")["change"] == 0)
        for (key, value) in [("revenue", 100), ("orders", 1), ("satisfaction", 1), ("averageRating", 5), ("sessions", 2)] {
            #expect(kpi(key)["value"].double == Double(value), "\(key)")
            #expect(kpi(key)["previous"].isNull && kpi(key)["change"].isNull, "\(key)")
        }
        #expect(try await get(host, "kpi", middle)["keptFrom"].string != nil)
    }

    private func questions(_ host: TestHost, middle: Date) async throws {
        let client = try await host.client(tenant.viewer)
        let odd = middle.addingTimeInterval(-900)
        func ask(_ question: [String: JSONValue]) async throws -> TestResponse {
            var question = question
            question["from"] = .string(Timestamp.text(odd))
            return try await client.post("/api/v1/analytics/query", .object(question))
        }
        let counted = try await ask(["measures": ["events"], "dimensions": ["eventName"]])
        #expect(counted["rows"] == [["order.completed", 2]])
        #expect(counted["from"] == .string(Timestamp.text(BucketCalendar.start(of: odd, .hour))))
        #expect(counted["keptFrom"].isNull)
        let calculated = try await ask(["measures": ["sum(properties.amount)"]])
        #expect(calculated["rows"] == [[100]])
        #expect(calculated["from"] == .string(Timestamp.text(odd)))
        #expect(calculated["keptFrom"].string != nil)
    }

    @Test("Where rows are kept for a week, the thirty days of an overview are whole")
    func shortRetention() async throws {
        let host = try await TestHost.start(Analytics.self)
        _ = try await report([20, 1], host)
        try await prune(host, days: 7)
        let overview = try await host.client(tenant.viewer).get("/api/v1/analytics/overview")
        #expect(overview["totals"]["events"] == 2)
        #expect(overview["totals"]["uniqueUsers"] == 1)
        #expect(overview["approximate"]["uniqueUsers"].double != nil)
    }

    @Test("Of an organization that never had older rows nothing is missing, and an upgrade brings nothing back")
    func noted() async throws {
        let host = try await TestHost.start(Analytics.self)
        let caller = caller
        func kept() async throws -> Date? {
            let kept = Query<Date?>("SELECT kept_from FROM organizations", column: "kept_from")
            return try await host.database.first(kept, as: caller) ?? nil
        }
        _ = try await report([5], host)
        try await prune(host, days: 30)
        #expect(try await kept() == nil)
        let longAgo = Date().addingTimeInterval(-1_500 * 86_400)
        let sessions = try await get(host, "sessions", longAgo)
        #expect(sessions["keptFrom"].isNull && sessions["totals"]["sessions"] == 2)
        #expect(try await get(host, "overview", longAgo)["approximate"].isNull)
        try await prune(host, days: 3)
        let limit = try #require(try await kept())
        try await prune(host, days: 90)
        #expect(try await kept() == limit)
    }
}
