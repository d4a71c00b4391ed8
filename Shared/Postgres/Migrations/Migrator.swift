import Foundation

/// Brings the schemas of services up to date: roles and schema first, then the files that are not applied yet, in order.
///
/// Forward only and checksummed; two migrators of one database wait for each other. Each file runs in a transaction of its own as
/// `<service>_owner` with the service's schema first on the search path, so what it makes belongs to that role.
package struct Migrator: Sendable {
    /// How long it waits for another migrator.
    package static let lockLimit: Duration = .seconds(120)
    /// How long a statement of a migration waits for a table that is in use.
    package static let tableLockLimit: Duration = .seconds(30)
    /// Any constant will do: it is what migrators of one database have in common.
    private static let lockKey = 0x5452_494F_4E45_58

    private let adminURL: String
    private let folder: String
    private let password: @Sendable (String) -> String?
    private let progress: @Sendable (String) -> Void

    /// `adminURL` is a libpq URI of a role that may create roles and schemas. `folder` is the path of `migrations`.
    /// `progress` receives a line for each thing done.
    /// `password` is asked for the password of a service's role; nil keeps the one it has, or sets the role's name for a new role.
    package init(
        adminURL: String, folder: String,
        progress: @escaping @Sendable (String) -> Void = { _ in },
        password: @escaping @Sendable (String) -> String? = { Migrator.passwordFromEnvironment($0) }
    ) {
        self.adminURL = adminURL
        self.folder = folder
        self.password = password
        self.progress = progress
    }

    /// `TRIONEX_<SERVICE>_DATABASE_PASSWORD`, or the text of the file that the same name with `_FILE` names.
    package static func passwordFromEnvironment(_ service: String) -> String? {
        let name = "TRIONEX_\(service.uppercased())_DATABASE_PASSWORD"
        let environment = ProcessInfo.processInfo.environment
        if let value = environment[name], !value.isEmpty { return value }
        guard let file = environment["\(name)_FILE"], let data = FileManager.default.contents(atPath: file) else { return nil }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return text.isEmpty ? nil : text
    }

    /// Applies what is pending and returns it. No services means all that have a folder.
    @discardableResult
    package func run(services: [String] = []) async throws -> [Migration] {
        try await onThread { try migrate(services) }
    }

    /// What `run` would apply. Changes nothing; a service that has never been migrated has everything pending.
    package func pending(services: [String] = []) async throws -> [Migration] {
        try await onThread {
            let files = try chosen(services)
            let connection = try AdminConnection(url: adminURL)
            return try files.flatMap { try MigrationPlan(files: $0.files, applied: applied($0.service, connection)).pending }
        }
    }

    /// The connection blocks, which the cooperative pool must not.
    private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            let thread = Thread { continuation.resume(with: Result { try body() }) }
            thread.name = "migrate"
            thread.start()
        }
    }

    private func chosen(_ services: [String]) throws -> [(service: String, files: [Migration])] {
        let folder = try MigrationFolder(path: folder)
        for service in services where folder.migrations[service] == nil {
            throw MigrationFailure("there are no migrations for \(service); there are for: \(folder.services.joined(separator: ", "))")
        }
        let names = services.isEmpty ? folder.services : services
        return names.map { ($0, folder.migrations[$0] ?? []) }
    }

    private func migrate(_ services: [String]) throws -> [Migration] {
        let files = try chosen(services)
        let connection = try AdminConnection(url: adminURL)
        try lock(connection)
        try connection.script(
            """
            CREATE SCHEMA IF NOT EXISTS trionex_migrations;
            CREATE TABLE IF NOT EXISTS trionex_migrations.applied (
                service text NOT NULL, number int NOT NULL, file text NOT NULL, checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (service, number));
            """)
        var done: [Migration] = []
        for (service, files) in files {
            try Roles(connection: connection, service: service, password: password(service)).make()
            let plan = try MigrationPlan(files: files, applied: applied(service, connection))
            for newer in plan.unknown { progress("\(service)/\(newer.file) was applied by a newer release: left alone") }
            for migration in plan.pending {
                try apply(migration, connection)
                done.append(migration)
            }
            if plan.pending.isEmpty { progress("\(service): up to date") }
        }
        return done
    }

    private func lock(_ connection: AdminConnection) throws {
        let deadline = ContinuousClock.now + Self.lockLimit
        var hasSaid = false
        while true {
            let rows = try connection.query("SELECT pg_try_advisory_lock(\(Self.lockKey)) AS mine")
            if try rows.first?("mine") ?? false { return }
            guard ContinuousClock.now < deadline else { throw MigrationFailure("another migration holds the lock for too long") }
            if !hasSaid { progress("waiting for another migration of this database") }
            hasSaid = true
            Thread.sleep(forTimeInterval: 0.1)
        }
    }

    private func applied(_ service: String, _ connection: AdminConnection) throws -> [AppliedMigration] {
        let table: String? = try connection.query("SELECT to_regclass('trionex_migrations.applied')::text AS name").first?("name")
        guard table != nil else { return [] }
        return try connection.query(
            "SELECT number, file, checksum FROM trionex_migrations.applied WHERE service = \(service) ORDER BY number"
        ).map { row in
            AppliedMigration(number: try row("number"), file: try row("file"), checksum: try row("checksum"))
        }
    }

    private func apply(_ migration: Migration, _ connection: AdminConnection) throws {
        let start = ContinuousClock.now
        do {
            for name in migration.extensions {
                try connection.script("CREATE EXTENSION IF NOT EXISTS \(try connection.identifier(name)) WITH SCHEMA public")
            }
            let owner = try connection.identifier("\(migration.service)_owner"), schema = try connection.identifier(migration.service)
            try connection.script(
                """
                BEGIN;
                SET LOCAL ROLE \(owner);
                SET LOCAL search_path = \(schema), public;
                SET LOCAL lock_timeout = \(Self.tableLockLimit.milliseconds)
                """)
            try connection.script(migration.sql)
            // A COMMIT of its own would leave half of it behind on an error.
            guard connection.isInTransaction else { throw MigrationFailure("it must not end its transaction itself") }
            try connection.script("RESET ROLE")
            try connection.query(
                """
                INSERT INTO trionex_migrations.applied (service, number, file, checksum) \
                VALUES (\(migration.service), \(migration.number), \(migration.file), \(migration.checksum))
                """)
            try connection.script("COMMIT")
        } catch {
            try? connection.script("ROLLBACK")
            let reason = (error as? PostgresFailure).map { "\($0.message) (SQLSTATE \($0.sqlState))" } ?? "\(error)"
            throw MigrationFailure("\(migration.path) failed and was undone: \(reason)")
        }
        progress("\(migration.path) applied in \(Int((ContinuousClock.now - start) / .milliseconds(1))) ms")
    }
}
