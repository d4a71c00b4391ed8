import Contracts
import Foundation
import Testing

@testable import Postgres

@Suite("What a migration plan decides")
struct MigrationPlanTests {
    private func file(_ number: Int, _ sql: String = "SELECT 1") -> Migration {
        Migration(service: "notes", number: number, file: "000\(number)_step.sql", sql: sql, extensions: [])
    }

    private func applied(_ migration: Migration) -> AppliedMigration {
        AppliedMigration(number: migration.number, file: migration.file, checksum: migration.checksum)
    }

    @Test("What is not applied yet is pending, in order")
    func pending() throws {
        let plan = try MigrationPlan(files: [file(1), file(2), file(3)], applied: [applied(file(1))])
        #expect(plan.pending.map(\.number) == [2, 3])
    }

    @Test("A changed file is named")
    func changed() {
        let failure = #expect(throws: MigrationFailure.self) {
            try MigrationPlan(files: [file(1, "SELECT 2")], applied: [applied(file(1))])
        }
        #expect(failure?.description.contains("notes/0001_step.sql has changed") == true)
    }

    @Test("A new file before an applied one is refused")
    func order() {
        let failure = #expect(throws: MigrationFailure.self) {
            try MigrationPlan(files: [file(1), file(2)], applied: [applied(file(2))])
        }
        #expect(failure?.description.contains("notes/0001_step.sql stands before number 2") == true)
    }

    @Test("What a newer release has applied is left alone")
    func newer() throws {
        let plan = try MigrationPlan(files: [file(1)], applied: [applied(file(1)), applied(file(2))])
        #expect(plan.pending.isEmpty)
        #expect(plan.unknown.map(\.number) == [2])
    }
}

@Suite("The folder of migrations")
struct MigrationFolderTests {
    private func load(_ files: [String: String]) throws -> MigrationFolder {
        let folder = try MigrationFiles(files)
        defer { folder.remove() }
        return try MigrationFolder(path: folder.path)
    }

    @Test("Includes are expanded and belong to the checksum; extensions are gathered")
    func includes() throws {
        let text = "-- extension: pg_trgm\nBEFORE\n-- include: _shared/messaging.sql\nAFTER"
        let first = try load(["notes/0001_a.sql": text, "_shared/messaging.sql": "INCLUDED"])
        let second = try load(["notes/0001_a.sql": text, "_shared/messaging.sql": "CHANGED"])
        let migration = try #require(first.migrations["notes"]?.first)
        #expect(migration.sql == "-- extension: pg_trgm\nBEFORE\nINCLUDED\nAFTER")
        #expect(migration.extensions == ["pg_trgm"])
        #expect(first.services == ["notes"])
        #expect(migration.checksum != second.migrations["notes"]?.first?.checksum)
    }

    @Test(
        "Mistakes are named",
        arguments: [
            (["notes/1_a.sql": ""], "notes/1_a.sql is not named NNNN_<what>.sql"),
            (["notes/0002_a.sql": ""], "number 1 is missing before notes/0002_a.sql"),
            (["notes/0001_a.sql": "", "notes/0001_b.sql": ""], "notes/0001_b.sql has a number that is taken"),
            (["No-tes/0001_a.sql": ""], "No-tes is not a service's name"),
            (["notes/0001_a.sql": "-- include: ../secret.sql"], "may include only _shared/<name>.sql"),
            (["notes/0001_a.sql": "-- include: _shared/../x.sql"], "may include only _shared/<name>.sql"),
            (["notes/0001_a.sql": "-- include: _shared/absent.sql"], "_shared/absent.sql cannot be read"),
            (["notes/0001_a.sql": "-- include: _shared/a.sql", "_shared/a.sql": "-- include: _shared/a.sql"], "a fragment nothing"),
        ] as [([String: String], String)])
    func mistakes(_ files: [String: String], _ sentence: String) {
        let failure = #expect(throws: MigrationFailure.self) { try load(files) }
        #expect(failure?.description.contains(sentence) == true, "\(failure?.description ?? "")")
    }
}

