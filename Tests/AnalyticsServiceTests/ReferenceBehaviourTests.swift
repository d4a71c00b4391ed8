import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

extension ReferenceTests {
    // MARK: - One after the other

    @Test(
        "Funnels, by person and by visit, with short and long windows",
        arguments: [
            (["signup.started", "signup.completed"], 604_800), (["signup.started", "signup.completed", "order.completed"], 86_400),
            (["/pricing", "signup.started", "order.completed", "report.opened"], 2_592_000),
            (["order.completed", "order.completed"], 259_200),
            (["/docs", "/docs", "/docs"], 7_776_000), (["report.opened", "no such event"], 3_600),
        ])
    func funnels(_ steps: [String], _ window: Int) async throws {
        let plain = steps.map { name in
            Reference.Step { row in name.hasPrefix("/") ? row.isView && row.path == name : row.name == name }
        }
        for (from, to) in spans {
            for by in ["user", "session"] {
                let list = steps.map { $0.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "" }.joined(separator: ",")
                let response = try await get("funnels", from, to, "&steps=\(list)&windowSeconds=\(window)&by=\(by)")
                let expected = reference.funnel(plain, from, to, window: TimeInterval(window)) { by == "user" ? $0.user : $0.session }
                check(response, expected, steps)
            }
        }
    }

    private func check(_ response: TestResponse, _ expected: [(reached: Int, start: Double?, previous: Double?)], _ names: [String]) {
        let found = response["steps"].array
        #expect(found.map { $0["name"].string } == names)
        #expect(found.map { $0["reached"].int } == expected.map(\.reached), "\(names)")
        for (index, (step, figures)) in zip(found, expected).enumerated() {
            #expect(abs((step["medianSecondsFromStart"].double ?? -1) - (figures.start ?? -1)) < 0.001, "\(names[index])")
            #expect(abs((step["medianSecondsFromPrevious"].double ?? -1) - (figures.previous ?? -1)) < 0.001, "\(names[index])")
            let before = index == 0 ? figures.reached : expected[index - 1].reached
            #expect(step["droppedOff"].int == before - figures.reached)
        }
        let first = expected[0].reached
        #expect(abs((response["conversion"].double ?? -1) - (first == 0 ? 0 : Double(expected.last?.reached ?? 0) / Double(first))) < 1e-9)
    }

    @Test("A funnel whose steps have conditions")
    func funnelWithConditions() async throws {
        let (from, to) = spans[1]
        let body: JSONValue = [
            "from": .string(Timestamp.text(from)), "to": .string(Timestamp.text(to)), "windowSeconds": 1_209_600,
            "steps": [
                ["path": "/", "filters": [["field": "durationSeconds", "op": "gte", "value": 60]]],
                ["eventName": "signup.completed", "filters": [["field": "properties.plan", "op": "in", "value": ["pro", 5]]]],
                ["eventName": "order.completed", "filters": [["field": "properties.amount", "op": "gt", "value": 10_000]]],
            ],
        ]
        let response = try await patient.post("/api/v1/analytics/funnels", body)
        #expect(response.status == 200, "\(response.text)")
        let steps = [
            Reference.Step { $0.isView && $0.path == "/" && $0.duration ?? 0 >= 60 },
            Reference.Step { $0.name == "signup.completed" && ($0.properties["plan"] == "pro" || $0.properties["plan"] == 5) },
            Reference.Step { $0.name == "order.completed" && $0.properties["amount"]?.int ?? 0 > 10_000 },
        ]
        let expected = reference.funnel(steps, from, to, window: 1_209_600) { $0.user }
        #expect(expected[2].reached > 0)
        check(response, expected, ["/", "signup.completed", "order.completed"])
    }

    @Test("Cohorts: who came back, with anything and with one event", arguments: [Granularity.day, .week, .month])
    func cohorts(_ granularity: Granularity) async throws {
        let to = granularity == .day ? town.from.addingTimeInterval(10 * 86_400) : town.to
        for event in [nil, "order.completed"] {
            let response = try await get(
                "cohorts", town.from, to, "&granularity=\(granularity.rawValue)&periods=5" + (event.map { "&event=\($0)" } ?? ""))
            let first = reference.firstSeen
            for cohort in response["cohorts"].array {
                let start = try #require(cohort["start"].string.flatMap(Timestamp.date))
                let people = Set(first.filter { BucketCalendar.start(of: $0.value, granularity) == start }.keys)
                #expect(cohort["people"].int == people.count)
                var bucket = start
                for returning in cohort["returning"].array {
                    let end = BucketCalendar.next(after: bucket, granularity)
                    let active = Set(reference.rows(bucket, end).filter { event == nil || $0.name == event }.compactMap(\.user))
                    #expect(returning.int == people.intersection(active).count)
                    bucket = end
                }
                #expect(cohort["returning"].array.count == 6 || bucket > Date())
                #expect(cohort["shares"].array.count == cohort["returning"].array.count)
            }
            #expect(response["cohorts"].array.contains { ($0["people"].int ?? 0) > 0 })
        }
    }

