import Contracts
import DevStack
import Foundation

/// How search, the questions to analytics and ingestion become slower with the rows of one organization, and with the number of
/// organizations: on programs and servers of their own, which leave nothing behind.
struct GrowthFigures {
    /// Events and page views that one organization has in the end.
    let largest: Int
    /// Documents that it has in the end.
    let documents: Int
    /// Organizations that there are in the end.
    let organizations: Int
    let book: FigureBook

    static let smallest = 10_000
    /// What each of the other organizations has.
    static let eventsEach = 200
    static let documentsEach = 20
    /// Where the numbers of the other organizations' rows begin.
    private static let firstNumber = 1_000_000_000
    private static let searches = 200
    private static let questionRuns = 10
    private static let ingestSeconds = 2
    /// Of so many organizations' people calls come at most.
    private static let mostVisitors = 100
    /// Questions whose curves are drawn; the table has all.
    private static let drawn = [
        "overview, 30 days by day", "users, 30 days", "pages, 30 days", "sessions, 7 days", "funnel of 3 steps, 30 days",
        "cohorts, 12 weeks", "query: events by name", "query: people by plan",
    ]

    static var explanation: String {
        """
        With programs (gateway, auth, users, analytics, search) and servers of their own, at the services, one question after the other.
        *Rows*: one organization's documents grow tenfold, and so do its events and page views together. *Organizations*: one has
        \(smallest / 1_000),000 documents and as many events, and others join, each with \(documentsEach) documents and \(eventsEach) events; the first one is asked.
        A search has two words of middling frequency; \(searches) different ones are asked. Questions are asked \(questionRuns) times, after two that warm them up.
        Ingestion: wrk, 8 connections, 1,000 events a call, \(ingestSeconds) s; in the second series the calls come from all organizations in turn, \(mostVisitors) at most.
        Rows are written by the server (`generate_series`) and derived by the services' own functions and workers; what ingestion adds is removed again.
        """
    }

    func measure() async throws {
        try await ScratchPlatform.with([.gateway, .auth, .users, .analytics, .search]) { platform in
            try await growRows(platform)
            try await growOrganizations(platform)
        }
    }

    private func growRows(_ platform: ScratchPlatform) async throws {
        let stage = try await GrowthStage(platform)
        let tenant = "'\(stage.person.tenant)'::uuid"
        let (mostEvents, mostDocuments) = (max(largest, Self.smallest), max(documents, Self.smallest))
        var series = GrowthSeries(name: "rows", unit: "rows", book: book)
        var known = 0
        for size in sequence(first: Self.smallest, next: { $0 * 10 }).prefix(while: { $0 <= max(mostEvents, mostDocuments) }) {
            FigureBook.say("one organization with \(size) rows")
            var step = GrowthStep()
            if size <= mostDocuments {
                try await stage.fillDocuments(known..<size, tenant: tenant)
                try await ask(stage, &step)
            }
            if size <= mostEvents {
                try await stage.fillEvents(known..<size, tenant: tenant)
                try await question(stage, [stage.visitor], &step)
            }
            known = size
            series.add(size, step)
        }
        series.finish(drawn: Self.drawn)
    }

    private func growOrganizations(_ platform: ScratchPlatform) async throws {
        let stage = try await GrowthStage(platform)
        let tenant = "'\(stage.person.tenant)'::uuid"
        try await stage.fillDocuments(0..<Self.smallest, tenant: tenant)
        try await stage.fillEvents(0..<Self.smallest, tenant: tenant)
        var series = GrowthSeries(name: "organizations", unit: "organizations", book: book)
        var others = 0
        for size in sequence(first: 1, next: { $0 * 10 }).prefix(while: { $0 <= max(organizations, 1) }) {
            FigureBook.say("\(size) organizations")
            if size > 1 {
                let (documents, events) = (Joining(others..<size - 1, Self.documentsEach), Joining(others..<size - 1, Self.eventsEach))
                try await stage.fillDocuments(documents.numbers, tenant: documents.tenant)
                try await stage.fillEvents(events.numbers, tenant: events.tenant)
                others = size - 1
            }
            var step = GrowthStep()
            try await ask(stage, &step)
            try await question(stage, try await stage.visitors(min(size, Self.mostVisitors)), &step)
            series.add(size, step)
        }
        series.finish(drawn: Self.drawn)
    }