@Suite("Migrating a database")
struct MigratorTests {
    /// A database of its own, and services whose names no other test uses: roles belong to the whole server.
    private func fresh() async throws -> (url: String, service: String, fixture: Fixture) {
        let fixture = try await Fixture.shared.value
        let name = "m\(UInt32.random(in: 0 ... .max))"
        try AdminConnection(url: fixture.url()).script("CREATE DATABASE \(name)")
        return (fixture.url(database: name), name, fixture)
    }

    private func table(_ name: String, for service: String) -> String {
        "CREATE TABLE \(name) (id int); GRANT SELECT ON \(name) TO \(service);"
    }

    @Test("Schema, roles and files are made once; again changes nothing; what is new is added")
    func idempotence() async throws {
        let (url, service, fixture) = try await fresh()
        let files = try MigrationFiles(["\(service)/0001_a.sql": table("a", for: service)])
        defer { files.remove() }
        let lines = Lines()
        let migrator = Migrator(adminURL: url, folder: files.path) { lines.add($0) }
        #expect(try await migrator.pending().map(\.path) == ["\(service)/0001_a.sql"])
        #expect(try await migrator.run().map(\.path) == ["\(service)/0001_a.sql"])
        #expect(try await migrator.run().isEmpty)
        #expect(try await migrator.pending().isEmpty)
        try files.write("\(service)/0002_b.sql", table("b", for: service))
        #expect(try await migrator.run(services: [service]).map(\.number) == [2])
        #expect(lines.all.contains { $0.hasPrefix("\(service)/0002_b.sql applied in") })
        #expect(lines.all.contains("\(service): up to date"))

        let rows = try AdminConnection(url: url).query(
            "SELECT tablename::text AS name, tableowner::text AS owner FROM pg_tables WHERE schemaname = \(service) ORDER BY 1")
        let owners: [String] = try rows.map { "\(try $0("name") as String) \(try $0("owner") as String)" }
        #expect(owners == ["a \(service)_owner", "b \(service)_owner"])
        let own = fixture.url(user: service, password: service, database: service)
        let row = try AdminConnection(url: own).query("SELECT count(*) AS count, current_schema()::text AS schema FROM a").first
        #expect(try row?("schema") as String? == service)
        #expect(throws: PostgresFailure.self) { try AdminConnection(url: own).script("CREATE TABLE mine (id int)") }
        #expect(throws: PostgresFailure.self) { try AdminConnection(url: own).script("SET ROLE \(service)_owner") }
    }

    @Test("A changed file stops everything and is named")
    func checksum() async throws {
        let (url, service, _) = try await fresh()
        let files = try MigrationFiles(["\(service)/0001_a.sql": table("a", for: service)])
        defer { files.remove() }
        let migrator = Migrator(adminURL: url, folder: files.path)
        try await migrator.run()
        try files.write("\(service)/0001_a.sql", table("c", for: service))
        try files.write("\(service)/0002_b.sql", table("b", for: service))
        let failure = await #expect(throws: MigrationFailure.self) { try await migrator.run() }
        #expect(failure?.description.contains("\(service)/0001_a.sql has changed") == true)
        #expect(try AdminConnection(url: url).query("SELECT 1 FROM pg_tables WHERE tablename = 'b'").isEmpty)
    }

    @Test("A file that fails is undone as a whole, those before it stay, and a second try goes on")
    func failure() async throws {
        let (url, service, _) = try await fresh()
        let files = try MigrationFiles([
            "\(service)/0001_a.sql": table("a", for: service),
            "\(service)/0002_b.sql": table("b", for: service) + "SELECT broken;",
        ])
        defer { files.remove() }
        let migrator = Migrator(adminURL: url, folder: files.path)
        let failure = await #expect(throws: MigrationFailure.self) { try await migrator.run() }
        #expect(failure?.description.contains("\(service)/0002_b.sql failed and was undone: column \"broken\" does not exist") == true)
        #expect(try AdminConnection(url: url).query("SELECT 1 FROM pg_tables WHERE tablename = 'b'").isEmpty)
        try files.write("\(service)/0002_b.sql", table("b", for: service))
        #expect(try await migrator.run().map(\.number) == [2])
    }

