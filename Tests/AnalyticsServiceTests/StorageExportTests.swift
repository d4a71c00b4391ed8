import Contracts
import Foundation
import NIOHTTP1
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Export, and the stream of what is collected")
struct StorageExportTests {
    let tenant = TestTenant()

    private func fill(_ host: TestHost, _ count: Int) async throws -> [String] {
        let client = try await host.client(tenant.owner)
        var ids: [String] = []
        for start in stride(from: 0, to: count, by: 1_000) {
            let events = (start..<min(start + 1_000, count)).map { number -> JSONValue in
                let id = EventID.make().description
                ids.append(id)
                // Many at the same moment, so that pages end within one.
                let time = Date().addingTimeInterval(-Double(number / 700) * 60 - 60)
                return [
                    "eventName": .string("x,\"\(number)\""), "eventId": .string(id), "occurredAt": .string(Timestamp.text(time)),
                    "eventProperties": ["n": .integer(number)],
                ]
            }
            #expect(try await client.post("/api/v1/analytics/events", ["events": .array(events)]).status == 202)
        }
        return ids
    }

    @Test("Every raw row comes out once, in the order of time, as NDJSON and as CSV")
    func export() async throws {
        let host = try await TestHost.start(Analytics.self)
        let ids = try await fill(host, ExportStore.pageRows + 700)
        let client = try await host.client(tenant.admin)
        let from = Timestamp.text(Date().addingTimeInterval(-86_400))
        let ndjson = try await client.get("/api/v1/analytics/export?from=\(from)")
        #expect(ndjson.status == 200)
        let rows = try ndjson.text.split(separator: "\n").map { try JSON.decode(JSONValue.self, from: Data($0.utf8)) }
        #expect(rows.count == ids.count)
        #expect(Set(rows.compactMap { $0["eventId"].string }) == Set(ids))
        let times = rows.compactMap { $0["occurredAt"].string }
        #expect(times == times.sorted())
        #expect(rows.first?["eventProperties"]["n"].int != nil)

        let csv = try await client.get("/api/v1/analytics/export?from=\(from)&format=csv")
        let lines = csv.text.components(separatedBy: "\r\n")
        #expect(lines.first?.hasPrefix("eventId,occurredAt,receivedAt,eventName,") == true)
        #expect(lines.count == ids.count + 2)
        #expect(csv.text.contains("\"x,\"\"7\"\"\""))
        #expect(try await host.client(TestTenant().admin).get("/api/v1/analytics/export?from=\(from)").text.isEmpty)
        let announced = try await host.outbox(tenant.id)
        #expect(announced.contains { $0.type.hasSuffix("entry.recorded.v1") && $0.payload["action"] == "analytics.export" })
    }

    @Test("Only those who may export do, for at most a year, and bounds that make no sense are named")
    func limits() async throws {
        let host = try await TestHost.start(Analytics.self)
        let from = Timestamp.text(Date().addingTimeInterval(-86_400))
        #expect(try await host.client(tenant.viewer).get("/api/v1/analytics/export?from=\(from)").status == 403)
        let client = try await host.client(tenant.person(may: "analytics:export"))
        #expect(try await client.get("/api/v1/analytics/export").badFields == ["?from"])
        #expect(try await client.get("/api/v1/analytics/export?from=2020-01-01&to=2022-01-01").badFields == ["?from"])
        #expect(try await client.get("/api/v1/analytics/export?from=2022-01-01&to=2021-01-01").badFields == ["?from"])
        #expect(try await client.get("/api/v1/analytics/export?from=\(from)&format=parquet").badFields == ["?format"])
        for source in ["pageViews", "facts"] {
            let empty = try await client.get("/api/v1/analytics/export?from=\(from)&source=\(source)&format=csv")
            #expect(empty.status == 200)
            #expect(empty.text.components(separatedBy: "\r\n").count == 2)
        }
    }

    @Test("A few exports run at once, and a finished one makes room")
    func running() throws {
        let exports = RunningExports()
        let tenants = (0..<5).map { _ in TenantID.make() }
        var seats = [try exports.take(tenants[0]), try exports.take(tenants[0])]
        #expect(throws: ExportFailure.self) { try exports.take(tenants[0]) }
        for tenant in tenants[1...3] { for _ in 0..<2 { seats.append(try exports.take(tenant)) } }
        #expect(throws: ExportFailure.self) { try exports.take(tenants[4]) }
        seats.removeFirst()
        seats.append(try exports.take(tenants[4]))
        #expect(seats.count == 8)
    }

    @Test("HEAD, which has no body, takes no export's place away")
    func head() async throws {
        let host = try await TestHost.start(Analytics.self)
        let client = try await host.client(tenant.admin)
        let path = "/api/v1/analytics/export?from=\(Timestamp.text(Date().addingTimeInterval(-3_600)))"
        for _ in 0..<6 { #expect(try await client.send(.HEAD, path, bytes: nil).status == 200) }
        #expect(try await client.get(path).status == 200)
    }

    @Test("With the stream on, what was stored is announced in the same transaction, once, as it is kept")
    func stream() async throws {
        let host = try await TestHost.start(Analytics.self, environment: ["TRIONEX_ANALYTICS_STREAM": "true"])
        let client = try await host.client(tenant.owner)
        let id = EventID.make().description
        let body: JSONValue = ["events": [["eventName": "a", "eventId": .string(id)], ["eventName": "b", "sessionId": "s1"]]]
        #expect(try await client.post("/api/v1/analytics/events", body)["accepted"] == 2)
        #expect(try await client.post("/api/v1/analytics/events", body)["accepted"] == 1)
        #expect(try await client.post("/api/v1/analytics/page-views", ["url": "/x"], headers: ["dnt": "1"])["accepted"] == 1)
        let announced = try await host.outbox(tenant.id)
        let events = announced.filter { $0.type == EventCollected.type }
        #expect(events.count == 3)
        #expect(events.filter { $0.payload["eventID"].string == id || $0.payload["eventId"].string == id }.count == 1)
        let views = announced.filter { $0.type == PageViewed.type }
        #expect(views.count == 1)
        #expect(views.first?.payload["url"] == "/x")
        #expect(views.first.map { $0.payload["userID"] == .null && $0.payload["userId"] == .null } == true)
        try await host.stop()
    }
}
