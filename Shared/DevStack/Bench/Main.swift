import ArgumentParser
import Contracts
import DevStack
import Foundation

/// Measures the figures that the project states, on the running platform, each beside a named peer where there is one.
@main
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-bench", abstract: "Measures the platform that `make run` has started (in release: `make bench`).")

    @Option(help: "Where the gateway listens.")
    var gateway = "http://127.0.0.1:8080"

    @Option(help: "Where content listens, for the same request without the gateway.")
    var content = "http://127.0.0.1:8083"

    @Option(help: "Where analytics listens, for ingestion without the gateway.")
    var analytics = "http://127.0.0.1:8085"

    @Option(help: "Administrator's address of the database.")
    var database = "postgres://postgres:postgres@127.0.0.1:54329/trionex"

    @Option(help: "Seconds for each measurement.")
    var seconds = 5

    @Option(help: "Rounds; the median is shown.")
    var rounds = 3

    @Option(
        help: ArgumentHelp(
            """
            Only this part; may be repeated: \(Part.measured.map(\.rawValue).joined(separator: ", ")). \
            Tokens, relay, consumer and growth need no running platform.
            """, valueName: "part"))
    var part: [Part] = []

    enum Part: String, ExpressibleByArgument, CaseIterable {
        case platform, identity, tokens, relay, consumer, ingest, dashboards, freshness, growth
        case relayReplica = "relay-replica"
    }

    @Option(help: "Events and page views that the part dashboards asks questions about; ten million take some minutes to write.")
    var rows = 1_000_000

    @Option(help: "Events and page views that the part growth ends with.")
    var largest = 1_000_000

    @Option(help: "Documents that the part growth ends with.")
    var documents = 100_000

    @Option(help: "Organizations that the part growth ends with.")
    var organizations = 1_000

    @Option(help: "Articles a second that other organizations publish in the part freshness.")
    var publications = 50

    @Option(help: "Minutes that a part may take.")
    var limit = 30

    @Flag(help: "Write \(BenchPage.place) of what was measured in release builds, now and earlier (.run/bench/figures.json).")
    var publish = false

    @Flag(help: "Measure nothing; write \(BenchPage.place) again.")
    var report = false

    @Option(help: .hidden)
    var brokers = ""

    func run() async throws {
        if part.contains(.relayReplica) { return try await RelayReplica.run(database: database, brokers: brokers) }
        let book = try FigureBook(in: Self.runDirectory + "/bench")
        let failed = report ? [] : await measure(part.isEmpty ? Part.measured : part, book)
        if publish || report {
            let page = BenchPage(chapters: book.chapters, machine: await Machine.facts())
            for path in try page.write(into: FileManager.default.currentDirectoryPath) { FigureBook.say("wrote \(path)") }
        }
        guard failed.isEmpty else {
            FigureBook.say("not measured to the end: \(failed.map(\.rawValue).joined(separator: ", "))")
            throw ExitCode(1)
        }
    }

    /// One part after the other; one that fails does not keep the others from being measured. Returns those.
    private func measure(_ parts: [Part], _ book: FigureBook) async -> [Part] {
        let build = await BuildOrigin.current()
        if !build.isRelease { FigureBook.say("this is a debug build: its figures are not published") }
        var failed: [Part] = []
        for (number, part) in parts.enumerated() {
            FigureBook.say("[\(number + 1)/\(parts.count)] \(part.rawValue)")
            let isDone = await book.write(part.rawValue, in: build, within: .seconds(60 * limit)) { try await measure(part, book) }
            if !isDone { failed.append(part) }
        }
        return failed
    }

    private func measure(_ part: Part, _ book: FigureBook) async throws {
        switch part {
        case .platform:
            memory("idle", book)
            try await platform(book)
        case .identity:
            guard let stack = StackAddresses.read(from: Self.runDirectory) else {
                throw StackFailure("No platform runs from this folder: make run, or make bench.")
            }
            memory("idle", book)
            try await IdentityFigures(stack: stack, runDirectory: Self.runDirectory, seconds: seconds, row: book.row).measure()
            memory("after this run", book)
        case .tokens: try await TokenFigures.rows(for: .seconds(seconds), book.row)
        case .relay: try await RelayFigures(row: book.row).measure()
        case .consumer: try await ConsumerFigures(row: book.row).measure()
        case .ingest:
            try await IngestFigures(
                gateway: gateway, analytics: analytics, database: database.replacingUser(with: "analytics"), seconds: seconds,
                row: book.row
            ).measure()
        case .dashboards:
            try await DashboardFigures(
                person: try await Newcomer.register(at: gateway), database: database, analytics: analytics, rows: rows, rounds: rounds,
                row: book.row
            ).measure()
        case .freshness:
            try await FreshnessFigures(gateway: gateway, database: database, rate: publications, book: book).measure()
        case .growth: try await GrowthFigures(largest: largest, documents: documents, organizations: organizations, book: book).measure()
        case .relayReplica: break
        }
    }

    private static let runDirectory = FileManager.default.currentDirectoryPath + "/.run"

    private func platform(_ book: FigureBook) async throws {
        let person = try await Newcomer.register(at: gateway)
        let article = try await person.publish("The loom weaves patterns")
        try await databaseReads(person, article, book)
        try await requests(person, article, book)
    }

    /// The tenant's single-row read through our client, against pgbench on the same statements in one pipeline.
    private func databaseReads(_ person: Newcomer, _ article: String, _ book: FigureBook) async throws {
        let own = DatabaseReads(url: database.replacingUser(with: "content"), tenant: person.tenant, article: article)
        let peer = Pgbench(url: database.replacingUser(with: "content"), tenant: person.tenant, article: article)
        var ours: [Double] = []
        var theirs: [Double] = []
        for _ in 0..<rounds {
            ours.append(try await own.perSecond(for: .seconds(seconds)))
            theirs.append(try await peer.perSecond(for: seconds))
        }
        let (us, them) = (Self.median(ours), Self.median(theirs))
        book.row("tenant-scoped single-row reads through the Postgres client, 64 tasks", "\(Self.thousands(us))/s")
        book.row("the same by `pgbench -c16 -j2`, prepared, one pipeline", "\(Self.thousands(them))/s")
        book.row("ratio", String(format: "%.2f", us / them))
    }

    private func requests(_ person: Newcomer, _ article: String, _ book: FigureBook) async throws {
        for (what, base) in [("at the service", content), ("through the gateway", gateway)] {
            var rates: [Double] = []
            for _ in 0..<rounds {
                rates.append(try await Wrk.perSecond("\(base)/api/v1/content/articles/\(article)", token: person.token, seconds: seconds))
            }
            book.row("GET /content/articles/:id \(what), wrk -t1 -c32", "\(Self.thousands(Self.median(rates)))/s")
        }
    }

    /// Resident and proportional memory of the nine programs; pages shared between them count once in the latter.
    private func memory(_ when: String, _ book: FigureBook) {
        guard let addresses = StackAddresses.read(from: Self.runDirectory) else { return }
        var resident = 0
        var proportional = 0
        for pid in addresses.processes.values {
            let rollup = (try? String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)) ?? ""
            for line in rollup.split(separator: "\n") {
                let kilobytes = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
                if line.hasPrefix("Rss:") { resident += kilobytes }
                if line.hasPrefix("Pss:") { proportional += kilobytes }
            }
        }
        book.row("memory of the nine programs, \(when): resident / proportional", "\(resident / 1024) MB / \(proportional / 1024) MB")
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    private static func thousands(_ value: Double) -> String { String(format: "%.1fk", value / 1000) }
}

extension String {
    /// The same address of a database as another role, whose local password is its name.
    func replacingUser(with user: String) -> String {
        guard var parts = URLComponents(string: self) else { return self }
        parts.user = user
        parts.password = user
        return parts.string ?? self
    }
}
