import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AnalyticsService

extension RollupFold {
    /// As the program does it that is started without settings.
    static func catchUp(_ database: Database, as caller: Caller) async throws -> Bool {
        try await Folds(database: database, bound: .standard).catchUp(as: caller)
    }
}

extension Upkeep {
    /// As the program has it, but for how long rows are kept.
    static func plain(_ host: TestHost, _ retention: Retention) -> Upkeep {
        Upkeep(
            folds: Folds(database: host.database, bound: .standard), retention: retention, now: { Date() }, logger: Logger(label: "test"))
    }
}

@Suite("Storage: what senders make up is bounded")
struct StorageBoundTests {
    let tenant = TestTenant()
    private var caller: Caller { .service(.analytics, for: tenant.id) }

    // MARK: - The rule

    private let day = DayDimension(dimension: "page", day: Date(timeIntervalSince1970: 0))
    private func value(_ text: String) -> DayValue { DayValue(place: day, value: text) }

    @Test("The places that are left go to the most frequent of the new values, and to the first in order among equals")
    func ranked() {
        let bound = RollupBound(values: 5)
        let fresh = [value("/rare"): 1, value("/b"): 3, value("/often"): 9, value("/a"): 3]
        #expect(bound.beyond(fresh, taken: [:]).isEmpty)
        #expect(bound.beyond(fresh, taken: [day: 1]).isEmpty)
        #expect(bound.beyond(fresh, taken: [day: 2]) == [value("/rare")])
        #expect(bound.beyond(fresh, taken: [day: 3]) == [value("/rare"), value("/b")])
        #expect(bound.beyond(fresh, taken: [day: 5]) == Set(fresh.keys))
        // A bound that was lowered since leaves no place, and no fewer than none.
        #expect(bound.beyond(fresh, taken: [day: 400]) == Set(fresh.keys))
    }

    @Test("Each dimension and each day has places of its own; the whole, what has no value, and the rest take none")
    func places() {
        let time = Date(timeIntervalSince1970: 90_000)
        func key(_ dimension: RollupDimension, _ value: String, _ unit: RollupUnit = .hour) -> ActivityKey {
            ActivityKey(unit: unit, dimension: dimension, bucket: unit.bucket(time), value: value)
        }
        #expect(key(.everything, "").dayValue == nil)
        #expect(key(.page, "").dayValue == nil)
        #expect(key(.page, RollupBound.rest).dayValue == nil)
        #expect(key(.page, "/a").dayValue == key(.page, "/a", .day).dayValue)
        #expect(key(.page, "/a").dayValue?.place.day == Date(timeIntervalSince1970: 86_400))
        #expect(key(.page, "/a").dayValue?.place != key(.referrer, "/a").dayValue?.place)
        func fact(_ kind: FactKind, _ label: String) -> FactKey { FactKey(unit: .day, kind: kind, bucket: time, label: label) }
        #expect(fact(.answer, FactKey.everyLabel).dayValue == nil)
        #expect(fact(.answer, "").dayValue == nil)
        #expect(fact(.answer, "model").dayValue?.place != fact(.upload, "model").dayValue?.place)
    }

    @Test("What bots made up takes no place: they are counted in the whole alone")
    func bots() {
        func row(_ isBot: Bool, _ path: String) -> Occurred {
            Occurred(
                isView: true, occurredAt: Date(timeIntervalSince1970: 1_000_000), userID: nil, sessionKey: nil, isBot: isBot,
                eventName: nil, eventCategory: nil, path: path, referrerHost: nil, country: nil, device: nil, browser: nil, os: nil,
                durationSeconds: nil,
                isBounce: false)
        }
        var batch = RollupBatch(now: Date(timeIntervalSince1970: 1_000_000))
        batch.add(row(true, "/made-up"))
        batch.add(row(false, "/read"))
        #expect(Set(batch.activity.keys.filter { $0.dimension == .page }.map(\.value)) == ["/read"])
        #expect(batch.activity.filter { $0.key.dimension == .everything }.allSatisfy { $0.value.bots == 1 && $0.value.pageViews == 1 })
    }

    // MARK: - What is stored

    private struct Stored: Sendable, Equatable {
        let unit: RollupUnit
        let value: String
        let events: Int
        let people: Int
    }

    private func stored(_ dimension: RollupDimension, on time: Date, _ host: TestHost) async throws -> [Stored] {
        let from = RollupUnit.day.bucket(time)
        return try await host.database.query(
            Query(
                """
                SELECT unit, value, events, users FROM activity_rollups
                WHERE dimension = \(dimension) AND bucket >= \(from) AND bucket < \(from.addingTimeInterval(86_400))
                ORDER BY unit COLLATE "C", value COLLATE "C"
                """
            ) { row in
                let users: [UInt8]? = try row("users")
                return Stored(
                    unit: try row("unit"), value: try row("value"), events: try row("events"),
                    people: users.flatMap { Sketch(bytes: $0) }?.estimate ?? 0)
            }, as: caller)
    }

