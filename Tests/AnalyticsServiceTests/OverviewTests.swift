import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("The overview")
struct OverviewTests {
    let tenant = TestTenant()

    @Test("Without parameters it has the last 30 days by day, empty ones too, and ends with today")
    func standard() async throws {
        let host = try await TestHost.start(Analytics.self)
        let response = try await host.client(tenant.viewer).get("/api/v1/analytics/overview")
        #expect(response.status == 200)
        #expect(response["granularity"] == "day")
        let series = response["series"].array
        #expect(series.count == 30)
        #expect(series.allSatisfy { $0["events"] == 0 && $0["publications"] == 0 })
        #expect(response["from"] == series[0]["start"])
        let starts = series.compactMap { $0["start"].string.flatMap(Timestamp.date) }
        #expect(zip(starts, starts.dropFirst()).allSatisfy { $1.timeIntervalSince($0) == 86_400 })
        let to = try #require(response["to"].string.flatMap(Timestamp.date))
        #expect(to > Date() && to.timeIntervalSince(Date()) <= 86_400)
    }

    /// The figures are held against a computation over the raw events that is slow and obviously right.
    @Test("Its figures agree with counting one by one, for every granularity", arguments: Granularity.allCases)
    func agrees(_ granularity: Granularity) async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        // From a Sunday evening over the end of a month and a year, with bounds inside buckets.
        let from = try #require(Timestamp.date("2024-12-22T18:30:00Z"))
        let to = try #require(Timestamp.date("2025-02-02T07:15:00Z"))
        struct Sent { let time: Date; let user: String; let session: String }
        var generator = SeededGenerator(state: 7)
        let people = (0..<9).map { _ in UserID.make().description }
        let sent = (0..<900).map { _ in
            Sent(
                time: from.addingTimeInterval(
                    (Double.random(in: -86_400...(to.timeIntervalSince(from) + 86_400), using: &generator) * 1000).rounded() / 1000),
                user: people[Int.random(in: 0..<9, using: &generator)], session: "s\(Int.random(in: 0..<40, using: &generator))")
        }
        let bodies = sent.enumerated().map { number, one -> JSONValue in
            let common: [String: JSONValue] = [
                "occurredAt": .string(Timestamp.text(one.time)), "userId": .string(one.user), "sessionId": .string(one.session),
            ]
            return .object(common.merging(number < 600 ? ["eventName": "x"] : ["url": "/x"]) { first, _ in first })
        }
        #expect(try await client.post("/api/v1/analytics/events", ["events": .array(Array(bodies[..<600]))]).status == 202)
        #expect(try await client.post("/api/v1/analytics/page-views", ["pageViews": .array(Array(bodies[600...]))]).status == 202)

