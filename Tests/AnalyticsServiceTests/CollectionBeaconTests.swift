import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Beacons: what pages report by themselves")
struct CollectionBeaconTests {
    let tenant = TestTenant()
    private static let text = ["content-type": "text/plain;charset=UTF-8", "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"]

    /// A service that knows two keys, as auth would hand them out: one of a page, and one that may do anything.
    private func host() async throws -> TestHost {
        let host = try await TestHost.start(Analytics.self, environment: ["TRIONEX_ANALYTICS_BOTS": "flagged"])
        let owner = tenant.owner
        host.host.foundations.apiKeys.use { key in
            let permissions: [Permission]
            switch key {
            case "trx_page": permissions = ["analytics:write"]
            case "trx_admin": permissions = ["*"]
            case "trx_two": permissions = ["analytics:write", "analytics:read"]
            default: throw AccessFailure.badAPIKey
            }
            let claims = AccessClaims(
                user: owner.id, session: nil, tenant: owner.tenant, roles: [], permissions: permissions, plan: "starter", amr: [],
                issuedAt: Date(), lifetime: 900, apiKey: .make())
            return ServiceToken(token: try await TestKeys.sign(claims), expiresAt: Date().addingTimeInterval(900))
        }
        return host
    }

    private func beacon(_ body: JSONValue, _ host: TestHost, headers: [String: String] = text) async throws -> TestResponse {
        try await host.client(token: nil).send(
            .POST, "/api/v1/analytics/beacon", bytes: try JSON.encode(body), headers: headers)
    }

    @Test("A beacon of text/plain with a page's key is stored, once, with the browser that sent it")
    func stored() async throws {
        let host = try await host()
        let id = JSONValue.string(EventID.make().description)
        let body: JSONValue = [
            "writeKey": "trx_page", "events": [["eventName": "cta.clicked", "eventId": id, "sessionId": "s1"]],
            "pageViews": [["url": "https://shop.example/x", "durationSeconds": 4, "sessionId": "s1"]],
        ]
        let first = try await beacon(body, host)
        #expect(first.status == 202, "\(first.text)")
        #expect(first["accepted"] == 2)
        let again = try await beacon(body, host)
        #expect(again["accepted"] == 1)
        #expect(again["duplicates"] == 1)
        let totals = try await host.client(tenant.owner).get("/api/v1/analytics/overview")["totals"]
        #expect(totals["events"] == 1)
        #expect(totals["pageViews"] == 2)
        #expect(totals["sessions"] == 1)
        // A key's owner is not the visitor.
        #expect(totals["uniqueUsers"] == 0)
        let seen = Query<String>(
            "SELECT (device_info->>'browser') || ' ' || (visitor IS NOT NULL)::text AS seen FROM analytics_events", column: "seen")
        #expect(try await host.database.query(seen, as: .service(.analytics, for: tenant.id)) == ["Firefox true"])
        try await host.stop()
    }

    @Test("A key that may do more has no place in a page, and one that nobody made is refused")
    func keys() async throws {
        let host = try await host()
        let events: JSONValue = [["eventName": "x"]]
        for key in ["trx_admin", "trx_two"] {
            let refused = try await beacon(["writeKey": .string(key), "events": events], host)
            #expect(refused.status == 403)
            #expect(refused.problem == "key-not-publishable")
        }
        #expect(try await beacon(["writeKey": "trx_nobodys", "events": events], host).status == 401)
        let missing = try await beacon(["events": events], host)
        #expect(missing.badFields == ["/writeKey"])
        #expect(try await beacon(["writeKey": "trx_page"], host).badFields == ["/events"])
        #expect(try await beacon(["writeKey": "trx_page", "events": []], host).badFields == ["/events"])
        let bad = try await beacon(["writeKey": "trx_page", "pageViews": [["url": "/"], ["url": ""]]], host)
        #expect(bad.badFields == ["/pageViews/1/url"])
        let wrong = try await beacon(["writeKey": "trx_page", "events": events], host, headers: ["content-type": "text/html"])
        #expect(wrong.status == 415)
        let large = JSONValue.string(String(repeating: "x", count: BeaconRoutes.maxBodyBytes))
        #expect(try await beacon(["writeKey": "trx_page", "events": [["eventName": large]]], host).status == 413)
        #expect(!host.log.lines.contains { $0.contains("trx_page") || $0.contains("trx_admin") }, "a key stands in the log")
        try await host.stop()
    }

    @Test("A program that plays a page is a bot; so is a page without a browser")
    func bots() async throws {
        let host = try await host()
        for agent in ["curl/8.5.0", "", "Mozilla/5.0 (X11) HeadlessChrome/126.0"] {
            let answer = try await beacon(
                ["writeKey": "trx_page", "events": [["eventName": "x"]]], host,
                headers: ["content-type": "text/plain", "user-agent": agent])
            #expect(answer["accepted"] == 1)
        }
        let bots = Query<Int>("SELECT count(*) AS n FROM analytics_events WHERE is_bot", column: "n")
        #expect(try await host.database.first(bots, as: .service(.analytics, for: tenant.id)) == 3)
        try await host.stop()
    }

    @Test("A page's clock that is hours wrong is set right by when the beacon was sent")
    func clock() async throws {
        let host = try await host()
        func text(_ ahead: TimeInterval) -> JSONValue { .string(Timestamp.text(Date().addingTimeInterval(ahead))) }
        let answer = try await beacon(
            [
                "writeKey": "trx_page", "sentAt": text(3 * 86_400),
                "events": [["eventName": "x", "occurredAt": text(3 * 86_400 - 60)]],
            ], host)
        #expect(answer.status == 202, "\(answer.text)")
        // With a token too, alone and in a list.
        let client = try await host.client(tenant.owner)
        let single = try await client.post(
            "/api/v1/analytics/events", ["eventName": "x", "sentAt": text(-86_400), "occurredAt": text(-86_460)])
        #expect(single.status == 202, "\(single.text)")
        let list = try await client.post(
            "/api/v1/analytics/events", ["sentAt": text(7_200), "events": [["eventName": "x", "occurredAt": text(7_140)]]])
        #expect(list.status == 202, "\(list.text)")
        let ages = try await host.database.query(
            Query<Double>(
                "SELECT extract(epoch FROM received_at - occurred_at)::double precision AS age FROM analytics_events", column: "age"),
            as: .service(.analytics, for: tenant.id))
        #expect(ages.count == 3)
        for age in ages { #expect(abs(age - 60) < 2, "\(age)") }
        let wrong = try await client.post("/api/v1/analytics/events", ["eventName": "x", "occurredAt": text(2 * 86_400)])
        #expect(wrong.badFields == ["/occurredAt"])
        try await host.stop()
    }
}
