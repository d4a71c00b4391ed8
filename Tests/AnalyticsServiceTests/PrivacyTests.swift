import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Privacy: what is kept of people, and what is not")
struct PrivacyTests {
    let tenant = TestTenant()
    private static let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

    private struct Kept: Sendable, Equatable {
        var user: UserID?
        var session: String?
        var visitor: UUID?
        var isBot: Bool
        var url: String?
        var referrer: String?
        var agent: String?
        var network: String?
        var location: Location?
        var device: Device?
    }

    private func kept(_ host: TestHost, _ tenant: TenantID) async throws -> [Kept] {
        try await host.database.query(
            Query(
                """
                SELECT user_id, session_id, visitor, is_bot, url, referrer, user_agent, host(ip_address) AS network, location, device_info
                FROM analytics_events ORDER BY received_at, occurred_at
                """
            ) { row in
                let (location, device): (JSONB<Location>?, JSONB<Device>?) = (try row("location"), try row("device_info"))
                return Kept(
                    user: try row("user_id"), session: try row("session_id"), visitor: try row("visitor"), isBot: try row("is_bot"),
                    url: try row("url"), referrer: try row("referrer"), agent: try row("user_agent"), network: try row("network"),
                    location: location?.value, device: device?.value)
            }, as: .service(.analytics, for: tenant))
    }

    private func report(
        _ host: TestHost, _ person: TestPerson, address: String = "203.0.113.77", agent: String = firefox, _ more: [String: String] = [:]
    ) async throws -> TestResponse {
        let headers = ["x-forwarded-for": address, "user-agent": agent].merging(more) { $1 }
        return try await host.client(person).post(
            "/api/v1/analytics/events",
            ["eventName": "x", "sessionId": "s1", "url": "https://example.org/a?name=ada", "referrer": "https://search.example/?q=ada"],
            headers: headers)
    }

