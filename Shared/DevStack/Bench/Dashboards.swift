import Contracts
import DevStack
import Foundation

/// How long each answer of analytics takes for an organization with many events (`GeneratedEvents`).
struct DashboardFigures {
    let person: Newcomer
    /// Administrator's address of the database.
    let database: String
    let analytics: String
    /// Events and page views together: two thirds are events.
    let rows: Int
    let rounds: Int
    let row: (String, String) -> Void

    func measure() async throws {
        let client = GatewayClient(base: analytics).signedIn(person.token)
        let events = GeneratedEvents(database: database)
        let filled = try await events.write(0..<rows, tenant: "'\(person.tenant)'::uuid")
        row("rows written by the server, with all indexes", String(format: "%.0fk/s", Double(rows) / filled / 1000))
        let folded = try await events.waitForRollups(of: person.tenant.description)
        row("rows folded into roll-ups", String(format: "%.0fk/s", Double(rows) / folded / 1000))
        for question in Self.questions {
            let count = max(5, rounds)
            let times = try await question.times(count, at: client)
            let figure = times.map { "\(Spread.text($0.median)) / \(Spread.text($0.quantile(1)))" } ?? "refused: too expensive"
            row("\(question.name), p50 / slowest of \(count), \(rows / 1000)k rows", figure)
        }
    }

    struct Question: Sendable {
        let name: String
        let path: String
        var body: JSONValue?

        /// One after the other; nil when it is refused as too expensive.
        func times(_ count: Int, at client: GatewayClient) async throws -> Spread? {
            var isRefused = false
            let times = try await Spread.of(count) {
                guard !isRefused else { return }
                let answer = if let body { try await client.post(path, body) } else { try await client.get(path) }
                guard answer.status == 200 || answer.status == 422 else { throw StackFailure("\(path) answered \(answer.status)") }
                isRefused = answer.status == 422
            }
            return isRefused ? nil : times
        }
    }

    static let questions: [Question] = {
        let root = "/api/v1/analytics"
        return [
            Question(name: "overview, 30 days by day", path: "\(root)/overview"),
            Question(name: "overview, 90 days by hour", path: "\(root)/overview?granularity=hour\(since(80))"),
            Question(name: "overview, 90 days by week", path: "\(root)/overview?granularity=week\(since(GeneratedEvents.days))"),
            Question(name: "users, 30 days by day", path: "\(root)/users"),
            Question(name: "content, 30 days by day", path: "\(root)/content"),
            Question(name: "assistant, 30 days by day", path: "\(root)/ai-assistant"),
            Question(name: "key figures, 7 days", path: "\(root)/kpi?\(since(7).dropFirst())"),
            Question(name: "pages, 30 days", path: "\(root)/pages"),
            Question(name: "referrers, 90 days", path: "\(root)/referrers?\(since(GeneratedEvents.days).dropFirst())"),
            Question(name: "sessions, 1 day by hour", path: "\(root)/sessions?granularity=hour\(since(1))"),
            Question(name: "sessions, 7 days", path: "\(root)/sessions?granularity=day\(since(7))"),
            Question(name: "funnel of 3 steps, 7 days", path: "\(root)/funnels?steps=name.1,name.2,name.3\(since(7))"),
            Question(name: "funnel of 3 steps, 30 days", path: "\(root)/funnels?steps=name.1,name.2,name.3\(since(30))"),
            Question(name: "cohorts, 12 weeks", path: "\(root)/cohorts"),
            Question(
                name: "query: events by name, 30 days", path: "\(root)/query", body: ["measures": ["events"], "dimensions": ["eventName"]]),
            Question(
                name: "query: people by plan with a filter, 7 days", path: "\(root)/query",
                body: [
                    "measures": ["uniqueUsers", "sum(properties.amount)"], "dimensions": ["properties.plan"], "from": .string(day(7)),
                    "filters": [["field": "eventName", "op": "eq", "value": "name.1"]],
                ]),
            Question(
                name: "query: all measures by day, 7 days", path: "\(root)/query",
                body: ["measures": ["events", "pageViews", "uniqueUsers", "sessions"], "granularity": "day", "from": .string(day(7))]),
            Question(name: "report of features, 7 days", path: "\(root)/reports/features?granularity=day\(since(7))"),
        ]
    }()

    private static func day(_ ago: Int) -> String {
        String(Timestamp.text(Date().addingTimeInterval(-Double(ago) * 86_400)).prefix(10))
    }
    private static func since(_ ago: Int) -> String { "&from=\(day(ago))" }
}
