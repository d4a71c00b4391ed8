import Foundation
import Glibc

/// A private PostgreSQL on 127.0.0.1, with its data in a directory of ours.
///
/// As root the server runs as the user `postgres`, since PostgreSQL refuses to run as root; as anyone else it runs as
/// that user. Passwords are checked (SCRAM), as in production, so a role without a password is noticed here.
package final class PostgresServer: Sendable {
    /// The superuser's name and password, and the database that is made at the first start.
    package static let adminUser = "postgres"
    package static let adminPassword = "postgres"
    package static let database = "trionex"

    package let port: Int
    /// Where the data really is; differs from what was asked for when the user `postgres` could not reach that.
    package let directory: String
    /// The file that the server's messages go to.
    package let log: String
    package let process: ManagedProcess

    private init(port: Int, directory: String, process: ManagedProcess) {
        self.port = port
        self.directory = directory
        self.log = process.launch.log
        self.process = process
    }

    /// Makes the data directory when there is none, recovers one that a crash left, starts the server and waits until it answers.
    ///
    /// With `durable` false it neither syncs nor protects pages, and stops at once when this process dies: for tests.
    /// Throws a `StackFailure` when PostgreSQL is not installed, the port is in use, the directory is in use by
    /// another server or belongs to another version, or the server does not become ready.
    package static func start(in directory: String, port: Int, durable: Bool) async throws -> PostgresServer {
        try Ports.require(port, for: "PostgreSQL")
        let place = try await PostgresDirectory.prepare(directory)
        let binaries = try PostgresBinaries.find(version: place.version)
        if place.version == nil { try await initialize(place, with: binaries) }
        try place.clearAbandonedLock()

        var launch = place.launch(binaries.path("postgres"), ["-D", place.data], log: "server.log")
        for (name, value) in settings(port: port, durable: durable) { launch.arguments += ["-c", "\(name)=\(value)"] }
        launch.signalOnParentDeath = durable ? .interrupt : .quit
        let offset = LogFile(launch.log).size
        let server = PostgresServer(port: port, directory: place.path, process: try ManagedProcess.start(launch))
        do {
            try await server.waitUntilReady(place, logOffset: offset)
            try await server.createDatabase(place, with: binaries)
        } catch {
            await server.stop()
            throw error
        }
        return server
    }

    /// `postgres://user:password@127.0.0.1:port/database`; the superuser and the first database unless told otherwise.
    package func url(user: String = adminUser, password: String = adminPassword, database: String = database) -> String {
        "postgres://\(user):\(password)@127.0.0.1:\(port)/\(database)"
    }

    /// Ends the connections and stops, with everything on disk.
    package func stop() async { await process.stop(Self.stopSteps) }

    /// The same, blocking the thread. `abandoningData` stops at once, for tests that then remove the directory.
    package func stopBlocking(abandoningData: Bool = false) {
        process.stopBlocking(abandoningData ? [StopStep(.quit, grace: .seconds(5))] : Self.stopSteps)
    }

    // SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (PostgreSQL manual, 19.5).
    static let stopSteps = [StopStep(.interrupt, grace: .seconds(20)), StopStep(.quit, grace: .seconds(5))]
    private static let connectionLimit = 200
    private static let readyLimit: Duration = .seconds(60)

    private static func settings(port: Int, durable: Bool) -> [(String, String)] {
        var settings = [
            ("listen_addresses", "127.0.0.1"), ("port", "\(port)"), ("unix_socket_directories", ""),
            ("max_connections", "\(connectionLimit)"), ("timezone", "UTC"), ("log_timezone", "UTC"),
        ]
        if !durable { settings += [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")] }
        return settings
    }

    /// Runs initdb beside the final place, so that a half-made directory is never taken for a whole one.
    private static func initialize(_ place: PostgresDirectory, with binaries: PostgresBinaries) async throws {
        let passwordFile = try place.writeSecret(adminPassword, named: "password")
        defer { try? FileManager.default.removeItem(atPath: passwordFile) }
        let unfinished = place.data + ".new"
        if FileManager.default.fileExists(atPath: unfinished) { try FileManager.default.removeItem(atPath: unfinished) }
        let arguments = [
            "-D", unfinished, "-U", adminUser, "--pwfile", passwordFile, "-A", "scram-sha-256",
            "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
        ]
        let (exit, output) = try await ManagedProcess.run(place.launch(binaries.path("initdb"), arguments, log: "initdb.log"))
        guard exit.succeeded else { throw StackFailure("initdb \(exit): \(output.suffix(2_000))") }
        try FileManager.default.moveItem(atPath: unfinished, toPath: place.data)
    }

    /// Waits for the word that the server itself writes into its lock file, as pg_ctl(1) does.
    private func waitUntilReady(_ place: PostgresDirectory, logOffset: UInt64) async throws {
        let deadline = ContinuousClock.now + Self.readyLimit
        while place.lock?.readyServer != process.pid {
            if let exit = process.exit {
                throw StackFailure("PostgreSQL \(exit) while starting; its log \(log) ends:\n\(LogFile(log).lastLines(8, from: logOffset))")
            }
            guard ContinuousClock.now < deadline else {
                throw StackFailure("PostgreSQL was not ready within \(Self.readyLimit.components.seconds) s; see \(log).")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func createDatabase(_ place: PostgresDirectory, with binaries: PostgresBinaries) async throws {
        var launch = place.launch(
            binaries.path("createdb"), ["-h", "127.0.0.1", "-p", "\(port)", "-U", Self.adminUser, "-w", Self.database], log: "createdb.log")
        launch.environment["PGPASSWORD"] = Self.adminPassword
        let (exit, output) = try await ManagedProcess.run(launch)
        guard exit.succeeded || output.contains("already exists") else { throw StackFailure("createdb \(exit): \(output)") }
    }
}
