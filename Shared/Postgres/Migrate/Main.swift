import ArgumentParser
import Foundation
import Postgres

@main
struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-migrate",
        abstract: "Brings the database schemas of the services up to date.",
        discussion: """
            For each service it makes the schema <service> and the roles <service>_owner, <service> and <service>_platform, then applies \
            <migrations>/<service>/NNNN_<what>.sql in order, each in a transaction. Running it again changes nothing. Files that were \
            applied must not change afterwards. The password of the role <service> comes from TRIONEX_<SERVICE>_DATABASE_PASSWORD \
            (or the file named by the same with _FILE); without it a new role's password is its own name.
            """)

    @Option(help: "The libpq URI of a role that may create roles and schemas. Default: TRIONEX_DATABASE_ADMIN_URL.")
    var databaseURL: String?

    @Option(help: "The folder of migrations.")
    var migrations = "migrations"

    @Option(name: .customLong("service"), help: "Only this service; may be given several times. Default: all that have a folder.")
    var services: [String] = []

    @Flag(help: "List what is pending, change nothing, and exit with 1 if there is anything.")
    var check = false

    /// Unbuffered, so that progress shows while it happens.
    private static func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

    func run() async throws {
        guard let url = databaseURL ?? ProcessInfo.processInfo.environment["TRIONEX_DATABASE_ADMIN_URL"], !url.isEmpty else {
            throw ValidationError("Give --database-url, or set TRIONEX_DATABASE_ADMIN_URL.")
        }
        let migrator = Migrator(adminURL: url, folder: migrations) { line in Self.say(line) }
        do {
            if check {
                let pending = try await migrator.pending(services: services)
                for migration in pending { Self.say("pending: \(migration.path)") }
                if !pending.isEmpty { throw ExitCode(1) }
                Self.say("nothing is pending")
            } else {
                let applied = try await migrator.run(services: services)
                Self.say("\(applied.count) migration(s) applied")
            }
        } catch let failure as MigrationFailure {
            FileHandle.standardError.write(Data("trionex-migrate: \(failure)\n".utf8))
            throw ExitCode(2)
        }
    }
}