        let response = try await client.get(
            "/api/v1/analytics/overview?from=\(Timestamp.text(from))&to=\(Timestamp.text(to))&granularity=\(granularity.rawValue)")
        #expect(response.status == 200, "\(response.text.prefix(300))")
        let period = try Period(from: from, to: to, granularity: granularity, now: Date())
        let series = response["series"].array
        #expect(series.map(\.["start"]) == period.buckets.map { .string(Timestamp.text($0)) })
        func check(_ figures: JSONValue, _ start: Date, _ end: Date) {
            let inside = sent.enumerated().filter { max(start, from) <= $0.element.time && $0.element.time < min(end, to) }
            #expect(figures["events"].int == inside.count { $0.offset < 600 })
            #expect(figures["pageViews"].int == inside.count { $0.offset >= 600 })
            #expect(figures["uniqueUsers"].int == Set(inside.map(\.element.user)).count)
            #expect(figures["sessions"].int == Set(inside.map(\.element.session)).count)
        }
        check(response["totals"], from, to)
        for (bucket, figures) in zip(period.buckets, series) { check(figures, bucket, BucketCalendar.next(after: bucket, granularity)) }
    }

    @Test("What happens on the platform is counted once, however often it is told")
    func facts() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.viewer)
        let person = UserID.make()
        let registration = UserRegistered(
            userID: person, email: "ada@example.org", firstName: "Ada", lastName: nil, organizationID: tenant.id,
            organizationName: "Engines")
        let id = EventID.make()
        for _ in 0..<3 { try await host.publish(registration, for: tenant.id, eventID: id) }
        try await host.publish(
            UserLoggedIn(userID: person, sessionID: .make(), address: nil, userAgent: nil), for: tenant.id)
        let article = ArticlePublished.example
        try await host.publish(article, for: tenant.id)
        try await host.publish(article, for: tenant.id)
        try await host.publish(MessageAnswered.example, for: tenant.id)
        try await host.publish(FileUploaded.example, for: tenant.id)
        try await host.publish(FeedbackGiven.example, for: tenant.id)
        try await host.publish(NotificationDelivered.example, for: tenant.id)
        let expected = [
            "registrations": 1, "signIns": 1, "publications": 2, "answers": 1, "uploads": 1, "ratings": 1, "notifications": 1, "events": 0,
        ]
        try await host.eventually("all facts are counted") {
            let totals = try await client.get("/api/v1/analytics/overview")["totals"]
            return expected.allSatisfy { totals[$0.key].int == $0.value }
        }
        // A duplicate that comes after everything else.
        try await host.publish(registration, for: tenant.id, eventID: id)
        try await host.publish(article, for: tenant.id)
        try await host.eventually("the last event is counted") {
            try await client.get("/api/v1/analytics/overview")["totals"]["publications"] == 3
        }
        let overview = try await client.get("/api/v1/analytics/overview?granularity=hour")
        #expect(overview["totals"]["registrations"] == 1)
        #expect(overview["series"].array.reduce(0) { $0 + ($1["publications"].int ?? 0) } == 3)
        try await details(client)
        let stranger = try await host.client(TestTenant().viewer).get("/api/v1/analytics/overview")
        #expect(stranger["totals"]["publications"] == 0)
    }

    /// The other answers about the same facts, from the roll-ups and, where those do not know enough, from the facts.
    private func details(_ client: TestClient) async throws {
        // Bounds within an hour leave only the facts themselves.
        let odd = "?granularity=week&from=\(Timestamp.text(Date().addingTimeInterval(-86_400.5)))"
        for query in ["", odd] {
            let users = try await client.get("/api/v1/analytics/users\(query)")["totals"]
            #expect(users["registrations"] == 1)
            #expect(users["signIns"] == 1)
            #expect(users["activeUsers"] == 0)
            let content = try await client.get("/api/v1/analytics/content\(query)")
            #expect(content["totals"]["publications"] == 3)
            #expect(content["totals"]["uploads"] == 1)
            #expect(content["totals"]["uploadedBytes"].int == FileUploaded.example.size)
            #expect(content["categories"].array.reduce(0) { $0 + ($1["publications"].int ?? 0) } == 3)
            let assistant = try await client.get("/api/v1/analytics/ai-assistant\(query)")
            let (answer, rating) = (MessageAnswered.example, FeedbackGiven.example)
            #expect(assistant["totals"]["answers"] == 1)
            #expect(assistant["totals"]["users"] == 1)
            #expect(assistant["totals"]["promptTokens"].int == answer.promptTokens)
            #expect(assistant["totals"]["completionTokens"].int == answer.completionTokens)
            #expect(assistant["totals"]["averageMilliseconds"].double == Double(answer.milliseconds))
            #expect(assistant["totals"]["averageRating"].double == Double(rating.rating))
            #expect(assistant["totals"]["satisfaction"] == 0)
            #expect(assistant["series"].array.reduce(0) { $0 + ($1["ratings"].int ?? 0) } == 1)
            let tokens = answer.promptTokens + answer.completionTokens
            #expect(assistant["models"].array == [["model": .string(answer.model), "answers": 1, "tokens": .integer(tokens)]])
            #expect(assistant["ratings"].array.map { $0["count"].int } == (1...5).map { $0 == rating.rating ? 1 : 0 })
        }
        let kpis = try await client.get("/api/v1/analytics/kpi")["kpis"].array
        func kpi(_ key: String) -> JSONValue { kpis.first { $0["key"].string == key } ?? .null }
        #expect(kpi("registrations")["value"] == 1 && kpi("registrations")["previous"] == 0 && kpi("registrations")["change"].isNull)
        #expect(kpi("publications")["value"] == 3)
        #expect(kpi("satisfaction")["value"] == 0 && kpi("satisfaction")["previous"].isNull)
        let features = try await client.get("/api/v1/analytics/reports/features")["rows"].array
        #expect(Set(features.map { $0[1].string }) == ["answer", "publication", "upload"])
    }

    @Test(
        "Bounds that make no sense are refused by name",
        arguments: [
            ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", ["?from", "?to"]),
            ("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", ["?from", "?to"]),
            ("from=2020-01-01&to=2026-01-01&granularity=hour", ["?granularity"]), ("granularity=minute", ["?granularity"]),
            ("from=soon", ["?from"]), ("from=2190-01-01", ["?from"]),
            // What was left out is nobody's mistake.
            ("to=1990-01-01", ["?to"]), ("to=9999-01-01", ["?to"]), ("to=2000-01-10", ["?to"]),
            ("from=0001-01-01T00:00:00Z&granularity=month", ["?from"]), ("to=9999-01-01&from=2026-01-01&granularity=month", ["?to"]),
            ("from=1990-01-01&to=9999-01-01", ["?from", "?to"]), ("until=2026-01-01", ["?until"]),
        ])
    func bounds(_ query: String, _ fields: [String]) async throws {
        let host = try await TestHost.start(Analytics.self)
        let response = try await host.client(tenant.viewer).get("/api/v1/analytics/overview?\(query)")
        #expect(response.status == 400)
        #expect(response.badFields == fields, "\(response.text)")
    }

    @Test("Cohorts blame the bound that was said, too")
    func cohortBounds() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.viewer)
        for (query, field) in [("to=1990-01-01", "?to"), ("from=1990-01-01", "?from")] {
            #expect(try await client.get("/api/v1/analytics/cohorts?\(query)").badFields == [field])
        }
    }

    @Test("A date alone is its first moment, and the end is not included")
    func dates() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        for time in ["2025-03-01T00:00:00Z", "2025-03-01T23:59:59.999Z", "2025-03-02T00:00:00Z", "2025-03-01T01:30:00+02:00"] {
            _ = try await client.post("/api/v1/analytics/events", ["eventName": "x", "occurredAt": .string(time)])
        }
        let response = try await client.get("/api/v1/analytics/overview?from=2025-03-01&to=2025-03-02&granularity=hour")
        #expect(response["from"] == "2025-03-01T00:00:00.000Z")
        #expect(response["to"] == "2025-03-02T00:00:00.000Z")
        #expect(response["series"].array.count == 24)
        #expect(response["totals"]["events"] == 2)
        #expect(response["series"][0]["events"] == 1)
        #expect(response["series"][23]["events"] == 1)
    }
}
