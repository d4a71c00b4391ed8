import Contracts
import DevStack
import Foundation
import Logging
import Postgres
import Synchronization

/// The tenant's single-row read through our own client.
struct DatabaseReads {
    let url: String
    let tenant: TenantID
    let article: String
    static let tasks = 64

    func perSecond(for duration: Duration) async throws -> Double {
        guard let id = ArticleID(article) else { return 0 }
        var configuration = DatabaseConfiguration(url: url)
        configuration.batchConnections = 8
        let database = Database(configuration, service: .content, logger: Logger(label: "bench"))
        let caller = Caller.service(.content, for: tenant)
        let query = Query<String>("SELECT title FROM articles WHERE id = \(id)", column: "title")
        guard try await database.first(query, as: caller) != nil else { throw StackFailure("the article is not there to be read") }
        let end = ContinuousClock.now + duration
        let start = ContinuousClock.now
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<Self.tasks {
                group.addTask {
                    var count = 0
                    while ContinuousClock.now < end {
                        _ = try await database.first(query, as: caller)
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        let elapsed = start.duration(to: .now) / .seconds(1)
        await database.shutdown()
        return Double(total) / elapsed
    }
}

/// pgbench on the same statements: set_config and the read in one pipeline and one implicit transaction, prepared.
struct Pgbench {
    let url: String
    let tenant: TenantID
    let article: String

    func perSecond(for seconds: Int) async throws -> Double {
        let script = """
            \\startpipeline
            select set_config('app.tenant_id', '\(tenant)', true);
            select title from articles where id = '\(article)';
            \\endpipeline
            """
        let file = FileManager.default.temporaryDirectory.appending(path: "trionex-pgbench.sql").path(percentEncoded: false)
        try script.write(toFile: file, atomically: true, encoding: .utf8)
        let output = try await Command.output(
            "pgbench", ["-n", "-c", "16", "-j", "2", "-M", "prepared", "-T", "\(seconds)", "-f", file, url])
        guard let line = output.split(separator: "\n").first(where: { $0.hasPrefix("tps =") }),
            let rate = line.split(separator: " ").dropFirst(2).first.flatMap({ Double($0) })
        else { throw StackFailure("pgbench said: \(output.suffix(300))") }
        return rate
    }
}

/// A peer's program, by name.
enum Command {
    static func output(
        _ name: String, _ arguments: [String], packages: String = "wrk postgresql", atMost limit: Duration = .seconds(120)
    ) async throws -> String {
        let places = ["/usr/bin", "/usr/local/bin", "/usr/lib/postgresql/15/bin"].map { "\($0)/\(name)" }
        guard let path = places.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
            throw StackFailure("\(name) is not installed: apt-get install \(packages)")
        }
        let log = FileManager.default.temporaryDirectory.appending(path: "trionex-\(name)-\(UUID().uuidString).log").path(
            percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: log) }
        return try await ManagedProcess.run(ProcessLaunch(path, arguments, log: log), atMost: limit).output
    }
}
