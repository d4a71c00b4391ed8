import Contracts
import DevStack
import Foundation

/// Some of the programs with servers of their own, in a folder that goes with them: for measurements that leave nothing behind.
struct ScratchPlatform: Sendable {
    let stack: Stack
    let addresses: StackAddresses

    private static let attempts = 3

    /// A port that is free when it is chosen may be taken a second later: then it is tried again with others.
    static func start(_ programs: [ServiceName]) async throws -> ScratchPlatform {
        for _ in 1..<attempts {
            do {
                return try await startOnce(programs)
            } catch let failure as StackFailure {
                FigureBook.say("\(failure); trying again")
            }
        }
        return try await startOnce(programs)
    }

    private static func startOnce(_ programs: [ServiceName]) async throws -> ScratchPlatform {
        let scratch = try ScratchDirectory("trionex-bench")
        AtExit.perform { scratch.remove() }
        var settings = StackSettings(root: FileManager.default.currentDirectoryPath, runDirectory: scratch.path)
        try settings.choose(programs.map(\.rawValue))
        settings.logLevel = "warning"
        settings.postgresPort = try Ports.free()
        settings.redisPort = try Ports.free()
        settings.brokerPort = try Ports.free()
        settings.smtpPort = try Ports.free()
        settings.mailPort = try Ports.free()
        settings.adminPort = try Ports.free()
        for program in StackProgram.all { settings.ports[program.name] = try Ports.free() }
        let stack = Stack(settings, say: { FigureBook.say($0) })
        return ScratchPlatform(stack: stack, addresses: try await stack.start())
    }

    /// Where a program listens.
    func url(of program: ServiceName) -> String { addresses.programs[program.rawValue] ?? "" }

    /// Starts it, does the work, and stops it however that ends.
    static func with(_ programs: [ServiceName], _ work: (ScratchPlatform) async throws -> Void) async throws {
        let platform = try await start(programs)
        do {
            try await work(platform)
        } catch {
            await platform.stack.stop()
            throw error
        }
        await platform.stack.stop()
    }
}

/// The server's own program for statements, as an administrator: it is bound by no policy.
struct Psql: Sendable {
    let database: String
    /// The longest makes an index of ten million rows.
    private static let limit: Duration = .seconds(900)

    @discardableResult
    func run(_ statement: String) async throws -> String {
        try Task.checkCancellation()
        let output = try await Command.output(
            "psql", ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, database], atMost: Self.limit)
        guard !output.contains("ERROR:") else { throw StackFailure("psql said: \(output.suffix(300))") }
        return output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func count(_ statement: String) async throws -> Int { Int(try await run(statement)) ?? 0 }
}
