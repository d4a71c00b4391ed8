import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

/// Every endpoint against the plain computation, over events that came late, twice, in no order, and at the edges of buckets.
@Suite("Figures against counting one by one")
struct ReferenceTests {
    let host: TestHost
    let town: Town
    let patient: PatientClient
    let reference: Reference

    init() async throws {
        host = try await TestHost.start(Analytics.self)
        town = try await Town.shared
        patient = PatientClient(client: try await host.client(town.tenant.viewer))
        reference = Reference(rows: town.rows)
    }

    /// The whole time, and a part whose edges lie within hours.
    var spans: [(Date, Date)] {
        [(town.from, town.to), (town.from.addingTimeInterval(100_000.5), town.to.addingTimeInterval(-300_000.25))]
    }

    /// By hours some days around the end of a month are enough.
    private func spans(_ granularity: Granularity) -> [(Date, Date)] {
        guard granularity == .hour else { return spans }
        let end = BucketCalendar.next(after: town.from, .month)
        return [(end.addingTimeInterval(-4 * 86_400), end.addingTimeInterval(3 * 86_400 + 1_234.5))]
    }

    func get(_ path: String, _ from: Date, _ to: Date, _ more: String = "") async throws -> TestResponse {
        let response = try await patient.get("/api/v1/analytics/\(path)?from=\(Timestamp.text(from))&to=\(Timestamp.text(to))\(more)")
        #expect(response.status == 200, "\(path): \(response.text.prefix(500))")
        return response
    }

    func activity(_ rows: [RawRow]) -> [Int] {
        [
            rows.count { !$0.isView }, rows.count { $0.isView }, Set(rows.compactMap(\.user)).count, Set(rows.compactMap(\.session)).count,
        ]
    }

    // MARK: - Over time

    @Test("The overview, in total and in every bucket", arguments: Granularity.allCases)
    func overview(_ granularity: Granularity) async throws {
        for (from, to) in spans(granularity) {
            let response = try await get("overview", from, to, "&granularity=\(granularity.rawValue)")
            func figures(_ value: JSONValue) -> [Int?] { ["events", "pageViews", "uniqueUsers", "sessions"].map { value[$0].int } }
            #expect(figures(response["totals"]) == activity(reference.rows(from, to)))
            #expect(response["approximate"].isNull)
            for bucket in response["series"].array {
                let start = try #require(bucket["start"].string.flatMap(Timestamp.date))
                let inside = reference.rows(max(from, start), min(to, BucketCalendar.next(after: start, granularity)))
                #expect(figures(bucket) == activity(inside), "\(bucket)")
            }
        }
    }

    @Test("From roll-ups the counts are the same, and people and visits within the error that is stated", arguments: Granularity.allCases)
    func rolled(_ granularity: Granularity) async throws {
        let caller = town.tenant.viewer.caller
        while try await !RollupFold.catchUp(host.database, as: caller) {}
        for (from, to) in spans(granularity) {
            let asked = try Period(from: from, to: to, granularity: granularity, now: Date())
            let timeline = try await host.database.transaction(as: caller) { tx in
                try ActivityStore(tx: tx, exactness: Exactness(rows: 0)).activity(asked)
            }
            #expect(timeline.isEstimated)
            // Moved outwards to full hours, and no further.
            #expect(timeline.period.from <= from && from.timeIntervalSince(timeline.period.from) < 3_600)
            #expect(timeline.period.to >= to && timeline.period.to.timeIntervalSince(to) < 3_600)
            func check(_ figures: Activity, _ rows: [RawRow]) {
                let expected = activity(rows)
                #expect(figures.events == expected[0])
                #expect(figures.pageViews == expected[1])
                // So few are practically exact.
                #expect(abs(figures.uniqueUsers - expected[2]) <= 1)
                #expect(abs(figures.sessions - expected[3]) <= max(1, expected[3] / 200))
            }
            check(timeline.totals, reference.rows(timeline.period.from, timeline.period.to))
            for start in timeline.period.buckets {
                let end = min(timeline.period.to, BucketCalendar.next(after: start, granularity))
                check(timeline.buckets[start] ?? Activity(), reference.rows(max(timeline.period.from, start), end))
            }
        }
    }