    /// Other organizations that come, with so many rows each.
    private struct Joining {
        let numbers: Range<Int>
        let tenant: String

        init(_ others: Range<Int>, _ each: Int) {
            numbers = firstNumber + others.lowerBound * each..<firstNumber + others.upperBound * each
            tenant = "('00000000-0000-4000-8000-' || lpad(to_hex((n - \(firstNumber)) / \(each)), 12, '0'))::uuid"
        }
    }

    private func ask(_ stage: GrowthStage, _ step: inout GrowthStep) async throws {
        step.search = try await stage.searches(Self.searches)
        step.suggestions = try await stage.suggestions(Self.searches / 4)
    }

    private func question(_ stage: GrowthStage, _ visitors: [Newcomer], _ step: inout GrowthStep) async throws {
        step.questions = try await stage.questions(Self.questionRuns)
        step.ingested = try await stage.ingest(from: visitors, seconds: Self.ingestSeconds)
    }
}

/// What was measured at one size; nil for what does not grow so far.
struct GrowthStep: Sendable {
    var search: Spread?
    var suggestions: Spread?
    /// In their order; without times when it is refused as too expensive.
    var questions: [(name: String, times: Spread?)] = []
    /// Events a second.
    var ingested: Double?
}

/// One organization that is asked, and what it is asked.
private final class GrowthStage: Sendable {
    let person: Newcomer
    /// Reports events; what they add is removed.
    let visitor: Newcomer
    private let platform: ScratchPlatform
    private let events: GeneratedEvents
    private let documents: GeneratedDocuments
    private let analytics: String
    private let search: GatewayClient

    init(_ platform: ScratchPlatform) async throws {
        self.platform = platform
        person = try await Newcomer.register(at: platform.addresses.gateway)
        visitor = try await Newcomer.register(at: platform.addresses.gateway)
        events = GeneratedEvents(database: platform.addresses.database)
        documents = GeneratedDocuments(database: platform.addresses.database)
        analytics = platform.url(of: .analytics)
        search = GatewayClient(base: platform.url(of: .search)).signedIn(person.token)
    }

    func fillDocuments(_ numbers: Range<Int>, tenant: String) async throws {
        let written = try await documents.write(numbers, tenant: tenant)
        FigureBook.say(String(format: "%d documents written in %.0f s", numbers.count, written))
    }

    func fillEvents(_ numbers: Range<Int>, tenant: String) async throws {
        let filled = try await events.write(numbers, tenant: tenant)
        let folded = try await events.waitForRollups()
        FigureBook.say(String(format: "%d events written in %.0f s, and folded in %.0f s more", numbers.count, filled, folded))
    }

    func visitors(_ count: Int) async throws -> [Newcomer] {
        let gateway = platform.addresses.gateway
        return try await Lanes.map(count, in: 4) { _ in try await Newcomer.register(at: gateway) }
    }

    // MARK: - Questions

    func searches(_ count: Int) async throws -> Spread {
        try await asked(count) { number in
            "/api/v1/search?q=\(GeneratedDocuments.word(20 + number * 7 % 400))%20\(GeneratedDocuments.word(50 + number * 13 % 900))"
        }
    }

    func suggestions(_ count: Int) async throws -> Spread {
        try await asked(count) { number in "/api/v1/search/suggest?q=\(GeneratedDocuments.word(300 + number * 11 % 3_000).prefix(4))" }
    }

    /// Times after a few that warm it up.
    private func asked(_ count: Int, _ path: (Int) -> String) async throws -> Spread {
        var number = 0
        func ask() async throws {
            let answer = try await search.get(path(number))
            guard answer.status == 200 else { throw StackFailure("searching answered \(answer.status)") }
            number += 1
        }
        for _ in 0..<10 { try await ask() }
        return try await Spread.of(count, ask)
    }

    func questions(_ count: Int) async throws -> [(name: String, times: Spread?)] {
        let client = GatewayClient(base: analytics).signedIn(person.token)
        var answers: [(name: String, times: Spread?)] = []
        for question in DashboardFigures.questions {
            // What was just written is in no cache yet.
            _ = try await question.times(2, at: client)
            answers.append((question.name, try await question.times(count, at: client)))
        }
        return answers
    }

    // MARK: - Ingestion

