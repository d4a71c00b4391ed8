import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Questions of one's own")
struct QueryTests {
    /// Each held against the plain computation, for the whole time and for an odd part of it.
    static let questions: [JSONValue] = [
        ["measures": ["events", "pageViews", "uniqueUsers", "sessions"]],
        ["measures": ["events"], "dimensions": ["eventName"]],
        ["measures": ["pageViews"], "dimensions": ["path", "referrerHost"]],
        ["measures": ["uniqueUsers", "events"], "dimensions": ["kind"], "granularity": "day"],
        ["measures": ["sessions"], "granularity": "week"],
        ["measures": ["events", "uniqueUsers"], "granularity": "month", "dimensions": ["eventCategory"]],
        ["measures": ["events"], "granularity": "hour", "filters": [["field": "eventName", "op": "eq", "value": "order.completed"]]],
        ["measures": ["events"], "dimensions": ["properties.plan"]],
        ["measures": ["events"], "dimensions": ["properties.order.total"]],
        ["measures": ["events"], "dimensions": ["properties.order"]],
        [
            "measures": [
                "sum(properties.amount)", "average(properties.amount)", "minimum(properties.score)", "maximum(properties.score)",
                "median(properties.score)", "p95(properties.amount)", "distinct(properties.plan)", "distinct(eventName)",
            ], "dimensions": ["eventName"],
        ],
        ["measures": ["average(durationSeconds)", "median(durationSeconds)", "pageViews"], "dimensions": ["path"]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "eq", "value": "pro"]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "eq", "value": 5]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "eq", "value": "5"]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "eq", "value": true]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "ne", "value": "pro"]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "in", "value": ["pro", 5, true]]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "notIn", "value": ["pro", .number(5.0)]]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "exists", "value": false]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "exists", "value": true]]],
        ["measures": ["events"], "filters": [["field": "properties.plan", "op": "gte", "value": "f"]]],
        ["measures": ["events"], "filters": [["field": "properties.amount", "op": "gt", "value": 25_000]]],
        ["measures": ["events"], "filters": [["field": "properties.score", "op": "lte", "value": .number(-0.5)]]],
        ["measures": ["events"], "filters": [["field": "properties.order.total", "op": "lt", "value": 4]]],
        ["measures": ["events"], "filters": [["field": "eventName", "op": "contains", "value": "up."]]],
        ["measures": ["events"], "filters": [["field": "eventName", "op": "startsWith", "value": "order"]]],
        ["measures": ["events"], "filters": [["field": "eventName", "op": "eq", "value": "Ünïcode; DROP TABLE x--"]]],
        ["measures": ["events"], "dimensions": ["eventCategory"], "filters": [["field": "eventCategory", "op": "eq", "value": "a'b\"c"]]],
        ["measures": ["pageViews"], "filters": [["field": "durationSeconds", "op": "gte", "value": 300]]],
        ["measures": ["pageViews"], "filters": [["field": "bounce", "op": "eq", "value": true]]],
        ["measures": ["pageViews", "events"], "filters": [["field": "kind", "op": "ne", "value": "event"]]],
        ["measures": ["uniqueUsers"], "filters": [["field": "path", "op": "in", "value": ["/docs", "/pricing", "/"]]]],
        [
            "measures": ["events", "uniqueUsers"], "dimensions": ["eventName", "properties.plan"],
            "filters": [
                ["field": "eventCategory", "op": "notIn", "value": ["sales"]], ["field": "userId", "op": "exists", "value": true],
                ["field": "properties.score", "op": "gt", "value": 0],
            ],
        ],
        ["measures": ["events"], "filters": [["field": "eventName", "op": "eq", "value": "no such event"]]],
        ["measures": ["events"], "dimensions": ["eventName"], "filters": [["field": "eventName", "op": "eq", "value": "no such event"]]],
        ["measures": ["events"], "filters": [["field": "bounce", "op": "eq", "value": true]]],
    ]

    @Test("Answers agree with counting one by one", arguments: questions)
    func agrees(_ question: JSONValue) async throws {
        let host = try await TestHost.start(Analytics.self)
        let town = try await Town.shared
        let patient = PatientClient(client: try await host.client(town.tenant.viewer))
        let reference = Reference(rows: town.rows)
        for (from, to) in [(town.from, town.to), (town.from.addingTimeInterval(40 * 3_600 + 17.25), town.to.addingTimeInterval(-5_000.5))] {
            guard case .object(var body) = question else { return }
            body["from"] = .string(Timestamp.text(from))
            body["to"] = .string(Timestamp.text(to))
            body["limit"] = 10_000
            let response = try await patient.post("/api/v1/analytics/query", .object(body))
            #expect(response.status == 200, "\(response.text.prefix(400))")
            let expected = reference.answer(question, from, to)
            let rows = response["rows"].array.map(\.array)
            #expect(
                sameRows(rows, expected),
                "\(rows.count) rows \(rows.prefix(5)) instead of \(expected.count) \(expected.prefix(5)), of \(question)")
            let columns = (question["granularity"] == .null ? [] : ["start"]) + question["dimensions"].array + question["measures"].array
            #expect(response["columns"].array == columns)
            #expect(response["truncated"] == false)
        }
    }

    @Test("Rows come in the order that was asked for, equal ones by their other columns, and are cut where the limit says")
    func order() async throws {
        let host = try await TestHost.start(Analytics.self)
        let town = try await Town.shared
        let patient = PatientClient(client: try await host.client(town.tenant.viewer))
        let period: [String: JSONValue] = ["from": .string(Timestamp.text(town.from)), "to": .string(Timestamp.text(town.to))]
        func ask(_ body: [String: JSONValue]) async throws -> TestResponse {
            try await patient.post("/api/v1/analytics/query", .object(body.merging(period) { own, _ in own }))
        }
        let byEvents = try await ask(["measures": ["events"], "dimensions": ["eventName"]])
        let counts = byEvents["rows"].array.compactMap { $0[1].int }
        #expect(counts.count == 6 && counts == counts.sorted(by: >))
        let byName = try await ask(["measures": ["events"], "dimensions": ["eventName"], "sort": ["-eventName"], "limit": 2])
        #expect(byName["rows"].array.map { $0[0] } == ["Ünïcode; DROP TABLE x--", "signup.started"])
        #expect(byName["truncated"] == true)
        let byDay = try await ask(["measures": ["events"], "granularity": "day"])
        let days = byDay["rows"].array.compactMap { $0[0].string }
        #expect(days.count > 20 && days == days.sorted())
        let exact = try await ask(["measures": ["events"], "dimensions": ["eventName"], "limit": 6])
        #expect(exact["truncated"] == false)
    }

    @Test(
        "What is not in the language is refused, and every bad field is named",
        arguments: [
            (["measures": []], ["/measures"]),
            (["dimensions": ["eventName"]], ["/measures"]),
            (["measures": ["count(*)"]], ["/measures/0"]),
            (["measures": ["events; DROP TABLE analytics_events"]], ["/measures/0"]),
            (["measures": ["sum(user_id)"]], ["/measures/0"]),
            (["measures": ["sum(eventName)"]], ["/measures/0"]),
            (["measures": ["events", "events"]], ["/measures"]),
            (["measures": ["events"], "dimensions": ["tenant_id"]], ["/dimensions/0"]),
            (["measures": ["events"], "dimensions": ["event_name"]], ["/dimensions/0"]),
            (["measures": ["events"], "dimensions": ["properties."]], ["/dimensions/0"]),
            (["measures": ["events"], "dimensions": ["properties.a.b.c.d.e.f"]], ["/dimensions/0"]),
            (["measures": ["events"], "dimensions": ["durationSeconds"]], ["/dimensions/0"]),
            (["measures": ["events"], "dimensions": ["kind", "path", "browser", "os", "country"]], ["/dimensions"]),
            (["measures": ["events"], "filters": [["field": "1=1 OR path", "op": "eq", "value": "x"]]], ["/filters/0/field"]),
            (["measures": ["events"], "filters": [["field": "path", "op": "= 'x' OR 1", "value": "x"]]], ["/filters/0/op"]),
            (["measures": ["events"], "filters": [["field": "path", "op": "eq"]]], ["/filters/0/value"]),
            (["measures": ["events"], "filters": [["field": "path", "op": "eq", "value": 1]]], ["/filters/0/value"]),
            (["measures": ["events"], "filters": [["field": "path", "op": "in", "value": "x"]]], ["/filters/0/value"]),
            (["measures": ["events"], "filters": [["field": "userId", "op": "eq", "value": "x' OR '1'='1"]]], ["/filters/0/value"]),
            (["measures": ["events"], "filters": [["field": "userId", "op": "gt", "value": "x"]]], ["/filters/0/value"]),
            (["measures": ["events"], "filters": [["field": "properties.a", "op": "eq", "value": ["x": 1]]]], ["/filters/0/value"]),
            (
                [
                    "measures": ["events"],
                    "filters": [["field": "path", "op": "eq", "value": 1], ["field": "bounce", "op": "eq", "value": 1]],
                ],
                ["/filters/0/value", "/filters/1/value"]
            ),
            (["measures": ["events"], "sort": ["-tenant_id"]], ["/sort/0"]),
            (["measures": ["events"], "sort": ["events", "-events"]], ["/sort/1"]),
            (["measures": ["events"], "limit": 10_001], ["/limit"]), (["measures": ["events"], "limit": 0], ["/limit"]),
            (["measures": ["events"], "from": "2026-02-01", "to": "2026-01-01"], ["/from", "/to"]),
            (["measures": ["events"], "granularity": "second"], ["/granularity"]),
            (["measures": ["events"], "granularity": "hour", "from": "2020-01-01", "to": "2026-01-01"], ["/granularity"]),
            (["measures": ["events"], "sql": "SELECT 1"], ["/sql"]),
        ] as [(JSONValue, [String])])
    func refused(_ body: JSONValue, _ fields: [String]) async throws {
        let host = try await TestHost.start(Analytics.self)
        let response = try await host.client(TestTenant().viewer).post("/api/v1/analytics/query", body)
        #expect(response.status == 400, "\(response.text)")
        #expect(response.badFields == fields, "\(response.text)")
    }

    /// Whatever stands in a value, a property's name or a list is compared, and never run.
    @Test(
        "Text that would be SQL is text",
        arguments: [
            "x' OR '1'='1", "'; DROP TABLE analytics_events; --", "\\'; SELECT pg_sleep(10); --", "$1", "$$", "%", "_", "\"", "'a' || 'b'",
            "{a,b}", "{\"a\"}", "}", "\u{202E}", "'::text; SET app.tenant_id = ''", "NULL", "null", "\\000", "(?i).*", "$.**",
        ])
    func injection(_ text: String) async throws {
        let host = try await TestHost.start(Analytics.self)
        let tenant = TestTenant()
        let patient = PatientClient(client: try await host.client(tenant.owner))
        let (said, other) = (UUID().uuidString, UUID().uuidString)
        let event: JSONValue = [
            "eventName": .string(text), "eventId": .string(said.lowercased()), "eventProperties": .object([text: .string(text)]),
        ]
        let plain: JSONValue = ["eventName": "plain", "eventId": .string(other.lowercased())]
        #expect(try await patient.post("/api/v1/analytics/events", ["events": [event, plain]]).status == 202)
        func count(_ field: String, _ op: String, _ value: JSONValue) async throws -> JSONValue {
            let response = try await patient.post(
                "/api/v1/analytics/query",
                ["measures": ["events"], "filters": [["field": .string(field), "op": .string(op), "value": value]]])
            #expect(response.status == 200, "\(response.text)")
            return response["rows"][0][0]
        }
        #expect(try await count("eventName", "eq", .string(text)) == 1)
        #expect(try await count("eventName", "notIn", [.string(text)]) == 1)
        #expect(try await count("eventName", "contains", .string(text)) == 1)
        #expect(try await count("eventName", "startsWith", .string(text)) == 1)
        #expect(try await count("eventName", "gte", .string(text)) == (text.utf8.lexicographicallyPrecedes("plain".utf8) ? 2 : 1))
        if !text.contains(".") {
            #expect(try await count("properties.\(text)", "eq", .string(text)) == 1)
            #expect(try await count("properties.\(text)", "startsWith", .string(text)) == 1)
            let groups = try await patient.post(
                "/api/v1/analytics/query", ["measures": ["events"], "dimensions": [.string("properties.\(text)")], "sort": ["-events"]])
            #expect(Set(groups["rows"].array) == [[.string(text), 1], [.null, 1]])
        }
        let stranger = try await host.client(TestTenant().viewer).post("/api/v1/analytics/query", ["measures": ["events"]])
        #expect(stranger["rows"] == [[0]])
    }

    @Test("Numbers that are larger than any sum of them could be are none, and spoil no question")
    func largeNumbers() async throws {
        let host = try await TestHost.start(Analytics.self)
        let patient = PatientClient(client: try await host.client(TestTenant().owner))
        func send(_ totals: [JSONValue]) async throws {
            let events = totals.map { total -> JSONValue in ["eventName": "x", "eventProperties": ["total": total]] }
            #expect(try await patient.post("/api/v1/analytics/events", ["events": .array(events)])["accepted"].int == totals.count)
        }
        let question: JSONValue = [
            "measures": [
                "sum(properties.total)", "maximum(properties.total)", "minimum(properties.total)", "median(properties.total)", "events",
            ]
        ]
        try await send([.number(1.7e308), .number(1.7e308), .number(-1.7e308), 5, 7])
        let small = try await patient.post("/api/v1/analytics/query", question)
        #expect(small.status == 200, "\(small.text)")
        #expect(small["rows"] == [[12, 7, 5, 6, 5]])
        try await send([.number(1e100), .number(1e100)])
        let large = try await patient.post("/api/v1/analytics/query", question)
        #expect(large["rows"][0][0].double == 2e100)
        #expect(large["rows"][0][1].double == 1e100)
    }

    @Test("A question that takes too long is ended, and says what to do")
    func timeout() async throws {
        let host = try await TestHost.start(Analytics.self)
        let answers = Answers(folds: Folds(database: host.database, bound: .standard), patience: .milliseconds(50))
        let caller = TestTenant().viewer.caller
        await #expect(throws: AnswerFailure.tooExpensive) {
            try await answers.read(as: caller) { tx, _ in _ = try tx.first("SELECT pg_sleep(5)") }
        }
        #expect(AnswerFailure.tooExpensive.kind == .unprocessable)
        // The connection is as good as before, and its next statement has the usual time.
        _ = try await answers.database.transaction(as: caller) { tx in try tx.first("SELECT pg_sleep(0.1)") == nil }
    }
}