    @Test("A file that ends its transaction itself is refused")
    func ownCommit() async throws {
        let (url, service, _) = try await fresh()
        let files = try MigrationFiles(["\(service)/0001_a.sql": "SELECT 1; COMMIT;"])
        defer { files.remove() }
        await #expect(throws: MigrationFailure.self) { try await Migrator(adminURL: url, folder: files.path).run() }
    }

    @Test("Several migrators at once apply each file once")
    func concurrency() async throws {
        let (url, service, _) = try await fresh()
        let files = try MigrationFiles([
            "\(service)/0001_a.sql": table("a", for: service) + "SELECT pg_sleep(0.1);", "\(service)/0002_b.sql": table("b", for: service),
        ])
        defer { files.remove() }
        let migrator = Migrator(adminURL: url, folder: files.path)
        let counts = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 { group.addTask { try await migrator.run().count } }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(counts.sorted() == [0, 0, 0, 2])
    }

    @Test("One service in several databases of a server is migrated at once without quarrel over its roles")
    func sharedRoles() async throws {
        let (first, service, fixture) = try await fresh()
        let others = (1...3).map { "\(service)_\($0)" }
        for name in others { try AdminConnection(url: fixture.url()).script("CREATE DATABASE \(name)") }
        let files = try MigrationFiles(["\(service)/0001_a.sql": table("a", for: service)])
        defer { files.remove() }
        let counts = try await withThrowingTaskGroup(of: Int.self) { group in
            for url in [first] + others.map({ fixture.url(database: $0) }) {
                group.addTask { try await Migrator(adminURL: url, folder: files.path).run().count }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(counts == [1, 1, 1, 1])
    }

    @Test("A given password is set, also for a role that exists")
    func password() async throws {
        let (url, service, fixture) = try await fresh()
        let files = try MigrationFiles(["\(service)/0001_a.sql": table("a", for: service)])
        defer { files.remove() }
        try await Migrator(adminURL: url, folder: files.path).run()
        try await Migrator(adminURL: url, folder: files.path, password: { _ in "other'word" }).run()
        let old = fixture.url(user: service, password: service, database: service)
        #expect(throws: MigrationFailure.self) { try AdminConnection(url: old) }
        _ = try AdminConnection(url: fixture.url(user: service, password: "other'word", database: service))
    }

    @Test("Extensions are made before the file that wants them")
    func extensions() async throws {
        let (url, service, _) = try await fresh()
        let files = try MigrationFiles([
            "\(service)/0001_a.sql": "-- extension: pg_trgm\nCREATE TABLE a (t text); CREATE INDEX ON a USING gin (t gin_trgm_ops);"
        ])
        defer { files.remove() }
        #expect(try await Migrator(adminURL: url, folder: files.path).run().count == 1)
    }

    @Test("An administrator that is no superuser can migrate")
    func createRole() async throws {
        let (_, service, fixture) = try await fresh()
        let admin = "\(service)_admin"
        try AdminConnection(url: fixture.url()).script(
            "CREATE ROLE \(admin) LOGIN CREATEROLE PASSWORD 'x'; ALTER DATABASE \(service) OWNER TO \(admin)")
        let files = try MigrationFiles(["\(service)/0001_a.sql": table("a", for: service)])
        defer { files.remove() }
        let url = fixture.url(user: admin, password: "x", database: service)
        #expect(try await Migrator(adminURL: url, folder: files.path).run().count == 1)
        #expect(try await Migrator(adminURL: url, folder: files.path).run().isEmpty)
    }
}
