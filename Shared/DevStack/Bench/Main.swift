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

    @Option(help: "Administrator's address of the database.")
    var database = "postgres://postgres:postgres@127.0.0.1:54329/trionex"

    @Option(help: "Seconds for each measurement.")
    var seconds = 5

    @Option(help: "Rounds; the median is shown.")
    var rounds = 3

    @Option(help: ArgumentHelp("Only one part: platform, identity, or tokens, which needs no platform.", valueName: "part"))
    var part: Part?

    enum Part: String, ExpressibleByArgument {
        case platform, identity, tokens
    }

    func run() async throws {
        Swift.print("\n| what | figure |\n|---|---|")
        if part == .tokens {
            try await TokenFigures.rows(for: .seconds(seconds), row)
            return
        }
        memory("idle")
        if part != .identity { try await platform() }
        if part != .platform {
            guard let stack = StackAddresses.read(from: Self.runDirectory) else {
                throw StackFailure("No platform runs from this folder: make run, or make bench.")
            }
            try await IdentityFigures(stack: stack, runDirectory: Self.runDirectory, seconds: seconds, row: row).measure()
        }
        memory("after this run")
    }

    private static let runDirectory = FileManager.default.currentDirectoryPath + "/.run"

    private func platform() async throws {
        let person = try await Newcomer.register(at: gateway)
        let article = try await person.publish("The loom weaves patterns")
        try await databaseReads(person, article)
        try await requests(person, article)
        try await freshness(person)
    }

    /// The tenant's single-row read through our client, against pgbench on the same statements in one pipeline.
    private func databaseReads(_ person: Newcomer, _ article: String) async throws {
        let own = DatabaseReads(url: Self.replacingUser(database, with: "content"), tenant: person.tenant, article: article)
        let peer = Pgbench(url: Self.replacingUser(database, with: "content"), tenant: person.tenant, article: article)
        var ours: [Double] = []
        var theirs: [Double] = []
        for _ in 0..<rounds {
            ours.append(try await own.perSecond(for: .seconds(seconds)))
            theirs.append(try await peer.perSecond(for: seconds))
        }
        let (us, them) = (Self.median(ours), Self.median(theirs))
        row("tenant-scoped single-row reads through the Postgres client, 64 tasks", "\(Self.thousands(us))/s")
        row("the same by `pgbench -c16 -j2`, prepared, one pipeline", "\(Self.thousands(them))/s")
        row("ratio", String(format: "%.2f", us / them))
    }

    private func requests(_ person: Newcomer, _ article: String) async throws {
        for (what, base) in [("at the service", content), ("through the gateway", gateway)] {
            var rates: [Double] = []
            for _ in 0..<rounds {
                rates.append(try await Wrk.perSecond("\(base)/api/v1/content/articles/\(article)", token: person.token, seconds: seconds))
            }
            row("GET /content/articles/:id \(what), wrk -t1 -c32", "\(Self.thousands(Self.median(rates)))/s")
        }
    }

    private func freshness(_ person: Newcomer) async throws {
        var times: [Double] = []
        for index in 0..<40 {
            let word = "w\(UUID().uuidString.lowercased().prefix(8))"
            let id = try await person.draft("Fresh \(word) \(index)")
            let start = ContinuousClock.now
            try await person.publish(id: id)
            while try await !person.finds(word) { try await Task.sleep(for: .milliseconds(2)) }
            times.append((ContinuousClock.now - start) / .milliseconds(1))
        }
        times.sort()
        row(
            "publish to found by search, p50 / p95 of 40",
            String(format: "%.0f ms / %.0f ms", times[times.count / 2], times[times.count * 95 / 100]))
    }

    /// Resident and proportional memory of the nine programs; pages shared between them count once in the latter.
    private func memory(_ when: String) {
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
        row("memory of the nine programs, \(when): resident / proportional", "\(resident / 1024) MB / \(proportional / 1024) MB")
    }

    private func row(_ what: String, _ figure: String) { Swift.print("| \(what) | \(figure) |") }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    private static func thousands(_ value: Double) -> String { String(format: "%.1fk", value / 1000) }

    /// The same address as another role, whose local password is its name.
    private static func replacingUser(_ url: String, with user: String) -> String {
        guard var parts = URLComponents(string: url) else { return url }
        parts.user = user
        parts.password = user
        return parts.string ?? url
    }
}
