import Contracts
import Foundation
import TestKit

@testable import AnalyticsService

/// One event or page view, as a customer has it.
struct RawRow: Sendable {
    var isView = false
    var id = UUID()
    var user: String?
    var session: String?
    var name: String?
    var category: String?
    var properties: [String: JSONValue] = [:]
    var url: String?
    var referrer: String?
    var time = Date()
    var duration: Int?
    var bounce = false
    var isBot = false
    /// Sent with `DNT: 1`, and so kept without a name. All others without a person are those of whoever sent them.
    var isUnnamed = false

    /// The path of the url, by hand.
    var path: String? {
        guard let url else { return nil }
        var rest = url[...]
        if let scheme = rest.range(of: "://") {
            rest = rest[scheme.upperBound...]
            rest = rest.firstIndex(of: "/").map { rest[$0...] } ?? "/"
        }
        let path = rest.prefix { $0 != "?" && $0 != "#" }
        return path.isEmpty ? "/" : String(path)
    }

    var referrerHost: String? {
        guard let referrer, let scheme = referrer.range(of: "://") else { return nil }
        return referrer[scheme.upperBound...].prefix { $0 != "/" && $0 != ":" && $0 != "?" }.lowercased()
    }

    var body: JSONValue {
        var body: [String: JSONValue] = ["eventId": .string(id.uuidString.lowercased()), "occurredAt": .string(Timestamp.text(time))]
        body["userId"] = user.map(JSONValue.string)
        body["sessionId"] = session.map(JSONValue.string)
        body["url"] = url.map(JSONValue.string)
        body["referrer"] = referrer.map(JSONValue.string)
        if isView {
            body["durationSeconds"] = duration.map(JSONValue.integer)
            body["bounce"] = .bool(bounce)
        } else {
            body["eventName"] = name.map(JSONValue.string)
            body["eventCategory"] = category.map(JSONValue.string)
            body["eventProperties"] = .object(properties)
        }
        return .object(body)
    }
}

/// Two organizations with a few thousand events, reported late, twice and out of order, at the edges of hours, days and months.
/// Generated from a seed, so that a failure comes again; about the last three months, because older rows are not kept by every plan.
struct Town: Sendable {
    let tenant = TestTenant()
    let rows: [RawRow]
    /// The first of the month before last.
    let from: Date
    let to: Date

    /// Loaded once for all tests of the process.
    private static let loading = Task { try await load() }
    static var shared: Town { get async throws { try await loading.value } }

    private static func load() async throws -> Town {
        let host = try await TestHost.start(Analytics.self)
        let town = Town(seed: 20_261_121)
        try await town.report(to: host)
        // The neighbour reports other things under the same ids.
        let neighbour = TestTenant()
        let client = try await host.client(neighbour.owner)
        let theirs = town.rows.prefix(500).map { row -> RawRow in
            var row = row
            row.isView = false
            row.name = "neighbour.did"
            return row
        }
        _ = try await client.post("/api/v1/analytics/events", ["events": .array(theirs.map(\.body))])
        // Figures from roll-ups are held against the rows, so nothing may wait to be folded.
        while try await !RollupFold.catchUp(host.database, as: town.tenant.owner.caller) {}
        return town
    }

    init(seed: UInt64, count: Int = 2_000) {
        var generator = SeededGenerator(state: seed)
        let thisMonth = BucketCalendar.start(of: Date(), .month)
        let lastMonth = BucketCalendar.start(of: thisMonth.addingTimeInterval(-1), .month)
        from = BucketCalendar.start(of: lastMonth.addingTimeInterval(-1), .month)
        to = thisMonth
        let (from, length) = (from, to.timeIntervalSince(from))
        let sender = tenant.owner.id.description
        let people = (0..<45).map { _ in Self.uuid(&generator) }
        // A day around the period belongs to nobody's answer.
        rows = (0..<count).map { number in
            var row = RawRow()
            row.id = UUID(uuidString: Self.uuid(&generator)) ?? UUID()
            let person = Int.random(in: 0..<55, using: &generator)
            row.user = person < 45 ? people[person] : nil
            let at = Double.random(in: -86_400...(length + 86_400), using: &generator)
            row.time = Self.edged(from.addingTimeInterval((at * 1000).rounded() / 1000), &generator)
            // Visits keep together: the same key within six hours, and none for a fifth of the rows.
            if Int.random(in: 0..<5, using: &generator) > 0 {
                row.session = "v\(person)-\(Int(row.time.timeIntervalSince1970 / 21_600))"
            }
            row.isBot = number % 37 == 0
            if Int.random(in: 0..<3, using: &generator) == 0 { Self.view(&row, &generator) } else { Self.event(&row, &generator) }
            row.isUnnamed = row.user == nil && row.session == nil && row.url == nil
            if !row.isUnnamed, row.user == nil { row.user = sender }
            return row
        }
    }