    @Test("People: active, new and returning")
    func users() async throws {
        for (from, to) in spans {
            let response = try await get("users", from, to, "&granularity=week")
            func check(_ value: JSONValue, _ from: Date, _ to: Date) {
                let active = Set(reference.rows(from, to).compactMap(\.user)).count
                let new = reference.firstSeen.values.count { from <= $0 && $0 < to }
                #expect(value["activeUsers"].int == active)
                #expect(value["newUsers"].int == new)
                #expect(value["returningUsers"].int == active - new)
            }
            check(response["totals"], from, to)
            for bucket in response["series"].array {
                let start = try #require(bucket["start"].string.flatMap(Timestamp.date))
                check(bucket, max(from, start), min(to, BucketCalendar.next(after: start, .week)))
            }
        }
    }

    @Test("Visits: how many, how long, bounces, where they begin and end", arguments: [Granularity.day, .month])
    func sessions(_ granularity: Granularity) async throws {
        for (from, to) in spans {
            let response = try await get("sessions", from, to, "&granularity=\(granularity.rawValue)")
            let visits = reference.visits(from, to)
            func check(_ value: JSONValue, _ visits: [Reference.Visit]) {
                let lengths = visits.map { $0.ended.timeIntervalSince($0.began) }.sorted()
                let viewing = visits.count { !$0.views.isEmpty }, bounces = visits.count(where: \.isBounce)
                func near(_ key: String, _ expected: Double?) {
                    let found = value[key].double
                    #expect(
                        found == nil && expected == nil || abs((found ?? .infinity) - (expected ?? .infinity)) < 0.001,
                        "\(key) is \(found as Any), not \(expected as Any)")
                }
                #expect(value["sessions"].int == visits.count)
                #expect(value["bounces"].int == bounces)
                near("bounceRate", viewing == 0 ? nil : Double(bounces) / Double(viewing))
                near("averageSeconds", visits.isEmpty ? nil : lengths.reduce(0, +) / Double(lengths.count))
                near("medianSeconds", visits.isEmpty ? nil : Reference.percentile(lengths, 0.5))
                let views = visits.reduce(0) { $0 + $1.views.count }, all = visits.reduce(0) { $0 + $1.rows.count }
                near("pageViewsPerSession", visits.isEmpty ? nil : Double(views) / Double(visits.count))
                near("eventsPerSession", visits.isEmpty ? nil : Double(all - views) / Double(visits.count))
            }
            check(response["totals"], visits)
            for bucket in response["series"].array {
                let start = try #require(bucket["start"].string.flatMap(Timestamp.date))
                check(bucket, visits.filter { BucketCalendar.start(of: $0.began, granularity) == start })
            }
            func pages(_ page: (Reference.Visit) -> RawRow?) -> [JSONValue] {
                let counts = Dictionary(grouping: visits.compactMap { page($0)?.path }) { $0 }.mapValues(\.count)
                return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(10).map {
                    ["path": .string($0.key), "sessions": .integer($0.value)]
                }
            }
            #expect(response["entryPages"].array == pages { $0.views.first })
            #expect(response["exitPages"].array == pages { $0.views.last })
        }
    }

    @Test("Of too many visits some are looked at, and the figures are within a few of the errors that are stated")
    func sampledSessions() async throws {
        let period = try Period(from: town.from, to: town.to, granularity: .month, now: Date())
        let visits = reference.visits(town.from, town.to)
        for sampling in [2, 3, 5] {
            let answer = try await host.database.transaction(as: town.tenant.viewer.caller) { tx in
                try SessionStore(tx: tx).sessions(period, sampling: sampling)
            }
            let errors = try #require(answer.errors)
            func near(_ key: String, _ found: Double, _ expected: Double) throws {
                let error = try #require(errors[key])
                #expect(error > 0 && error < 0.3)
                #expect(abs(found - expected) <= 5 * error * expected, "1 in \(sampling): \(key) is \(found), not \(expected)")
            }
            let bounces = visits.count(where: \.isBounce)
            try near("sessions", Double(answer.totals.sessions), Double(visits.count))
            try near("bounces", Double(answer.totals.bounces), Double(bounces))
            try near("bounceRate", answer.totals.bounceRate ?? 0, Double(bounces) / Double(visits.count { !$0.views.isEmpty }))
            let lengths = visits.map { $0.ended.timeIntervalSince($0.began) }
            try near("averageSeconds", answer.totals.averageSeconds ?? 0, lengths.reduce(0, +) / Double(lengths.count))
            #expect(answer.totals.sessions % sampling == 0)
            #expect(answer.buckets.values.reduce(0) { $0 + $1.sessions } == answer.totals.sessions)
        }
    }

    @Test("Questions that roll-ups can answer have the same answer from them")
    func rolledQuestions() async throws {
        let caller = town.tenant.viewer.caller
        while try await !RollupFold.catchUp(host.database, as: caller) {}
        let more: [JSONValue] = [
            ["measures": ["events", "pageViews"], "dimensions": ["path"], "granularity": "week"],
            ["measures": ["events", "pageViews", "uniqueUsers", "sessions"], "dimensions": ["referrerHost"]],
            [
                "measures": ["uniqueUsers"],
                "filters": [["field": "eventName", "op": "in", "value": ["order.completed", "report.opened"]]],
            ],
            ["measures": ["pageViews"], "dimensions": ["browser"]],
            [
                "measures": ["pageViews", "events"], "filters": [["field": "path", "op": "notIn", "value": ["/docs"]]],
                "granularity": "day",
            ],
            [
                "measures": ["events"], "dimensions": ["eventCategory"],
                "filters": [["field": "eventCategory", "op": "exists", "value": false]],
            ],
        ]
        var answered = 0
        for question in QueryTests.questions + more {
            guard case .object(var body) = question else { continue }
            body["from"] = .string(Timestamp.text(town.from))
            body["to"] = .string(Timestamp.text(town.to))
            let draft = try JSON.decode(QuestionDraft.self, from: JSON.encode(JSONValue.object(body))).question(now: Date())
            guard RolledQuestion(draft, now: Date()) != nil else { continue }
            answered += 1
            let answer = try await host.database.transaction(as: caller) { tx in
                let answer = try QuestionReader(tx: tx, exactness: Exactness(rows: 0)).answer(draft)
                return (rows: answer.rows, raw: try QuestionStore(tx: tx).rows(draft))
            }
            let expected = reference.answer(question, town.from, town.to)
            #expect(
                sameRows(answer.rows, expected, within: 0.01), "\(answer.rows.prefix(5)) instead of \(expected.prefix(5)), of \(question)")
            // In the same order too, where the figures do not leave it open.
            if !question["measures"].array.contains("uniqueUsers"), !question["measures"].array.contains("sessions") {
                #expect(answer.rows == answer.raw, "\(question)")
            }
        }
        #expect(answered >= 13)
    }

    // MARK: - Ranked

    @Test("Pages and referrers, page by page through the list, from rows and from roll-ups")
    func pages() async throws {
        let (from, to) = (town.from, town.to)
        let views = reference.rows(from, to).filter(\.isView)
        for (path, key, name) in [("pages", "path", \RawRow.path), ("referrers", "host", \RawRow.referrerHost)] {
            let groups = Dictionary(grouping: views) { $0[keyPath: name] ?? "" }
            let all = Dictionary(grouping: reference.rows(from, to)) { $0[keyPath: name] ?? "" }
            let expected = groups.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }
            var found: [JSONValue] = []
            var cursor = ""
            repeat {
                let response = try await get(path, from, to, "&limit=2\(cursor)")
                found += response["data"].array
                cursor = response["nextCursor"].string.map { "&cursor=\($0)" } ?? ""
            } while !cursor.isEmpty
            #expect(found.map { $0[key].string ?? "" } == expected.map(\.key))
            for (entry, group) in zip(found, expected) {
                #expect(entry["views"].int == group.value.count)
                let rows = group.key.isEmpty ? nil : all[group.key] ?? []
                #expect(entry["uniqueUsers"].int == rows.map { Set($0.compactMap(\.user)).count })
                #expect(entry["sessions"].int == rows.map { Set($0.compactMap(\.session)).count })
                guard path == "pages" else { continue }
                let timed = group.value.compactMap(\.duration)
                #expect(abs((entry["averageSeconds"].double ?? 0) - Double(timed.reduce(0, +)) / Double(timed.count)) < 0.001)
                #expect(entry["bounces"].int == group.value.count(where: \.bounce))
            }
            let caller = town.tenant.viewer.caller
            while try await !RollupFold.catchUp(host.database, as: caller) {}
            let period = try Period(from: from, to: to, granularity: .month, now: Date())
            let subject: PageSubject = path == "pages" ? .path : .referrer
            let (raw, rolled) = try await host.database.transaction(as: caller) { tx in
                let store = PageStore(tx: tx, exactness: Exactness(rows: 0))
                return (try store.raw(subject, period, after: nil, limit: 10), try store.ranking(subject, period, after: nil, limit: 10))
            }
            #expect(rolled.isEstimated)
            #expect(rolled.rows == raw)
            let next = PageRanking.Position(views: raw[1].views, name: raw[1].name)
            let rest = try await host.database.transaction(as: caller) { tx in
                try PageStore(tx: tx, exactness: Exactness(rows: 0)).ranking(subject, period, after: next, limit: 10)
            }
            #expect(rest.rows == Array(raw.dropFirst(2)))
        }
    }
}