    @Test("Of too many people some are looked at, each with all they did")
    func sampledCohorts() async throws {
        let table = try CohortTable(from: town.from, to: town.to, granularity: .month, periods: 3, now: Date())
        let (exact, sample, sampled, rows) = try await host.database.transaction(as: town.tenant.viewer.caller) { tx in
            let store = CohortStore(tx: tx)
            let ids = try store.sample(table.period, sampling: 3)
            return (
                try store.answer(table, where: [], Exactness(rows: 1_000_000)), ids,
                try store.answer(table, where: [], Exactness(rows: 500)),
                try store.returning(table.period, until: table.end, where: [], of: ids)
            )
        }
        #expect(exact.error == nil)
        let error = try #require(sampled.error)
        #expect(error > 0 && error < 1)
        #expect(sampled.cohorts.map(\.people) == exact.cohorts.map(\.people))
        #expect(sample.count > 3 && sample.count < reference.firstSeen.count)
        let first = reference.firstSeen
        for row in rows {
            let own = Set(
                sample.map { $0.uuidString.lowercased() }.filter {
                    BucketCalendar.start(of: first[$0] ?? .distantPast, .month) == row.cohort
                })
            let active = Set(reference.rows(row.bucket, BucketCalendar.next(after: row.bucket, .month)).compactMap(\.user))
            #expect(row.people == own.intersection(active).count)
        }
    }

    // MARK: - Business

    @Test("Revenue by currency; what is no amount and no currency is left out")
    func revenue() async throws {
        let (from, to) = spans[0]
        let report = try await get("reports/revenue", from, to, "&granularity=month")
        let sales = reference.rows(from, to).filter { row in
            ["order.completed", "order.refunded"].contains(row.name) && row.properties["amount"]?.int != nil
                && row.properties["currency"]?.string?.count == 3
        }
        var expected: [[JSONValue]] = []
        for (start, ofMonth) in Dictionary(grouping: sales, by: { BucketCalendar.start(of: $0.time, .month) }) {
            for (currency, rows) in Dictionary(grouping: ofMonth, by: { $0.properties["currency"]?.string?.uppercased() ?? "" }) {
                let orders = rows.filter { $0.name == "order.completed" }
                let amount = rows.reduce(0) { $0 + ($1.name == "order.completed" ? 1 : -1) * ($1.properties["amount"]?.int ?? 0) }
                expected.append([
                    .string(Timestamp.text(start)), .string(currency), .integer(orders.count), .integer(rows.count - orders.count),
                    .integer(amount), .integer(Set(orders.compactMap(\.user)).count),
                ])
            }
        }
        #expect(expected.count == 4)
        #expect(sameRows(report["rows"].array.map(\.array), expected), "\(report.text)")
    }