    @Test("Who asks not to be followed is counted without name, session, address, query or exact browser", arguments: ["dnt", "sec-gpc"])
    func doNotTrack(_ header: String) async throws {
        let host = try await TestHost.start(Analytics.self)
        #expect(try await report(host, tenant.owner, [header: "1"])["accepted"] == 1)
        #expect(
            try await kept(host, tenant.id) == [
                Kept(isBot: false, url: "/a", device: Device(type: .desktop, browser: "Firefox", os: "Linux"))
            ])
        #expect(try await report(host, tenant.owner, [header: "0"])["accepted"] == 1)
        #expect(try await kept(host, tenant.id).last?.user == tenant.owner.id)
        let overview = try await host.client(tenant.owner).get("/api/v1/analytics/overview")
        #expect(overview["totals"]["events"] == 2)
        #expect(overview["totals"]["uniqueUsers"] == 1)
    }

    @Test("By setting nothing of them is kept, addresses leave a hash alone, and locations come from a file")
    func settings() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "locations-\(UUID().uuidString).mmdb")
        try LocationFixture.file.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let host = try await TestHost.start(
            Analytics.self,
            environment: [
                "TRIONEX_ANALYTICS_DO_NOT_TRACK": "dropped", "TRIONEX_ANALYTICS_ADDRESSES": "hashed", "TRIONEX_ANALYTICS_BOTS": "dropped",
                "TRIONEX_ANALYTICS_BOT_AGENTS": "Checker, Probe", "TRIONEX_ANALYTICS_LOCATIONS": file.path(percentEncoded: false),
            ])
        let ignored = try await report(host, tenant.owner, ["dnt": "1"])
        #expect(ignored.status == 202)
        #expect(ignored["accepted"] == 0 && ignored["ignored"] == 1)
        #expect(try await report(host, tenant.owner, agent: "AcmeProbe/1.0")["ignored"] == 1)
        #expect(try await report(host, tenant.owner)["accepted"] == 1)
        let rows = try await kept(host, tenant.id)
        #expect(rows.count == 1)
        #expect(rows.first?.network == nil)
        #expect(rows.first?.visitor != nil)
        #expect(rows.first?.location == Location(country: "DE", region: "BE", city: "Berlin"))
        #expect(
            rows.first?.device == Device(type: .desktop, browser: "Firefox", browserVersion: "128", os: "Linux"))
        try await host.stop()
    }

    @Test("A visitor is the same for a day with one organization, and somebody else with another, or with another browser")
    func visitors() async throws {
        let host = try await TestHost.start(Analytics.self)
        let other = TestTenant()
        _ = try await report(host, tenant.owner)
        _ = try await report(host, tenant.user)
        _ = try await report(host, tenant.user, address: "203.0.113.78")
        _ = try await report(host, tenant.user, agent: Self.firefox + " x")
        _ = try await report(host, other.owner)
        let mine = try await kept(host, tenant.id).compactMap(\.visitor)
        #expect(mine.count == 4)
        #expect(mine[0] == mine[1])
        #expect(Set(mine).count == 3)
        #expect(try await kept(host, other.id).first?.visitor != mine[0])

        // The day's salt is what makes it so: with the salt gone, nobody can make the same visitor again.
        let visitors = Visitors(database: host.database)
        let address = try #require(ClientAddress("203.0.113.77"))
        let again = try await visitors.visitor(address, userAgent: Self.firefox, of: tenant.id, at: Date())
        #expect(again == mine[0] || BucketCalendar.start(of: Date(), .day) > Date().addingTimeInterval(-60))
        let tomorrow = try await visitors.visitor(address, userAgent: Self.firefox, of: tenant.id, at: Date().addingTimeInterval(86_400))
        #expect(tomorrow != again)
        try await host.database.transaction(as: .service(.analytics, for: tenant.id)) { tx in
            try OrganizationStore(tx: tx).forgetSalts(now: Date().addingTimeInterval(3 * 86_400))
        }
        let later = try await Visitors(database: host.database).visitor(address, userAgent: Self.firefox, of: tenant.id, at: Date())
        #expect(later != again)
    }

    @Test("What declared crawlers report is kept apart and counted nowhere; a person's own script is counted")
    func bots() async throws {
        let host = try await TestHost.start(Analytics.self)
        _ = try await report(host, tenant.owner, agent: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
        _ = try await report(host, tenant.owner, agent: "python-requests/2.32")
        #expect(try await kept(host, tenant.id).map(\.isBot) == [true, false])
        let totals = try await host.client(tenant.owner).get("/api/v1/analytics/overview")["totals"]
        #expect(totals["events"] == 1)
        let bots = Query<Int>("SELECT bots AS n FROM activity_rollups WHERE unit = 'day' AND dimension = ''", column: "n")
        #expect(try await RollupFold.catchUp(host.database, as: .service(.analytics, for: tenant.id)))
        #expect(try await host.database.first(bots, as: .service(.analytics, for: tenant.id)) == 1)
    }

    @Test("A person who objects is unnamed at once and from then on, until they withdraw it")
    func objection() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.user)
        _ = try await report(host, tenant.user)
        _ = try await report(host, tenant.owner)
        #expect(try await client.get("/api/v1/analytics/objection")["objectedAt"] == .null)
        #expect(try await client.put("/api/v1/analytics/objection", [:])["objectedAt"].string != nil)
        _ = try await report(host, tenant.user)
        // Also when somebody else reports it.
        _ = try await host.client(tenant.owner).post(
            "/api/v1/analytics/events",
            [
                "eventName": "x", "userId": .string(tenant.user.id.description), "sessionId": "s1", "url": "https://example.org/a?name=ada",
                "referrer": "https://search.example/?q=ada", "eventProperties": ["email": "ada@example.org"],
            ])
        let rows = try await kept(host, tenant.id)
        #expect(rows.count == 4)
        #expect(rows.filter { $0.user == tenant.user.id }.isEmpty)
        for row in [rows[0], rows[2], rows[3]] {
            #expect(row.session == nil && row.visitor == nil && row.agent == nil && row.network == nil)
        }
        for row in [rows[0], rows[2], rows[3]] { #expect(row.url == "/a" && row.referrer == nil) }
        let written = Query<Int>("SELECT count(*) AS n FROM analytics_events WHERE event_properties IS NOT NULL", column: "n")
        #expect(try await host.database.first(written, as: .service(.analytics, for: tenant.id)) == 0)
        #expect(rows[1].user == tenant.owner.id && rows[1].session == "s1")
        #expect(try await client.delete("/api/v1/analytics/objection").status == 204)
        _ = try await report(host, tenant.user)
        #expect(try await kept(host, tenant.id).last?.user == tenant.user.id)
    }

    @Test("A person who left for good is taken out of all rows, which go on being counted")
    func erasure() async throws {
        let host = try await TestHost.start(Analytics.self)
        _ = try await report(host, tenant.user)
        _ = try await report(host, tenant.owner)
        try await host.publish(
            UserLoggedIn(userID: tenant.user.id, sessionID: .make(), address: nil, userAgent: nil), for: tenant.id)
        let caller = Caller.service(.analytics, for: tenant.id)
        let named = Query<Int>(
            """
            SELECT (SELECT count(*) FROM analytics_events WHERE user_id = \(tenant.user.id))
                + (SELECT count(*) FROM facts WHERE user_id = \(tenant.user.id) OR subject = \(tenant.user.id.description))
                + (SELECT count(*) FROM people WHERE user_id = \(tenant.user.id)) AS n
            """, column: "n")
        try await host.eventually("the sign-in is a fact, and the person is known") {
            _ = try await RollupFold.catchUp(host.database, as: caller)
            return try await host.database.first(named, as: caller) == 3
        }
        try await host.publish(UserDeleted(userID: tenant.user.id), for: tenant.id)
        // The event of the leaving names them too, as its subject, and is a fact of its own.
        try await host.eventually("nothing names them") {
            try await host.database.first(named, as: caller) == 0
        }
        let totals = try await host.client(tenant.owner).get("/api/v1/analytics/overview")["totals"]
        #expect(totals["events"] == 2)
        #expect(totals["signIns"] == 1)
    }

    @Test("Who left some time ago is taken out of all rows once it has been known here for a while, not at once")
    func settling() async throws {
        let host = try await TestHost.start(Analytics.self)
        let caller = Caller.service(.analytics, for: tenant.id), person = UserID.make(), before = Date()
        try await host.database.transaction(as: caller) {
            _ = try PersonStore(tx: $0).unname(person, .left, at: before.addingTimeInterval(-3_600))
        }
        let due = try await host.database.platform(PlatformWork("people to unname")) { tx in
            try tx.query(UpkeepStore.unnaming(waitingSince: before.addingTimeInterval(-Upkeep.settling), limit: 10_000))
        }
        #expect(!due.contains { $0.person == person })
        let since = Query<Date>("SELECT waiting_since FROM objections WHERE user_id = \(person)", column: "waiting_since")
        let waiting = try #require(try await host.database.first(since, as: caller))
        #expect(abs(waiting.timeIntervalSince(before)) < 30)
    }

    @Test("Who left and comes back is named again from then on, who objected is not; and many rows lose their name in several steps")
    func comingBack() async throws {
        let host = try await TestHost.start(Analytics.self)
        let caller = Caller.service(.analytics, for: tenant.id), person = tenant.user.id
        let client = try await host.client(tenant.user)
        let events = JSONValue.array((0..<900).map { _ in ["eventName": "x"] })
        for _ in 0..<3 { #expect(try await client.post("/api/v1/analytics/events", ["events": events])["accepted"] == 900) }
        let named = Query<Int>("SELECT count(*) AS n FROM analytics_events WHERE user_id = \(person)", column: "n")
        let left = Date()
        try await host.database.transaction(as: caller) { _ = try PersonStore(tx: $0).unname(person, .left, at: left) }
        #expect(try await host.database.first(named, as: caller) == 2_700 - PersonStore.rowsAtOnce)
        let upkeep = Upkeep.plain(host, try #require(Retention(Retention.standard)))
        try await upkeep.unname(waitingSince: Date().addingTimeInterval(1))
        #expect(try await host.database.first(named, as: caller) == 0)
        #expect(try await client.post("/api/v1/analytics/events", ["eventName": "gone"])["accepted"] == 1)
        #expect(try await host.database.first(named, as: caller) == 0)

        // An older word of their coming changes nothing.
        try await host.database.transaction(as: caller) { try PersonStore(tx: $0).welcome(person, at: left.addingTimeInterval(-60)) }
        _ = try await client.post("/api/v1/analytics/events", ["eventName": "gone"])
        #expect(try await host.database.first(named, as: caller) == 0)
        try await host.database.transaction(as: caller) { try PersonStore(tx: $0).welcome(person, at: Date()) }
        _ = try await client.post("/api/v1/analytics/events", ["eventName": "back"])
        try await upkeep.unname(waitingSince: Date().addingTimeInterval(1))
        #expect(try await host.database.first(named, as: caller) == 1)

        #expect(try await client.put("/api/v1/analytics/objection", [:]).status == 200)
        try await host.database.transaction(as: caller) { tx in
            _ = try PersonStore(tx: tx).unname(person, .left, at: Date())
            try PersonStore(tx: tx).welcome(person, at: Date().addingTimeInterval(60))
        }
        _ = try await client.post("/api/v1/analytics/events", ["eventName": "objected"])
        #expect(try await host.database.first(named, as: caller) == 0)
    }
}
