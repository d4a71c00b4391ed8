import Contracts
import DevStack
import Foundation
import Logging
import Synchronization
import Testing

@testable import Postgres

/// One PostgreSQL for all tests of this module, with the service `notes` migrated. Each test takes fresh tenants.
struct Fixture: Sendable {
    let server: PostgresServer
    let scratch: ScratchDirectory

    static let service = ServiceName(rawValue: "notes")
    static let shared = Task { try await Fixture.start(migrated: true) }

    static func start(migrated: Bool) async throws -> Fixture {
        let scratch = try ScratchDirectory("trionex-postgres-tests")
        AtExit.perform { scratch.remove() }
        let server = try await PostgresServer.start(in: scratch.path + "/postgres", port: try Ports.free(), durable: false)
        AtExit.perform { server.stopBlocking(abandoningData: true) }
        let fixture = Fixture(server: server, scratch: scratch)
        if migrated {
            let folder = try MigrationFiles(["notes/0001_notes.sql": Self.schema])
            defer { folder.remove() }
            try await Migrator(adminURL: server.url(), folder: folder.path).run()
        }
        return fixture
    }

    /// The superuser's and the first database's, unless told otherwise.
    func url(
        user: String = PostgresServer.adminUser, password: String = PostgresServer.adminPassword, database: String = PostgresServer.database
    ) -> String { server.url(user: user, password: password, database: database) }

    var configuration: DatabaseConfiguration { DatabaseConfiguration(url: server.url(user: "notes", password: "notes")) }

    /// A client of its own, closed with the test.
    func database(
        placement: Placement = .shared, now: @escaping @Sendable () -> Date = { Date() },
        _ change: (inout DatabaseConfiguration) -> Void
    ) -> Database {
        var configuration = configuration
        change(&configuration)
        return Database(configuration, service: Self.service, placement: placement, logger: Self.quiet, now: now)
    }

    func database(placement: Placement = .shared, now: @escaping @Sendable () -> Date = { Date() }) -> Database {
        database(placement: placement, now: now) { _ in }
    }

    static let quiet: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    /// Runs a statement as the superuser and returns its first field as text.
    func asAdmin(_ sql: SQL) throws -> String? {
        try AdminConnection(url: server.url()).query(sql).first?("value")
    }

    static let schema = """
        CREATE TABLE notes (
            id uuid PRIMARY KEY, tenant_id uuid NOT NULL, body text NOT NULL, position bigint NOT NULL DEFAULT 0,
            CONSTRAINT notes_position_is_positive CHECK (position >= 0));
        CREATE INDEX ON notes (tenant_id);
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        ALTER TABLE notes FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON notes
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO notes;

        CREATE TABLE letters (id uuid PRIMARY KEY, tenant_id uuid NOT NULL, body text NOT NULL);
        ALTER TABLE letters ENABLE ROW LEVEL SECURITY;
        ALTER TABLE letters FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON letters
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        CREATE POLICY platform ON letters FOR SELECT TO notes_platform USING (true);
        GRANT SELECT, INSERT ON letters TO notes;
        GRANT SELECT ON letters TO notes_platform;

        CREATE TYPE mood AS ENUM ('calm', 'glad');
        CREATE TABLE kinds (
            id uuid PRIMARY KEY, tenant_id uuid NOT NULL, small smallint, whole integer, big bigint, ratio double precision,
            flag boolean, label text, short varchar(20), moment timestamptz, day date, bytes bytea, document jsonb, mood mood,
            labels text[], numbers bigint[], ids uuid[]);
        ALTER TABLE kinds ENABLE ROW LEVEL SECURITY;
        ALTER TABLE kinds FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON kinds
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE, DELETE ON kinds TO notes;
        """
}

extension Caller {
    /// Somebody in an organization that no other test knows.
    static func fresh() -> Caller { Caller(.person(.make()), tenant: .make(), permissions: ["*"]) }
}

/// Runs `body` with a client of its own and closes it afterwards.
func withDatabase<T>(
    placement: Placement = .shared, now: Date? = nil, _ body: (Database, Fixture) async throws -> T
) async throws -> T {
    let fixture = try await Fixture.shared.value
    return try await using(fixture.database(placement: placement, now: { now ?? Date() }), fixture, body)
}

/// The same, with a configuration of its own.
func withDatabase<T>(
    _ change: (inout DatabaseConfiguration) -> Void, _ body: (Database, Fixture) async throws -> T
) async throws -> T {
    let fixture = try await Fixture.shared.value
    return try await using(fixture.database(change), fixture, body)
}

private func using<T>(
    _ database: Database, _ fixture: Fixture, _ body: (Database, Fixture) async throws -> T
) async throws -> T {
    let result: Result<T, any Error>
    do { result = .success(try await body(database, fixture)) } catch { result = .failure(error) }
    await database.shutdown()
    return try result.get()
}

extension Query where Output == Int {
    static var countOfNotes: Query<Int> { Query("SELECT count(*) AS count FROM notes", column: "count") }
}

/// `INSERT` of one note for the tenant of `caller`.
func insertion(_ body: String, _ caller: Caller, id: UUID = .version7(), position: Int = 0) -> SQL {
    "INSERT INTO notes (id, tenant_id, body, position) VALUES (\(id), \(caller.tenant), \(body), \(position))"
}

/// A folder of migrations that lasts as long as a test.
struct MigrationFiles {
    let path: String

    init(_ files: [String: String]) throws {
        path = NSTemporaryDirectory() + "trionex-migrations-\(UUID().uuidString)"
        for (name, text) in files { try write(name, text) }
    }

    func write(_ name: String, _ text: String) throws {
        let file = URL(filePath: "\(path)/\(name)")
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// Collects lines from any thread.
final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

/// Asks until it is true, for at most half a minute.
func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < deadline {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// Fails the test: the decision was of another kind.
func unexpected(_ location: SourceLocation = #_sourceLocation) { Issue.record("another decision was made", sourceLocation: location) }