    /// Events a second that are acknowledged, 1,000 a call. They are counted, and then removed.
    func ingest(from visitors: [Newcomer], seconds: Int) async throws -> Double {
        let tokens = visitors.map { "'\($0.token)'" }.joined(separator: ",\n")
        let script =
            IngestFigures.script(eventsInACall: IngestFigures.batch) + """

                local tokens = {\(tokens)}
                local call, number = request, 0
                request = function()
                  number = number + 1
                  wrk.headers["Authorization"] = "Bearer " .. tokens[number % #tokens + 1]
                  return call()
                end
                """
        let figures = try await Wrk.run(
            "\(analytics)/api/v1/analytics/events", connections: IngestFigures.connections, seconds: seconds, script: script)
        try await events.waitForRollups()
        let list = visitors.map { "'\($0.tenant)'" }.joined(separator: ", ")
        let tables = ["analytics_events", "collected_ids", "activity_rollups", "people"].map { "analytics.\($0)" }
        for table in tables { try await events.psql.run("DELETE FROM \(table) WHERE tenant_id IN (\(list))") }
        try await events.psql.run("VACUUM ANALYZE \(tables.joined(separator: ", "))")
        return figures.perSecond * Double(IngestFigures.batch)
    }
}

/// The steps of one axis, as tables and plots.
private struct GrowthSeries {
    /// In the names of the plots.
    let name: String
    let unit: String
    let book: FigureBook
    private var steps: [(size: Int, step: GrowthStep)] = []

    init(name: String, unit: String, book: FigureBook) {
        (self.name, self.unit, self.book) = (name, unit, book)
    }

    mutating func add(_ size: Int, _ step: GrowthStep) {
        steps.append((size, step))
        func text(_ spread: Spread?, _ part: Double) -> String { spread.map { Spread.text($0.quantile(part)) } ?? "" }
        book.row(
            [
                Self.text(size), text(step.search, 0.5), text(step.search, 0.95), text(step.suggestions, 0.95),
                step.ingested.map { String(format: "%.1fk/s", $0 / 1_000) } ?? "",
            ],
            of: FigureBook.Table(
                title: "By \(name): search and ingestion",
                header: [unit, "search p50", "search p95", "suggestion p95", "events acknowledged"]))
    }

    /// What is known only when all sizes are: the table of questions, whose columns are sizes, and the plots.
    func finish(drawn: [String]) {
        let answered = steps.filter { !$0.step.questions.isEmpty }
        let table = FigureBook.Table(
            title: "By \(name): questions to analytics, p95", header: ["question"] + answered.map { "\(Self.text($0.size)) \(unit)" })
        let names = answered.first?.step.questions.map(\.name) ?? []
        func time(_ name: String, _ step: GrowthStep) -> Double? {
            step.questions.first { $0.name == name }?.times?.quantile(0.95)
        }
        for name in names {
            book.row([name] + answered.map { time(name, $0.step).map(Spread.text) ?? "too expensive" }, of: table)
        }
        func curve(_ name: String, _ value: (GrowthStep) -> Double?) -> Plot.Curve {
            Plot.Curve(name: name, points: steps.compactMap { size, step in value(step).map { Plot.Point(x: Double(size), y: $0) } })
        }
        let search = [
            curve("search p50", { $0.search?.median }), curve("search p95", { $0.search?.quantile(0.95) }),
            curve("suggestion p95", { $0.suggestions?.quantile(0.95) }),
        ]
        let questions = names.filter { name in drawn.contains { name.hasPrefix($0) } }.map { name in
            curve(name, { time(name, $0) })
        }
        book.plot(Plot(name: "search-by-\(name)", title: "Search by \(name)", across: unit, unit: "ms", curves: search))
        book.plot(
            Plot(
                name: "questions-by-\(name)", title: "Questions to analytics by \(name), p95", across: unit, unit: "ms",
                curves: questions))
        book.plot(
            Plot(
                name: "ingestion-by-\(name)", title: "Ingestion by \(name)", across: unit, unit: "events a second",
                curves: [curve("1,000 a call", { $0.ingested })]))
    }

    private static func text(_ size: Int) -> String {
        size >= 1_000_000 ? "\(size / 1_000_000)M" : size >= 1_000 ? "\(size / 1_000)k" : "\(size)"
    }
}
