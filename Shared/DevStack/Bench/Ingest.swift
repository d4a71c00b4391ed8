import Contracts
import DevStack
import Foundation
import Logging
import Postgres

/// Events that analytics acknowledges in a second (committed, each under an id of its own, queued for the roll-ups), against bare
/// inserts of the same rows into the same table by `unnest`, and how long it takes until all of them are counted.
struct IngestFigures {
    let gateway: String
    let analytics: String
    /// As analytics' own role.
    let database: String
    let seconds: Int
    let row: (String, String) -> Void

    static let connections = 8
    static let batch = 1_000

    func measure() async throws {
        let person = try await Newcomer.register(at: gateway)
        let bare = try await bareInserts(person.tenant)
        row("bare `unnest` inserts of \(Self.batch) rows into `analytics_events`, 2 connections", "\(Self.thousands(bare)) events/s")
        for (what, base) in [("at the service", analytics), ("through the gateway", gateway)] {
            let figures = try await Wrk.run(
                "\(base)/api/v1/analytics/events", token: person.token, connections: Self.connections, seconds: seconds,
                script: Self.script(eventsInACall: Self.batch))
            let rate = figures.perSecond * Double(Self.batch)
            row(
                "events acknowledged \(what), \(Self.batch) a call, wrk -c\(Self.connections)",
                String(format: "%@ events/s, p50 %.0f ms, p95 %.0f ms", Self.thousands(rate), figures.median, figures.late))
            row("ratio to bare inserts", String(format: "%.2f", rate / bare))
        }
        let single = try await Wrk.run(
            "\(analytics)/api/v1/analytics/events", token: person.token, connections: 64, seconds: seconds,
            script: Self.script(eventsInACall: 1))
        row(
            "calls with one event acknowledged at the service, wrk -c64",
            String(format: "%@/s, p50 %.1f ms, p95 %.1f ms", Self.thousands(single.perSecond), single.median, single.late))
        try await counting(person)
    }

    /// Until the queue of the roll-ups is empty, and how much that was a second.
    private func counting(_ person: Newcomer) async throws {
        let own = Database(DatabaseConfiguration(url: database), service: .analytics, logger: Logger(label: "bench"))
        let caller = Caller.service(.analytics, for: person.tenant)
        let waiting = Query<Int>("SELECT coalesce(sum(cardinality(ids)), 0)::bigint AS n FROM rollup_queue", column: "n")
        let backlog = try await own.first(waiting, as: caller, slow: true) ?? 0
        let start = ContinuousClock.now
        while try await own.first(waiting, as: caller, slow: true) ?? 0 > 0 { try await Task.sleep(for: .milliseconds(20)) }
        let elapsed = start.duration(to: .now) / .seconds(1)
        row(
            "backlog of \(backlog) events folded into the roll-ups",
            backlog == 0 ? "none" : String(format: "%.1f s, %@ events/s", elapsed, Self.thousands(Double(backlog) / elapsed)))
        var times: [Double] = []
        for _ in 0..<20 {
            let begin = ContinuousClock.now
            let answer = try await person.client.post("/api/v1/analytics/events", ["eventName": "fresh"])
            guard answer.status == 202 else { throw StackFailure("reporting answered \(answer.status)") }
            while try await own.first(waiting, as: caller) ?? 0 > 0 { try await Task.sleep(for: .milliseconds(5)) }
            times.append((ContinuousClock.now - begin) / .milliseconds(1))
        }
        times.sort()
        await own.shutdown()
        row("reported to counted by the worker, p50 / p95 of 20", String(format: "%.0f ms / %.0f ms", times[10], times[18]))
    }

    /// The same columns and values, without looking for repetitions, without a queue, without HTTP and JSON.
    private func bareInserts(_ tenant: TenantID) async throws -> Double {
        let own = Database(DatabaseConfiguration(url: database), service: .analytics, logger: Logger(label: "bench"))
        let caller = Caller.service(.analytics, for: tenant)
        let end = ContinuousClock.now + .seconds(seconds)
        let start = ContinuousClock.now
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    var count = 0
                    while ContinuousClock.now < end {
                        count += try await own.execute(Self.bareInsert(tenant), as: caller, slow: true)
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        let rate = Double(total) / (start.duration(to: .now) / .seconds(1))
        await own.shutdown()
        return rate
    }

    private static func bareInsert(_ tenant: TenantID) -> SQL {
        let now = Date()
        let ids = (0..<batch).map { _ in UUID() }
        let sessions = (0..<batch).map { "s\($0 % 50)" }
        let properties = (0..<batch).map { JSONB<[String: JSONValue]>(["position": .integer($0), "plan": "pro"]) }
        return """
            INSERT INTO analytics_events (tenant_id, occurred_at, id, session_id, event_name, event_category, event_properties, url, path,
                user_agent, received_at)
            SELECT \(tenant), \(now), id, session_id, 'item.viewed', 'shop', properties, 'https://shop.example/items/17', '/items/17',
                'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', \(now)
            FROM unnest(\(ids), \(sessions), \(properties)) AS batch (id, session_id, properties)
            """
    }

    /// Each event has a random id; the calls of one run never repeat one.
    static func script(eventsInACall count: Int) -> String {
        """
        wrk.method = "POST"
        wrk.headers["Content-Type"] = "application/json"
        wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
        math.randomseed(os.time())
        local parts = {}
        for i = 1, \(count) do
          parts[i] = string.format('","eventName":"item.viewed","eventCategory":"shop","sessionId":"s%d","url":"https://shop.example/items/17","eventProperties":{"position":%d,"plan":"pro"}}', i % 50, i)
        end
        request = function()
          local events = {}
          local high = string.format('{"eventId":"%08x-%04x-4%03x-8%03x-%08x', math.random(0, 0x7fffffff), math.random(0, 0xffff), math.random(0, 0xfff), math.random(0, 0xfff), math.random(0, 0x7fffffff))
          for i = 1, \(count) do events[i] = high .. string.format('%04x', i) .. parts[i] end
          return wrk.format(nil, nil, nil, '{"events":[' .. table.concat(events, ',') .. ']}')
        end
        """
    }

    private static func thousands(_ value: Double) -> String { String(format: "%.1fk", value / 1000) }
}
