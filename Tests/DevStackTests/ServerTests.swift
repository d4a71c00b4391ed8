import Foundation
import Glibc
import Testing

@testable import DevStack

@Suite final class ServerTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory("trionex-server-test") }
    deinit { scratch.remove() }

    func sql(_ statement: String, on server: PostgresServer) async throws -> String {
        let launch = ProcessLaunch(
            "/usr/bin/psql", [server.url(), "-XAtc", statement], log: scratch.path + "/\(UUID()).log")
        let (exit, output) = try await ManagedProcess.run(launch)
        #expect(exit.succeeded, "\(output)")
        return output.trimmingCharacters(in: .newlines)
    }

    @Test("PostgreSQL keeps its data over a stop and a start")
    func postgresKeepsData() async throws {
        let directory = scratch.path + "/kept"
        let first = try await PostgresServer.start(in: directory, port: try Ports.free(), durable: true)
        _ = try await sql("CREATE TABLE notes (text text); INSERT INTO notes VALUES ('kept')", on: first)
        #expect(try await sql("SHOW max_connections", on: first) == "200")
        await first.stop()
        #expect(!first.process.isRunning)
        let second = try await PostgresServer.start(in: directory, port: try Ports.free(), durable: true)
        #expect(try await sql("SELECT text FROM notes", on: second) == "kept")
        await second.stop()
    }

    @Test("PostgreSQL starts again after a crash, also when its old number belongs to another program now")
    func postgresRecovers() async throws {
        let directory = scratch.path + "/crashed"
        let first = try await PostgresServer.start(in: directory, port: try Ports.free(), durable: true)
        _ = try await sql("CREATE TABLE notes (text text); INSERT INTO notes VALUES ('committed')", on: first)
        let lock = directory + "/data/postmaster.pid"
        var lines = try String(contentsOfFile: lock, encoding: .utf8).components(separatedBy: "\n")
        await first.process.stop([])
        // A number that lives and is not PostgreSQL.
        lines[0] = "\(getpid())"
        try lines.joined(separator: "\n").write(toFile: lock, atomically: false, encoding: .utf8)
        try await eventually { Ports.isFree(first.port) }
        let second = try await PostgresServer.start(in: directory, port: first.port, durable: true)
        #expect(try await sql("SELECT text FROM notes", on: second) == "committed")
        await second.stop()
    }

    @Test("A second PostgreSQL on the same data is refused")
    func postgresTwice() async throws {
        let directory = scratch.path + "/twice"
        let first = try await PostgresServer.start(in: directory, port: try Ports.free(), durable: false)
        let failure = await #expect(throws: StackFailure.self) {
            try await PostgresServer.start(in: directory, port: try Ports.free(), durable: false)
        }
        #expect(failure?.description.contains("in use by a PostgreSQL that runs already (process \(first.process.pid))") == true)
        #expect(try await sql("SELECT 1", on: first) == "1")
        first.stopBlocking(abandoningData: true)
    }

    @Test("In a folder that the user postgres cannot reach, the data lie in its home, behind a link", .enabled(if: geteuid() == 0))
    func postgresOutOfReach() async throws {
        chmod(scratch.path, 0o700)
        let directory = scratch.path + "/hidden"
        let first = try await PostgresServer.start(in: directory, port: try Ports.free(), durable: false)
        defer { try? FileManager.default.removeItem(atPath: first.directory) }
        #expect(first.directory.hasPrefix("/var/lib/postgresql/trionex-"))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: directory) == first.directory)
        _ = try await sql("CREATE TABLE notes (text text)", on: first)
        await first.stop()
        let second = try await PostgresServer.start(in: directory, port: try Ports.free(), durable: false)
        #expect(second.directory == first.directory)
        #expect(try await sql("SELECT count(*) FROM notes", on: second) == "0")
        second.stopBlocking(abandoningData: true)
    }

    @Test("A wrong password is refused")
    func postgresChecksPasswords() async throws {
        let server = try await PostgresServer.start(in: scratch.path + "/password", port: try Ports.free(), durable: false)
        let launch = ProcessLaunch(
            "/usr/bin/psql", [server.url(password: "wrong"), "-XAtc", "SELECT 1"], log: scratch.path + "/psql.log")
        let (exit, output) = try await ManagedProcess.run(launch)
        #expect(!exit.succeeded)
        #expect(output.contains("password authentication failed"))
        server.stopBlocking(abandoningData: true)
    }

    @Test("Data of a version that is not installed is a sentence")
    func postgresVersion() async throws {
        let directory = scratch.path + "/old"
        try FileManager.default.createDirectory(atPath: directory + "/data", withIntermediateDirectories: true)
        try "9\n".write(toFile: directory + "/data/PG_VERSION", atomically: true, encoding: .utf8)
        let failure = await #expect(throws: StackFailure.self) {
            try await PostgresServer.start(in: directory, port: try Ports.free(), durable: false)
        }
        #expect(failure?.description.hasPrefix("The data were made by PostgreSQL 9") == true)
    }

    @Test("Redis keeps its data over a restart only when asked to", arguments: [true, false])
    func redis(persistent: Bool) async throws {
        let directory = scratch.path + "/redis-\(persistent)"
        let first = try await RedisServer.start(in: directory, port: try Ports.free(), persistent: persistent)
        #expect(try await redisCommand(["SET", "note", "kept"], on: first) == "OK")
        await first.stop()
        let second = try await RedisServer.start(in: directory, port: try Ports.free(), persistent: persistent)
        #expect(try await redisCommand(["GET", "note"], on: second) == (persistent ? "kept" : ""))
        second.stopBlocking()
        #expect(!second.process.isRunning)
    }

    func redisCommand(_ words: [String], on server: RedisServer) async throws -> String {
        let launch = ProcessLaunch("/usr/bin/redis-cli", ["-u", server.url] + words, log: scratch.path + "/\(UUID()).log")
        return try await ManagedProcess.run(launch).output.trimmingCharacters(in: .newlines)
    }

    @Test("A port in use is named, with its holder and the setting that changes it")
    func portInUse() async throws {
        let holder = try await RedisServer.start(in: scratch.path + "/holder", port: try Ports.free(), persistent: false)
        let expected =
            "Port \(holder.port) for Redis is already in use on 127.0.0.1, by process \(holder.process.pid) (redis-server). Stop what uses it"
        await #expect(throws: StackFailure(expected + ".")) {
            try await RedisServer.start(in: scratch.path + "/other", port: holder.port, persistent: false)
        }
        #expect(throws: StackFailure(expected + ", or choose another with TRIONEX_REDIS_PORT.")) {
            try Ports.require(holder.port, for: "Redis", setting: "TRIONEX_REDIS_PORT")
        }
        await #expect(throws: StackFailure.self) {
            try await PostgresServer.start(in: scratch.path + "/pg", port: holder.port, durable: false)
        }
        holder.stopBlocking()
    }

    @Test("The broker starts on the port it is given and stops when told")
    func broker() async throws {
        let program = try #require(Self.brokerProgram, "trionex-broker is built with the tests")
        let broker = try await BrokerProcess.start(
            executable: program, port: try Ports.free(), topics: ["trionex.content.events"], log: scratch.path + "/broker.log")
        #expect(!Ports.isFree(broker.port))
        await broker.stop()
        #expect(Ports.isFree(broker.port))
    }

    @Test("A broker that exits at once is said so with what it wrote last")
    func brokerFails() async throws {
        let failure = await #expect(throws: StackFailure.self) {
            try await BrokerProcess.start(
                executable: "/bin/false", port: try Ports.free(), topics: [], log: scratch.path + "/false.log")
        }
        #expect(failure?.description.hasPrefix("The local broker exited with code 1 while starting") == true)
    }

    /// Next to the test program, where the build puts all programs.
    static var brokerProgram: String? {
        BuildFolder.program("trionex-broker")
    }

    @Test("A scratch directory of a process that has gone is removed by the next one")
    func scratchIsSwept() throws {
        let stale = FileManager.default.temporaryDirectory.path(percentEncoded: false) + "/trionex-sweep-test-4194303-1"
        try FileManager.default.createDirectory(atPath: stale, withIntermediateDirectories: true)
        let mine = try ScratchDirectory("trionex-sweep-test")
        #expect(!FileManager.default.fileExists(atPath: stale))
        #expect(FileManager.default.fileExists(atPath: mine.path))
        mine.remove()
        #expect(!FileManager.default.fileExists(atPath: mine.path))
    }
}
