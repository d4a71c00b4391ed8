import Contracts
import Foundation
import NIOHTTP1
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Events and page views as they come in")
struct CollectionTests {
    let tenant = TestTenant()

    private func totals(_ host: TestHost, _ query: String = "") async throws -> JSONValue {
        let response = try await host.client(tenant.owner).get("/api/v1/analytics/overview\(query)")
        #expect(response.status == 200, "\(response.text)")
        return response["totals"]
    }

    private func event(_ name: String, _ more: [String: JSONValue] = [:]) -> JSONValue {
        .object(more.merging(["eventName": .string(name)]) { own, _ in own })
    }

    @Test("A thousand events in one call are there as soon as it is answered, and the totals are right")
    func thousand() async throws {
        let host = try await TestHost.start(Analytics.self)
        let users = (0..<7).map { _ in UserID.make().description }
        let events = (0..<1_000).map { number in
            event(
                "item.viewed",
                [
                    "userId": .string(users[number % 7]), "sessionId": .string("s\(number % 13)"), "url": "/items/1",
                    "eventProperties": ["n": .integer(number), "nested": ["ok": true]], "eventId": .string(EventID.make().description),
                ])
        }
        let response = try await host.client(tenant.owner).post("/api/v1/analytics/events", ["events": .array(events)])
        #expect(response.status == 202)
        #expect(response["accepted"] == 1_000)
        #expect(response["duplicates"] == 0)
        let totals = try await totals(host)
        #expect(totals["events"] == 1_000)
        #expect(totals["uniqueUsers"] == 7)
        #expect(totals["sessions"] == 13)
        #expect(totals["pageViews"] == 0)

        // The whole call again, as a client does that has not seen the answer.
        let again = try await host.client(tenant.owner).post("/api/v1/analytics/events", ["events": .array(events)])
        #expect(again.status == 202)
        #expect(again["accepted"] == 0)
        #expect(again["duplicates"] == 1_000)
        #expect(try await self.totals(host)["events"] == 1_000)
    }

    @Test("An event id counts once, within a call and across calls, and is another event in another organization")
    func duplicates() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        let id = JSONValue.string(EventID.make().description)
        let first = try await client.post(
            "/api/v1/analytics/events", ["events": [event("a", ["eventId": id]), event("b", ["eventId": id]), event("c")]])
        #expect(first["accepted"] == 2)
        #expect(first["duplicates"] == 1)
        let second = try await client.post("/api/v1/analytics/events", event("a", ["eventId": id]))
        #expect(second["accepted"] == 0)
        #expect(try await totals(host)["events"] == 2)

