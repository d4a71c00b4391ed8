import DevStack
import Foundation

/// The page of figures, of what the book has: `Services/BENCHMARKS.md`, with the plots in `Services/Plots`.
struct BenchPage {
    let chapters: [String: FigureBook.Chapter]
    let machine: [(String, String)]

    static let place = "Services/BENCHMARKS.md"
    private static let plots = "Plots"

    /// Writes the page and its plots into the checkout, and returns their paths.
    func write(into root: String) throws -> [String] {
        let folder = URL(filePath: root).appending(path: Self.place).deletingLastPathComponent().appending(path: Self.plots)
        try? FileManager.default.removeItem(at: folder)
        var written = [Self.place]
        for plot in shown.flatMap(\.chapter.plots) {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try plot.svg.write(to: folder.appending(path: plot.name + ".svg"), atomically: true, encoding: .utf8)
            written.append("Services/\(Self.plots)/\(plot.name).svg")
        }
        try text.write(to: URL(filePath: root).appending(path: Self.place), atomically: true, encoding: .utf8)
        return written
    }

    private var shown: [(part: Bench.Part, chapter: FigureBook.Chapter)] {
        Bench.Part.measured.compactMap { part in
            chapters[part.rawValue].flatMap { $0.isRelease && !$0.tables.isEmpty ? (part, $0) : nil }
        }
    }

    var text: String {
        let shown = shown
        var parts = [head(shown.map(\.chapter))]
        for (part, chapter) in shown { parts.append(section(part, chapter)) }
        parts.append(open)
        return parts.joined(separator: "\n\n") + "\n"
    }

    private func head(_ chapters: [FigureBook.Chapter]) -> String {
        let contents = shown.map { part, chapter in
            [
                part.title, "`\(chapter.command)`", Self.day(chapter.date), chapter.commit, Self.duration(chapter.seconds),
            ]
        }
        let table = FigureBook.Table(header: ["part", "command", "measured on", "commit", "took"], rows: contents)
        let list =
            contents.isEmpty
            ? "Nothing has been measured in a release build of this state yet." : Markdown.table(table).replacing("--:", with: "---")
        return """
            # What the platform does in a second

            Written by `make bench ARGS=--publish`, which measures every part named below in a release build; each can be measured alone.
            PostgreSQL, Redis, the broker, the programs and whoever asks share the cores of one machine, so all figures are those of the
            whole on these cores. They carry noise of about 15 %: ratios matter, not seconds. Elsewhere: the [gateway](../Gateway/BENCHMARKS.md)
            beside its peers; [signing in](Auth/BENCHMARKS.md), explained; the relevance of [search](Search/README.md#figures), and its times
            among a hundred organizations while one core is busy with indexing; and the [drills](../Shared/Drills/DRILLS.md), which account for every event under fault.

            \(Markdown.table(FigureBook.Table(header: ["machine", ""], rows: machine.map { [$0.0, $0.1] })).replacing("--:", with: "---"))

            \(list)

            A commit with `+` is one with changes that were not committed yet. PostgreSQL has its defaults (`shared_buffers` 128 MB) and
            writes its log to disk before it acknowledges.
            """
    }

    private func section(_ part: Bench.Part, _ chapter: FigureBook.Chapter) -> String {
        var lines = ["## \(part.title)", part.explanation]
        if let failure = chapter.failure { lines.append("**It did not come to its end:** \(failure)") }
        for table in chapter.tables { lines.append((table.title.map { "### \($0)\n\n" } ?? "") + Markdown.table(table)) }
        for plot in chapter.plots { lines.append("![\(plot.title)](\(Self.plots)/\(plot.name).svg)") }
        return lines.joined(separator: "\n\n")
    }

    /// What the page does not say.
    private var open: String {
        let missing = Bench.Part.measured.filter { part in !shown.contains { $0.part == part } }
        var lines = [
            "## What was not measured", "",
            "- More than one machine, and a Kafka cluster of several brokers: the local broker is librdkafka's mock cluster and keeps its log in memory.",
            "- Hours: every figure is of seconds to minutes, as its part says.",
        ]
        if !missing.isEmpty { lines.append("- In this state of the page, the parts \(missing.map(\.rawValue).joined(separator: ", ")).") }
        return lines.joined(separator: "\n")
    }

    private static func day(_ date: Date) -> String { String(date.ISO8601Format().prefix(16)).replacing("T", with: " ") }
    private static func duration(_ seconds: Double) -> String {
        seconds < 100 ? String(format: "%.0f s", seconds) : String(format: "%.0f min", seconds / 60)
    }
}

extension Bench.Part {
    /// Those that a run without `--part` measures, in their order.
    static var measured: [Bench.Part] { allCases.filter { $0 != .relayReplica } }

    var title: String {
        switch self {
        case .platform: "The platform at large"
        case .identity: "Signing in"
        case .tokens: "Verifying tokens"
        case .relay: "Publishing from the outbox"
        case .consumer: "Consuming"
        case .ingest: "Taking in events for analytics"
        case .dashboards: "Questions to analytics"
        case .freshness: "From published to found and counted"
        case .growth: "Growth with rows and organizations"
        case .relayReplica: "A relay for another part"
        }
    }

    /// How it is measured.
    var explanation: String {
        switch self {
        case .platform:
            """
            On the running platform: single-row reads through the Postgres client (64 tasks) beside `pgbench -c16 -j2` with the same
            statements; one article read by `wrk -t1 -c32`; memory from `/proc/PID/smaps_rollup`.
            """
        case .identity: "How each is measured stands in [auth's page](Auth/BENCHMARKS.md)."
        case .tokens: "`TokenVerifier` in one task, with tokens that it knows and with tokens that it does not."
        case .relay:
            """
            `OutboxRelay` with a PostgreSQL and a broker of its own and the migrations of content. A full outbox is emptied (the rate), single
            events are followed to a consumer (the time), and one organization's are followed while another's flood is published.
            """
        case .consumer:
            """
            `EventConsumer` with a PostgreSQL and a broker of its own; each event writes a row in the transaction that notes it in the inbox.
            """
        case .ingest:
            """
            `POST /api/v1/analytics/events` by wrk, beside bare inserts of the same rows into the same table by `unnest` in the same run.
            An acknowledged event is committed, has an id that nobody else has, and waits for the roll-ups.
            """
        case .dashboards:
            """
            One organization's events, ninety days of a hundred thousand people, are written by the server itself and folded into the roll-ups
            by the service; then each question is asked of the service one after the other.
            """
        case .freshness:
            """
            Through the gateway, with all nine programs: the clock starts before `POST …/publish` is sent and stops with the answer
            of `GET /api/v1/search` that has the article, and of `GET /api/v1/analytics/overview` that counts it; both are asked again
            every 2 ms. Idle; while \(FreshnessFigures.others) other organizations publish for \(Int(FreshnessFigures.loadedFor / .seconds(1))) s;
            and while \(FreshnessFigures.updates / 1_000),000 updates of another organization, put into content's outbox at once, are relayed and
            taken in by search, analytics and the assistant.
            """
        case .growth: GrowthFigures.explanation
        case .relayReplica: ""
        }
    }
}
