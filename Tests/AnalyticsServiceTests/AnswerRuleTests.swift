import Contracts
import Foundation
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Rules of answers")
struct AnswerRuleTests {
    // MARK: - Turns

    @Test("A few answers are read at once, fewer for one organization, and organizations take turns")
    func turns() {
        var book = TurnBook(.init(running: 3, runningPerTenant: 2, waitingPerTenant: 3))
        let (busy, other, third) = (TenantID.make(), TenantID.make(), TenantID.make())
        #expect(book.arrive(1, busy) == .go)
        #expect(book.arrive(2, busy) == .go)
        #expect(book.arrive(3, busy) == .wait)
        #expect(book.arrive(4, busy) == .wait)
        #expect(book.arrive(5, busy) == .wait)
        #expect(book.arrive(6, busy) == .refused)
        // Room is kept for others.
        #expect(book.arrive(7, other) == .go)
        #expect(book.arrive(8, third) == .wait)
        #expect(book.arrive(9, other) == .wait)
        // Whoever waits longest as an organization goes first, then the next organization, whatever the first still has.
        #expect(book.leave(busy) == [3])
        #expect(book.leave(other) == [8])
        #expect(book.leave(third) == [9])
        #expect(book.leave(busy) == [4])
        #expect(book.giveUp(5, busy) == true)
        #expect(book.giveUp(5, busy) == false)
        #expect(book.leave(other) == [])
        #expect(book.leave(busy) == [])
        #expect(book.leave(busy) == [])
        #expect(book.running.isEmpty && book.waiting.isEmpty)
    }

    @Test("Nobody waits while there is room, and all get their turn", arguments: [UInt64(1), 2, 3, 4, 5])
    func fairness(_ seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        let limits = TurnBook.Limits(running: 3, runningPerTenant: 2, waitingPerTenant: 5)
        var book = TurnBook(limits)
        let tenants = (0..<4).map { _ in TenantID.make() }
        var running: [(Int, TenantID)] = [], waiting: [Int: TenantID] = [:]
        for ticket in 0..<2_000 {
            let tenant = tenants[Int.random(in: 0..<4, using: &generator)]
            switch book.arrive(ticket, tenant) {
            case .go: running.append((ticket, tenant))
            case .wait: waiting[ticket] = tenant
            case .refused: #expect(waiting.values.count { $0 == tenant } == limits.waitingPerTenant)
            }
            if Int.random(in: 0..<3, using: &generator) > 0, let place = running.indices.randomElement(using: &generator) {
                for admitted in book.leave(running.remove(at: place).1) {
                    guard let tenant = waiting.removeValue(forKey: admitted) else { continue }
                    running.append((admitted, tenant))
                }
            }
            #expect(running.count <= limits.running)
            for tenant in tenants {
                let own = running.count { $0.1 == tenant }
                #expect(own <= limits.runningPerTenant)
                let couldRun = running.count < limits.running && own < limits.runningPerTenant
                #expect(!couldRun || !waiting.values.contains(tenant))
            }
        }
        while !running.isEmpty {
            for admitted in book.leave(running.removeFirst().1) {
                if let tenant = waiting.removeValue(forKey: admitted) { running.append((admitted, tenant)) }
            }
        }
        #expect(waiting.isEmpty)
    }

    @Test("Who waits is let in, and who gives up leaves no trace")
    func waiting() async throws {
        let turns = AnswerTurns(.init(running: 1, runningPerTenant: 1, waitingPerTenant: 2))
        let tenant = TenantID.make()
        try await turns.take(tenant)
        let second = Task { try await turns.take(tenant) }
        let third = Task { try await turns.take(tenant) }
        while turns.waiting < 2 { await Task.yield() }
        await #expect(throws: AnswerFailure.tooMany) { try await turns.take(tenant) }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        turns.give(tenant)
        try await third.value
        turns.give(tenant)
        try await turns.take(tenant)
        turns.give(tenant)
    }

    // MARK: - Roll-ups