    @Test("Key figures, beside those of the period before")
    func kpi() async throws {
        let middle = BucketCalendar.next(after: town.from, .month)
        let length = town.to.timeIntervalSince(middle)
        let before = middle.addingTimeInterval(-length)
        let response = try await get("kpi", middle, town.to)
        #expect(response["previous"]["from"].string == Timestamp.text(before))
        func figure(_ key: String, _ currency: String? = nil) throws -> JSONValue {
            try #require(response["kpis"].array.first { $0["key"].string == key && $0["currency"].string == currency }, "\(key)")
        }
        func check(_ key: String, _ currency: String? = nil, _ value: (Date, Date) -> Double?) throws {
            let found = try figure(key, currency), (now, then) = (value(middle, town.to), value(before, middle))
            #expect(abs((found["value"].double ?? -1) - (now ?? -1)) < 1e-6, "\(key): \(found), not \(now as Any)")
            #expect(abs((found["previous"].double ?? -1) - (then ?? -1)) < 1e-6, "\(key): \(found), not \(then as Any)")
            if let now, let then, then != 0 { #expect(abs((found["change"].double ?? -9) - (now - then) / then) < 1e-9) }
        }
        let (reference, to) = (reference, town.to)
        try check("activeUsers") { Double(Set(reference.rows($0, $1).compactMap(\.user)).count) }
        try check("events") { Double(reference.rows($0, $1).count { !$0.isView }) }
        try check("pageViews") { Double(reference.rows($0, $1).count(where: \.isView)) }
        try check("newUsers") { from, to in Double(reference.firstSeen.values.count { from <= $0 && $0 < to }) }
        try check("sessions") { Double(reference.visits($0, $1).count) }
        try check("bounceRate") { from, to in
            let visits = reference.visits(from, to)
            return Double(visits.count(where: \.isBounce)) / Double(visits.count { !$0.views.isEmpty })
        }
        try check("stickiness") { from, to in
            var (daily, day) = ([Int](), from)
            while day < to {
                daily.append(Set(reference.rows(day, day.addingTimeInterval(86_400)).compactMap(\.user)).count)
                day = day.addingTimeInterval(86_400)
            }
            return Double(daily.reduce(0, +)) / Double(daily.count) / Double(Set(reference.rows(from, to).compactMap(\.user)).count)
        }
        try check("orders", "EUR") { from, to in
            Double(
                reference.rows(from, to).count {
                    $0.name == "order.completed" && $0.properties["currency"] == "EUR" && $0.properties["amount"]?.int != nil
                })
        }
        #expect(to == town.to)
        #expect(try figure("satisfaction")["value"].isNull)
        #expect(try figure("registrations")["value"] == 0)
    }

    @Test("What is used, and by which share of the people")
    func features() async throws {
        let (from, to) = spans[0]
        let report = try await get("reports/features", from, to)
        let rows = reference.rows(from, to)
        let everybody = Set(rows.compactMap(\.user)).count
        let expected = Dictionary(grouping: rows.filter { $0.name != nil }) { $0.name ?? "" }.map { name, rows -> [JSONValue] in
            let users = Set(rows.compactMap(\.user)).count
            return ["event", .string(name), .integer(rows.count), .integer(users), .number(Double(users) / Double(everybody))]
        }
        #expect(sameRows(report["rows"].array.map(\.array), expected), "\(report.text)")
    }

    // MARK: - Reports

    @Test("Reports on events are about events alone: none is without a name, and page views are nobody's category")
    func eventReports() async throws {
        let (from, to) = spans[0]
        let events = reference.rows(from, to).filter { $0.name != nil }
        #expect(reference.rows(from, to).contains { $0.name == nil && $0.user != nil })
        for (type, name) in [("events", \RawRow.name), ("categories", \RawRow.category)] {
            let rows = try await get("reports/\(type)", from, to)["rows"].array.map(\.array)
            let expected = Dictionary(grouping: events) { $0[keyPath: name] }.map { value, rows -> [JSONValue] in
                [
                    .text(value), .integer(rows.count), .integer(Set(rows.compactMap(\.user)).count),
                    .integer(Set(rows.compactMap(\.session)).count),
                ]
            }
            #expect(sameRows(rows, expected), "\(type): \(rows)")
            if type == "events" { #expect(rows.allSatisfy { $0[0].string != nil }) }
        }
    }

    @Test("Every report is there as JSON and as CSV, with as many rows", arguments: ReportType.allCases)
    func reports(_ type: ReportType) async throws {
        let (from, to) = spans[1]
        let json = try await get("reports/\(type.rawValue)", from, to, "&granularity=week")
        #expect(json["type"].string == type.rawValue)
        let columns = json["columns"].array.count
        #expect(columns >= 3)
        #expect(json["rows"].array.allSatisfy { $0.array.count == columns })
        let csv = try await patient.get(
            "/api/v1/analytics/reports/\(type.rawValue)?from=\(Timestamp.text(from))&to=\(Timestamp.text(to))&granularity=week",
            headers: ["accept": "text/csv, application/json;q=0.5"])
        #expect(csv.header("content-type")?.hasPrefix("text/csv") == true)
        #expect(csv.header("content-disposition")?.contains("\(type.rawValue)-") == true)
        let lines = csv.text.components(separatedBy: "\r\n")
        #expect(lines.count == json["rows"].array.count + 2)
        #expect(lines[0] == json["columns"].array.compactMap(\.string).joined(separator: ","))
        let asked = try await get("reports/\(type.rawValue)", from, to, "&granularity=week&format=csv")
        #expect(asked.body == csv.body)
    }

    @Test("The neighbour sees nothing of it, and nothing of theirs is in it")
    func isolation() async throws {
        let stranger = try await host.client(TestTenant().viewer)
        for path in ["overview", "users", "content", "ai-assistant", "sessions", "kpi", "pages", "referrers", "experiments"] {
            let response = try await stranger.get("/api/v1/analytics/\(path)?from=\(Timestamp.text(town.from))")
            #expect(response.status == 200)
            #expect(!response.text.contains("shop.example") && !response.text.contains("/docs"))
        }
        let names = try await patient.post(
            "/api/v1/analytics/query",
            ["measures": ["events"], "dimensions": ["eventName"], "from": .string(Timestamp.text(town.from.addingTimeInterval(-86_400)))])
        #expect(!names.text.contains("neighbour"))
    }
}