    /// As a fold writes it: events of these names, each of a person of its own.
    private func fold(_ names: [String], at time: Date, values: Int, _ host: TestHost) async throws {
        var batch = RollupBatch(now: time)
        for name in names {
            batch.add(
                Occurred(
                    isView: false, occurredAt: time, userID: .make(), sessionKey: nil, isBot: false, eventName: name, eventCategory: nil,
                    path: nil, referrerHost: nil, country: nil, device: nil, browser: nil, os: nil, durationSeconds: nil, isBounce: false))
        }
        let activity = batch.activity
        try await host.database.transaction(as: caller) { tx in
            try RollupFold.lock(tx)
            try RollupStore(tx: tx, bound: RollupBound(values: values)).add(activity)
        }
    }

    @Test("Beyond the bound of a day, what is new is one value of each bucket; what is known goes on by itself, and the whole stays exact")
    func stored() async throws {
        let host = try await TestHost.start(Analytics.self)
        // Noon, so that an hour later is the same day.
        let noon = RollupUnit.day.bucket(Date()).addingTimeInterval(-36 * 3_600)
        try await fold(["a", "a", "b"], at: noon, values: 3, host)
        try await fold(["a", "c", "c", "d"], at: noon, values: 3, host)
        try await fold(["b", "d", "e", "", "…"], at: noon.addingTimeInterval(3_600), values: 3, host)
        func units(_ rows: [Stored], _ unit: RollupUnit) -> [Stored] { rows.filter { $0.unit == unit } }
        func row(_ unit: RollupUnit, _ value: String, _ count: Int) -> Stored {
            Stored(unit: unit, value: value, events: count, people: count)
        }
        let names = try await stored(.eventName, on: noon, host)
        #expect(
            units(names, .day) == [row(.day, "", 1), row(.day, "a", 3), row(.day, "b", 2), row(.day, "c", 2), row(.day, "…", 4)])
        #expect(
            units(names, .hour).sorted { ($0.events, $0.value) < ($1.events, $1.value) } == [
                row(.hour, "", 1), row(.hour, "b", 1), row(.hour, "b", 1), row(.hour, "…", 1), row(.hour, "c", 2), row(.hour, "a", 3),
                row(.hour, "…", 3),
            ])
        #expect(Set(units(names, .minute).map(\.value)) == ["", "a", "b", "c", "…"])
        #expect(units(try await stored(.everything, on: noon, host), .day) == [row(.day, "", 12)])

        // The next day has places again.
        try await fold(["d"], at: noon.addingTimeInterval(86_400), values: 3, host)
        #expect(units(try await stored(.eventName, on: noon.addingTimeInterval(86_400), host), .day) == [row(.day, "d", 1)])
        // A higher bound leaves room for what is new from then on.
        try await fold(["f"], at: noon, values: 4, host)
        #expect(units(try await stored(.eventName, on: noon, host), .day).map(\.value) == ["", "a", "b", "c", "f", "…"])
    }

    @Test("Labels of facts have the same bound")
    func labels() async throws {
        let host = try await TestHost.start(Analytics.self)
        let now = Date()
        for models in [["one", "two"], ["one", "three", "four"]] {
            var batch = RollupBatch(now: now)
            for model in models { batch.add(.answer, at: now, user: nil, label: model, amount: 10) }
            let facts = batch.facts
            try await host.database.transaction(as: caller) { tx in
                try RollupFold.lock(tx)
                try RollupStore(tx: tx, bound: RollupBound(values: 2)).add(facts)
            }
        }
        let period = try Period(
            from: RollupUnit.day.bucket(now), to: RollupUnit.day.bucket(now).addingTimeInterval(86_400), granularity: .day, now: now)
        let found = try await host.database.transaction(as: caller) {
            try FactFigureStore(tx: $0, kept: .everything).labels(period, .answer)
        }
        #expect(
            found == [
                .init(label: "one", facts: 2, amount: 20), .init(label: "…", facts: 2, amount: 20),
                .init(label: "two", facts: 1, amount: 10),
            ])
        let counts = try await host.database.transaction(as: caller) {
            try FactFigureStore(tx: $0, kept: .everything).counts(period, [.answer])
        }
        #expect(counts.totals.count(.answer) == 5)
    }

    // MARK: - What is answered

    private static let sent = RollupBound.standardValues + 60

    private func report(_ client: TestClient) async throws {
        // The one that is told apart in the questions below comes often, so it has a place; the last in order of the rest has none.
        let names = (0..<Self.sent).map { "made-up-\(String(10_000 + $0))" }
        for start in stride(from: 0, to: names.count, by: 1_000) {
            let part = names[start..<min(start + 1_000, names.count)]
            let events = part.map { name -> JSONValue in ["eventName": .string(name), "url": .string("https://shop.example/\(name)?q=1")] }
            let views = part.map { name -> JSONValue in ["url": .string("https://shop.example/\(name)")] }
            #expect(try await client.post("/api/v1/analytics/events", ["events": .array(events)]).status == 202)
            #expect(try await client.post("/api/v1/analytics/page-views", ["pageViews": .array(views)]).status == 202)
        }
    }

    @Test("Answers from roll-ups show what is beyond as …, count all of it, and answer a filter by name from the rows")
    func answered() async throws {
        let host = try await TestHost.start(Analytics.self)
        try await report(try await host.client(tenant.owner))
        let caller = caller
        while try await !RollupFold.catchUp(host.database, as: caller) {}
        let now = Date()
        let from = RollupUnit.day.bucket(now).addingTimeInterval(-86_400), to = from.addingTimeInterval(3 * 86_400)
        func answer(_ body: [String: JSONValue], rows: Int) async throws -> [[JSONValue]] {
            var body = body
            body["from"] = .string(Timestamp.text(from))
            body["to"] = .string(Timestamp.text(to))
            let question = try JSON.decode(QuestionDraft.self, from: JSON.encode(JSONValue.object(body))).question(now: now)
            return try await host.database.transaction(as: caller) { tx in
                try QuestionReader(tx: tx, exactness: Exactness(rows: rows)).answer(question).rows
            }
        }
        let byName: [String: JSONValue] = ["measures": ["events"], "dimensions": ["eventName"], "limit": 10_000]
        // Midnight may have passed in between: then there are two days with places.
        let rolled = try await answer(byName, rows: 0)
        let rest = try #require(rolled.first { $0[0] == "…" }?[1].int)
        #expect(rest > 0 && rest <= 60)
        #expect(rolled.count == Self.sent - rest + 1)
        #expect(rolled.reduce(0) { $0 + ($1[1].int ?? 0) } == Self.sent)
        // Where there are few enough rows they know better.
        let raw = try await answer(byName, rows: 100_000)
        #expect(raw.count == Self.sent)
        #expect(!raw.contains { $0[0] == "…" })

        let hidden = try #require(Set(raw.map { $0[0] }).subtracting(rolled.map { $0[0] }).first)
        let one: JSONValue = [["field": "eventName", "op": "eq", "value": hidden]]
        #expect(try await answer(["measures": ["events"], "filters": one], rows: 0) == [[1]])
        #expect(try await answer(["measures": ["events", "uniqueUsers"], "filters": one], rows: 0) == [[1, 1]])
        let others: JSONValue = [["field": "eventName", "op": "ne", "value": hidden]]
        #expect(try await answer(["measures": ["events"], "filters": others], rows: 0) == [[.integer(Self.sent - 1)]])
        let any: JSONValue = [["field": "eventName", "op": "exists", "value": true]]
        #expect(try await answer(["measures": ["events"], "filters": any], rows: 0) == [[.integer(Self.sent)]])

        let period = try Period(from: from, to: to, granularity: .day, now: now)
        let (pages, overview) = try await host.database.transaction(as: caller) { tx in
            let exactness = Exactness(rows: 0)
            return (
                try ReportStore(tx: tx, exactness: exactness).report(.pages, period),
                try ActivityStore(tx: tx, exactness: exactness).activity(period)
            )
        }
        #expect(overview.totals.events == Self.sent)
        #expect(overview.totals.pageViews == Self.sent)
        let shown = try #require(pages.table.rows.first)
        #expect(shown[0] == "…")
        #expect(try #require(shown[1].int) > 0)
        #expect(shown[2] == 1)

        let bounds = Query<Int>("SELECT count(*) AS n FROM rollup_values WHERE taken > \(RollupBound.standardValues)", column: "n")
        #expect(try await host.database.first(bounds, as: caller) == 0)
        let upkeep = Upkeep.plain(host, .untouched)
        try await upkeep.look(after: .init(tenant: tenant.id, plan: nil, isErased: true), at: now)
        let left = Query<Int>("SELECT count(*) AS n FROM rollup_values", column: "n")
        #expect(try await host.database.first(left, as: caller) == 0)
    }

    @Test("How many values a day has is a setting, and one that is no number is refused")
    func setting() {
        var standard = SettingsReader(environment: [:])
        #expect(AnalyticsSettings(&standard).bound == .standard)
        var own = SettingsReader(environment: ["TRIONEX_ANALYTICS_VALUES_PER_DAY": "50"])
        #expect(AnalyticsSettings(&own).bound == RollupBound(values: 50))
        var none = SettingsReader(environment: ["TRIONEX_ANALYTICS_VALUES_PER_DAY": "0"])
        _ = AnalyticsSettings(&none)
        #expect(!none.problems.isEmpty)
    }
}