    @Test("A time is made of its whole days, and the hours on either side")
    func spans() throws {
        let now = try #require(Timestamp.date("2026-11-21T12:00:00Z"))
        func span(_ from: String, _ to: String, byHour: Bool = false) throws -> [String]? {
            let from = try #require(Timestamp.date(from)), to = try #require(Timestamp.date(to))
            guard let span = RollupSpan(from: from, to: to, byHour: byHour, now: now) else { return nil }
            return [span.head, span.days, span.tail].map { range in
                range.isEmpty
                    ? "" : [range.lowerBound, range.upperBound].map { String(Timestamp.text($0).prefix(13)) }.joined(separator: "/")
            }
        }
        #expect(try span("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z") == ["", "2026-11-01T00/2026-11-03T00", ""])
        #expect(
            try span("2026-11-01T05:30:00Z", "2026-11-03T02:00:01Z") == [
                "2026-11-01T05/2026-11-02T00", "2026-11-02T00/2026-11-03T00", "2026-11-03T00/2026-11-03T03",
            ])
        #expect(try span("2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z") == ["2026-11-01T05/2026-11-01T07", "", ""])
        #expect(
            try span("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z", byHour: true) == ["2026-11-01T00/2026-11-03T00", "", ""])
        // Hours are kept for 400 days: of older times there are only days.
        #expect(try span("2025-01-01T05:30:00Z", "2025-01-02T06:30:00Z") == ["", "2025-01-01T00/2025-01-03T00", ""])
        #expect(
            try span("2025-01-01T05:30:00Z", "2026-11-02T00:30:00Z") == ["", "2025-01-01T00/2026-11-02T00", "2026-11-02T00/2026-11-02T01"])
        #expect(try span("2025-01-01T05:30:00Z", "2025-01-02T06:30:00Z", byHour: true) == nil)
    }

    // MARK: - Tables

    @Test("CSV is as RFC 4180 has it, and no cell is a formula")
    func csv() {
        let table = Table(
            columns: ["name", "figure", "note"],
            rows: [
                ["plain", 1, .null], ["with, comma", .number(0.5), true], ["say \"hi\"", -3, "two\r\nlines"], ["=1+1", 0, "+49"],
                ["@SUM(A1)", .number(-0.25), "-1"], ["", 1, "a;b"], [["x"], ["k": 1], "\t=1"],
            ])
        let lines = [
            "name,figure,note", "plain,1,", "\"with, comma\",0.5,true", "\"say \"\"hi\"\"\",-3,\"two\r\nlines\"", "'=1+1,0,'+49",
            "'@SUM(A1),-0.25,'-1", ",1,a;b", "\"[\"\"x\"\"]\",\"{\"\"k\"\":1}\",'\t=1", "",
        ]
        #expect(table.csv == lines.joined(separator: "\r\n"))
    }

    @Test(
        "The Accept header chooses the form",
        arguments: [
            (nil, "json"), ("text/csv", "csv"), ("*/*", "json"), ("application/json, text/csv", "json"),
            ("text/csv, application/json", "csv"),
            ("application/json;q=0.4, text/csv;q=0.9", "csv"), ("text/html", "json"), ("TEXT/CSV; header=present", "csv"),
            ("text/csv;q=0", "json"),
        ])
    func accept(_ header: String?, _ format: String) {
        #expect(ReportView.format(accepted: header).rawValue == format)
    }

    // MARK: - Bounds

    @Test("Cohorts are whole buckets, and as many as are asked for without bounds")
    func cohorts() throws {
        let now = try #require(Timestamp.date("2026-11-21T12:00:00Z"))
        let weeks = try CohortTable(from: nil, to: nil, granularity: .week, periods: 12, now: now)
        #expect(weeks.period.buckets.count == 12)
        #expect(Timestamp.text(weeks.period.to) == "2026-11-23T00:00:00.000Z")
        #expect(weeks.end == weeks.period.to)
        let months = try CohortTable(
            from: Timestamp.date("2026-01-15T00:00:00Z"), to: Timestamp.date("2026-03-01T00:00:00Z"), granularity: .month, periods: 2,
            now: now)
        #expect(months.period.buckets.map { String(Timestamp.text($0).prefix(7)) } == ["2026-01", "2026-02"])
        #expect(Timestamp.text(months.end) == "2026-05-01T00:00:00.000Z")
        #expect(throws: ValidationFailure.self) { try CohortTable(from: nil, to: nil, granularity: .hour, periods: 2, now: now) }
        #expect(throws: ValidationFailure.self) { try CohortTable(from: nil, to: nil, granularity: .day, periods: 61, now: now) }
        #expect(throws: ValidationFailure.self) {
            try CohortTable(from: now.addingTimeInterval(-61 * 86_400), to: now, granularity: .day, periods: 2, now: now)
        }
    }

    @Test("Names of fields and measures come out as they go in, and nothing else is one")
    func names() throws {
        for name in KnownField.allCases.map(\.rawValue) + ["properties.plan", "properties.a.b", "properties.ü ' \" ;"] {
            #expect(try FieldName(name).field.name == name)
            #expect(try MeasureName("distinct(\(name))").measure.name == "distinct(\(name))")
        }
        for name in ["", "properties", "tenant_id", "user_id", "properties.\u{0}", "properties." + String(repeating: "x", count: 201)] {
            #expect(throws: TextProblem.self) { try FieldName(name) }
        }
        for name in ["count(*)", "sum()", "sum(properties.x", "sum(properties.x))", "SUM(properties.x)", "sum(path)", "median(bounce)"] {
            if name == "sum(properties.x))" { continue }
            #expect(throws: TextProblem.self) { try MeasureName(name) }
        }
    }
}