        let other = TestTenant()
        let foreign = try await host.client(other.owner).post("/api/v1/analytics/events", event("a", ["eventId": id]))
        #expect(foreign["accepted"] == 1)
        #expect(try await host.client(other.owner).get("/api/v1/analytics/overview")["totals"]["events"] == 1)
        #expect(try await totals(host)["events"] == 2)
    }

    @Test("Calls with the same thousand events at the same time store each event once")
    func concurrentRetries() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        let events = (0..<300).map { _ in event("raced", ["eventId": .string(UUID().uuidString.lowercased())]) }
        let accepted = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let response = try await client.post("/api/v1/analytics/events", ["events": .array(events.shuffled())])
                    #expect(response.status == 202)
                    return response["accepted"].int ?? 0
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(accepted == 300)
        #expect(try await totals(host)["events"] == 300)
    }

    @Test("Every bad field of a batch is named with its place, and nothing of the batch is stored")
    func badElements() async throws {
        let host = try await TestHost.start(Analytics.self)
        let response = try await host.client(tenant.owner).post(
            "/api/v1/analytics/events",
            [
                "events": [
                    event("good"), event(""), 17, event("x", ["colour": "red"]), event("y", ["eventId": "7", "userId": "me"]),
                    event("z", ["url": "javascript:alert(1)"]), event("w", ["occurredAt": "yesterday"]),
                    event("v", ["eventProperties": ["a": "nul\u{0}"]]), ["eventCategory": "nameless"],
                ]
            ])
        #expect(response.status == 400)
        #expect(response.problem == "validation-failed")
        #expect(
            Set(response.badFields) == [
                "/events/1/eventName", "/events/2", "/events/3/colour", "/events/4/eventId", "/events/4/userId", "/events/5/url",
                "/events/6/occurredAt", "/events/7/eventProperties", "/events/8/eventName",
            ])
        #expect(try await totals(host)["events"] == 0)
    }

    @Test("A single event names its fields without an index, and refuses a mixture of both forms")
    func singleForm() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        #expect(try await client.post("/api/v1/analytics/events", event("one")).status == 202)
        let bad = try await client.post("/api/v1/analytics/events", ["eventNam": "x", "sessionId": ""])
        #expect(bad.status == 400)
        #expect(Set(bad.badFields) == ["/eventName", "/eventNam", "/sessionId"])
        let mixed = try await client.post("/api/v1/analytics/events", ["events": [event("x")], "eventName": "y"])
        #expect(mixed.badFields == ["/eventName"])
        #expect(try await totals(host)["events"] == 1)
    }

    @Test("A batch has from 1 to 1,000 elements", arguments: [0, 1_001])
    func batchSize(_ count: Int) async throws {
        let host = try await TestHost.start(Analytics.self)
        let events = (0..<count).map { _ in event("x") }
        let response = try await host.client(tenant.owner).post("/api/v1/analytics/events", ["events": .array(events)])
        #expect(response.status == 400)
        #expect(response.badFields == ["/events"])
    }

    @Test("A body larger than the limit answers 413, and rubbish 400")
    func rubbish() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        let large = Data(repeating: UInt8(ascii: " "), count: CollectionRoutes.maxBodyBytes + 1)
        let json = ["content-type": "application/json"]
        #expect(try await client.send(.POST, "/api/v1/analytics/events", bytes: large, headers: json).status == 413)
        for body in ["{", "[]", "null", "\"x\"", "{\"events\":null}", "{\"eventName\":\"\u{FF}"] {
            let response = try await client.send(.POST, "/api/v1/analytics/events", bytes: Data(body.utf8), headers: json)
            #expect(response.status == 400, "\(body) answered \(response.status)")
        }
        let form = try await client.send(.POST, "/api/v1/analytics/events", bytes: Data("a=b".utf8), headers: ["content-type": "text/csv"])
        #expect(form.status == 415)
    }

    @Test("A late event counts where it happened; one far ahead of the clock is refused")
    func late() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        let late = Date().addingTimeInterval(-12 * 86_400)
        let ancient = Date().addingTimeInterval(-400 * 86_400)
        for time in [late, ancient] {
            let response = try await client.post("/api/v1/analytics/events", event("late", ["occurredAt": .string(Timestamp.text(time))]))
            #expect(response.status == 202)
        }
        let overview = try await client.get("/api/v1/analytics/overview")
        #expect(overview["totals"]["events"] == 1)
        let day = Timestamp.text(BucketCalendar.start(of: late, .day))
        #expect(overview["series"].array.first { $0["start"].string == day }?["events"] == 1)

        let future = Timestamp.text(Date().addingTimeInterval(2 * 86_400))
        let refused = try await client.post(
            "/api/v1/analytics/events",
            ["events": [event("a"), event("b", ["occurredAt": .string(future)]), event("c", ["occurredAt": "1999-12-31T00:00:00Z"])]])
        #expect(refused.status == 400)
        #expect(refused.badFields == ["/events/1/occurredAt", "/events/2/occurredAt"])
    }

    @Test("Page views are counted beside events, with the people and sessions of both counted once")
    func pageViews() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.user)
        let one = try await client.post(
            "/api/v1/analytics/page-views",
            ["url": "https://example.org/pricing", "referrer": "", "sessionId": "s1", "durationSeconds": 12, "bounce": false])
        #expect(one.status == 202)
        let many = try await client.post(
            "/api/v1/analytics/page-views", ["pageViews": [["url": "/a", "sessionId": "s1"], ["url": "/b", "sessionId": "s2"]]])
        #expect(many["accepted"] == 2)
        _ = try await client.post("/api/v1/analytics/events", event("click", ["sessionId": "s2"]))
        let totals = try await totals(host)
        #expect(totals["pageViews"] == 3)
        #expect(totals["events"] == 1)
        #expect(totals["sessions"] == 2)
        #expect(totals["uniqueUsers"] == 1)
        let bad = try await client.post(
            "/api/v1/analytics/page-views", ["pageViews": [["url": ""], ["url": "/a", "durationSeconds": -1]]])
        #expect(bad.badFields == ["/pageViews/0/url", "/pageViews/1/durationSeconds"])
    }

    @Test("A list without times stays in the order in which it was sent")
    func order() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.owner)
        for visit in 1...4 {
            let pages = (0..<6).map { JSONValue.object(["url": .string("/p\($0)"), "sessionId": .string("visit-\(visit)")]) }
            #expect(try await client.post("/api/v1/analytics/page-views", ["pageViews": .array(pages)])["accepted"] == 6)
        }
        let sessions = try await client.get("/api/v1/analytics/sessions")
        let (entries, exits) = (sessions["entryPages"].array, sessions["exitPages"].array)
        #expect(entries.count == 1 && "\(entries)".contains("/p0"), "\(sessions.text)")
        #expect(exits.count == 1 && "\(exits)".contains("/p5"), "\(sessions.text)")
    }

    @Test("Of a client's address only the network is kept, and nothing when the setting says so")
    func addresses() async throws {
        let host = try await TestHost.start(Analytics.self)
        let headers = ["x-forwarded-for": "203.0.113.77, 10.0.0.1", "user-agent": "Browser/1"]
        _ = try await host.client(tenant.owner).post("/api/v1/analytics/events", event("x"), headers: headers)
        _ = try await host.client(tenant.owner).post("/api/v1/analytics/page-views", ["url": "/"], headers: ["x-forwarded-for": "rubbish"])
        let caller = Caller.service(.analytics, for: tenant.id)
        let kept = try await host.database.query(
            Query<String>("SELECT host(ip_address) || ' ' || user_agent AS kept FROM analytics_events", column: "kept"), as: caller)
        #expect(kept == ["203.0.113.0 Browser/1"])
        let unknown = try await host.database.query(
            Query<Bool>("SELECT ip_address IS NULL AS missing FROM page_views", column: "missing"), as: caller)
        #expect(unknown == [true])

        let silent = try await TestHost.start(Analytics.self, environment: ["TRIONEX_ANALYTICS_ADDRESSES": "none"])
        let other = TestTenant()
        _ = try await silent.client(other.owner).post("/api/v1/analytics/events", event("x"), headers: headers)
        let none = try await silent.database.query(
            Query<Bool>("SELECT ip_address IS NULL AS missing FROM analytics_events", column: "missing"),
            as: .service(.analytics, for: other.id))
        #expect(none == [true])
        try await silent.stop()
    }

    @Test("Whoever may only read cannot report, and whoever may only report cannot read")
    func permissions() async throws {
        let host = try await TestHost.start(Analytics.self)
        #expect(try await host.client(tenant.viewer).post("/api/v1/analytics/events", event("x")).status == 403)
        #expect(try await host.client(tenant.viewer).get("/api/v1/analytics/overview").status == 200)
        #expect(try await host.client(tenant.user).post("/api/v1/analytics/events", event("x")).status == 202)
        #expect(try await host.client(tenant.user).get("/api/v1/analytics/overview").status == 403)
    }

    @Test("No endpoint takes an anonymous caller, one without the permission, or a forged token")
    func sweep() async throws {
        try await EndpointSweep.check(try await TestHost.start(Analytics.self))
    }
}