    private static func view(_ row: inout RawRow, _ generator: inout SeededGenerator) {
        row.isView = true
        row.url = ["https://shop.example/", "https://shop.example/pricing?a=1#top", "/docs", "https://shop.example/docs/a,b", "/checkout"]
            .randomElement(using: &generator)
        row.referrer =
            [nil, "https://news.example/item?id=1", "https://Search.Example:443/?q=loom", "https://shop.example/"]
            .randomElement(using: &generator) ?? nil
        row.duration = Int.random(in: 0..<4, using: &generator) == 0 ? nil : Int.random(in: 0...600, using: &generator)
        row.bounce = Int.random(in: 0..<6, using: &generator) == 0
    }

    private static func event(_ row: inout RawRow, _ generator: inout SeededGenerator) {
        row.name = ["signup.started", "signup.completed", "report.opened", "order.completed", "order.refunded", "Ünïcode; DROP TABLE x--"]
            .randomElement(using: &generator)
        row.category = [nil, "growth", "sales", "a'b\"c"].randomElement(using: &generator) ?? nil
        row.url = Int.random(in: 0..<3, using: &generator) == 0 ? "/app/\(Int.random(in: 0..<3, using: &generator))" : nil
        if let plan: JSONValue = ["free", "pro", "enterprise", 5, true, .null].randomElement(using: &generator) {
            row.properties["plan"] = plan
        }
        if Int.random(in: 0..<4, using: &generator) > 0 {
            row.properties["amount"] =
                Int.random(in: 0..<8, using: &generator) == 0 ? "much" : .integer(Int.random(in: 0...50_000, using: &generator))
            row.properties["currency"] = .string(["EUR", "usd", "EUR", "Euro"].randomElement(using: &generator) ?? "EUR")
        }
        row.properties["score"] = .number((Double.random(in: -5...5, using: &generator) * 100).rounded() / 100)
        row.properties["order"] = .object(["total": .integer(Int.random(in: 0..<9, using: &generator)), "tags": ["x"]])
        if Int.random(in: 0..<3, using: &generator) == 0 { row.properties["order.total"] = .integer(-1) }
    }

    /// Now and then just at, or a millisecond before, the beginning of an hour, a day, a month.
    private static func edged(_ time: Date, _ generator: inout SeededGenerator) -> Date {
        let unit: Granularity
        switch Int.random(in: 0..<40, using: &generator) {
        case 0, 1: unit = .hour
        case 2, 3: unit = .day
        case 4: unit = .month
        case 5: unit = .week
        default: return time
        }
        let edge = BucketCalendar.start(of: time, unit)
        return Bool.random(using: &generator) ? edge : edge.addingTimeInterval(-0.001)
    }

    private static func uuid(_ generator: inout SeededGenerator) -> String {
        let (a, b) = (generator.next(), generator.next())
        let hex = String(repeating: "0", count: 16)
        func padded(_ value: UInt64) -> String { String((hex + String(value, radix: 16)).suffix(16)) }
        var text = Array(padded(a) + padded(b))
        text[12] = "7"
        text[16] = "8"
        for place in [20, 16, 12, 8] { text.insert("-", at: place) }
        return String(text)
    }

    /// Sends everything in no order, some of it twice.
    func report(to host: TestHost) async throws {
        var generator = SeededGenerator(state: 99)
        let client = try await host.client(tenant.owner)
        let bots = ["user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"]
        let people = ["user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"]
        let kinds = Dictionary(grouping: rows) { [$0.isBot, $0.isView, $0.isUnnamed] }
        for (kind, rows) in kinds {
            var batch = rows + rows.prefix(60)
            batch.shuffle(using: &generator)
            var headers = kind[0] ? bots : people
            if kind[2] { headers["dnt"] = "1" }
            for start in stride(from: 0, to: batch.count, by: 1_000) {
                let part = JSONValue.array(batch[start..<min(start + 1_000, batch.count)].map(\.body))
                let response = try await client.post(
                    kind[1] ? "/api/v1/analytics/page-views" : "/api/v1/analytics/events", [kind[1] ? "pageViews" : "events": part],
                    headers: headers)
                guard response.status == 202 else { throw NotTaken(answer: response.text) }
            }
        }
    }

    /// Asks again when too many of the tests ask at once: an organization has its turns.
    static func patiently(_ ask: () async throws -> TestResponse) async throws -> TestResponse {
        while true {
            let response = try await ask()
            guard response.problem == AnswerFailure.tooMany.code else { return response }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    struct NotTaken: Error { let answer: String }
}

/// A client that waits for its turn.
struct PatientClient {
    let client: TestClient

    func get(_ path: String, headers: [String: String] = [:]) async throws -> TestResponse {
        try await Town.patiently { try await client.get(path, headers: headers) }
    }

    func post(_ path: String, _ body: JSONValue) async throws -> TestResponse {
        try await Town.patiently { try await client.post(path, body) }
    }
}
