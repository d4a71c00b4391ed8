import Contracts
import Foundation
import Testing

@testable import Postgres

@Suite("Tenants are kept apart")
struct IsolationTests {
    @Test("Thousands of batched statements of two tenants see their own rows only")
    func batching() async throws {
        try await withDatabase { database, _ in
            let callers = [Caller.fresh(), Caller.fresh()]
            for (index, caller) in callers.enumerated() {
                for number in 0..<5 { try await database.execute(insertion("of \(index)", caller, position: number), as: caller) }
            }
            let all = Query<TenantID>("SELECT tenant_id FROM notes", column: "tenant_id")
            let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
                for task in 0..<32 {
                    group.addTask {
                        var wrong = 0
                        for turn in 0..<125 {
                            let caller = callers[(task + turn) % 2]
                            let tenants = try await database.query(all, as: caller)
                            if tenants != Array(repeating: caller.tenant, count: 5) { wrong += 1 }
                        }
                        return wrong
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(wrong == 0)
        }
    }

    @Test("Closures and batches side by side see their own rows only")
    func mixed() async throws {
        try await withDatabase { database, _ in
            let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        let caller = Caller.fresh()
                        try await database.execute(insertion("one", caller), as: caller)
                        var wrong = 0
                        for _ in 0..<10 {
                            let inside = try await database.transaction(as: caller) { tx in try tx.query(.countOfNotes) }
                            let outside = try await database.query(.countOfNotes, as: caller)
                            if inside != [1] || outside != [1] { wrong += 1 }
                        }
                        return wrong
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(wrong == 0)
        }
    }

    @Test("A row for another tenant is refused")
    func writing() async throws {
        try await withDatabase { database, _ in
            let mine = Caller.fresh(), other = Caller.fresh()
            let failure = await #expect(throws: PostgresFailure.self) { try await database.execute(insertion("x", other), as: mine) }
            #expect(failure?.isDenied == true)
            let count = try await database.first(.countOfNotes, as: other)
            #expect(count == 0)
        }
    }

    @Test("The failure of one statement leaves its neighbours in the pipeline intact")
    func neighbours() async throws {
        try await withDatabase { configuration in
            configuration.batchConnections = 1
        } _: { database, _ in
            let caller = Caller.fresh()
            let outcomes = await withTaskGroup(of: (Int, Bool).self) { group in
                for number in 0..<400 {
                    group.addTask {
                        do {
                            // Every fourth breaks a constraint, every fifth is not even SQL.
                            let position = number % 4 == 0 ? -1 : number
                            let sql: SQL = number % 5 == 0 ? "SELEKT \(number)" : insertion("x", caller, position: position)
                            try await database.execute(sql, as: caller)
                            return (number, true)
                        } catch {
                            return (number, false)
                        }
                    }
                }
                return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            #expect(outcomes.allSatisfy { number, succeeded in succeeded == (number % 4 != 0 && number % 5 != 0) })
            let count = try await database.first(.countOfNotes, as: caller)
            #expect(count == outcomes.values.count { $0 })
        }
    }

    @Test("A constraint checked at commit fails its own statement only")
    func deferredConstraint() async throws {
        try await withDatabase { configuration in
            configuration.batchConnections = 1
        } _: { database, fixture in
            let connection = try AdminConnection(url: fixture.url())
            let table = "deferred_\(UInt32.random(in: 0 ... .max))"
            try connection.script(
                """
                CREATE TABLE notes.\(table) (id int PRIMARY KEY, parent int REFERENCES notes.\(table) DEFERRABLE INITIALLY DEFERRED);
                GRANT SELECT, INSERT ON notes.\(table) TO notes;
                """)
            defer { try? connection.script("DROP TABLE notes.\(table)") }
            let caller = Caller.fresh()
            let failed = await withTaskGroup(of: Int?.self) { group in
                for number in 0..<40 {
                    group.addTask {
                        let parent = number % 2 == 0 ? number : -1
                        let sql = SQL(trusted: "INSERT INTO \(table) VALUES (\(number), \(parent))")
                        do { try await database.execute(sql, as: caller) } catch let failure as PostgresFailure {
                            return failure.isForeignKeyViolation ? number : -1
                        } catch { return -2 }
                        return nil
                    }
                }
                return await group.reduce(into: Set<Int>()) { if let number = $1 { $0.insert(number) } }
            }
            #expect(failed == Set(stride(from: 1, to: 40, by: 2)))
        }
    }

    @Test("Without a tenant there are no rows, and the platform's door shows what was granted and no more")
    func platformDoor() async throws {
        try await withDatabase { database, _ in
            let one = Caller.fresh(), two = Caller.fresh()
            for caller in [one, two] {
                try await database.execute(
                    "INSERT INTO letters (id, tenant_id, body) VALUES (\(UUID()), \(caller.tenant), 'x')", as: caller)
            }
            let tenants = try await database.platform(PlatformWork("test-letters")) { tx in
                try tx.query(Query<TenantID>("SELECT tenant_id FROM letters", column: "tenant_id"))
            }
            #expect(Set(tenants).isSuperset(of: [one.tenant, two.tenant]))
            for forbidden: SQL in ["SELECT 1 FROM notes", "DELETE FROM letters", "CREATE TABLE mine (id int)"] {
                let failure = await #expect(throws: PostgresFailure.self) {
                    try await database.platform(PlatformWork("test-forbidden")) { tx in _ = try tx.execute(forbidden) }
                }
                #expect(failure?.isDenied == true)
            }
            // The role does not stay on the connection.
            let (count, who) = try await database.transaction(as: one) { tx in
                let count = try tx.first(Query<Int>("SELECT count(*) AS count FROM letters", column: "count"))
                return (count, try tx.first(Query<String>("SELECT current_user::text AS who", column: "who")))
            }
            #expect(count == 1)
            #expect(who == "notes")
        }
    }

    @Test("A role that row-level security does not bind is refused")
    func superuser() async throws {
        try await withDatabase { configuration in
            configuration.url = configuration.url.replacing("notes:notes@", with: "postgres:postgres@")
            configuration.acquireTimeout = .seconds(3)
        } _: { database, _ in
            let failure = await #expect(throws: DependencyFailure.self) { try await database.execute("SELECT 1", as: .fresh()) }
            #expect(failure?.reason.contains("row-level security") == true)
            #expect(failure?.isRefusedConnection == true)
        }
    }

    @Test("A server that refuses the role is told from one that is not there", arguments: ["password", "database", "port"])
    func refusal(_ wrong: String) async throws {
        try await withDatabase { configuration in
            switch wrong {
            case "password": configuration.url = configuration.url.replacing("notes:notes@", with: "notes:sesame@")
            case "database": configuration.url += "_nosuch"
            default: configuration.url = "postgres://notes:notes@127.0.0.1:1/notes"
            }
            configuration.acquireTimeout = .seconds(3)
        } _: { database, _ in
            let failure = await #expect(throws: DependencyFailure.self) { try await database.execute("SELECT 1", as: .fresh()) }
            #expect(failure?.isRefusedConnection == (wrong != "port"), "\(failure?.reason ?? "")")
            #expect(failure?.reason.contains("sesame") == false)
        }
    }

    @Test("A tenant with a schema of its own finds its rows there")
    func placement() async throws {
        let moved = Caller.fresh(), shared = Caller.fresh()
        let schema = "tenant_\(UInt32.random(in: 0 ... .max))"
        let placement = Placement { $0 == moved.tenant ? schema : nil }
        try await withDatabase(placement: placement) { database, fixture in
            try AdminConnection(url: fixture.url()).script(
                """
                CREATE SCHEMA \(schema);
                CREATE TABLE \(schema).notes (LIKE notes.notes INCLUDING ALL);
                GRANT USAGE ON SCHEMA \(schema) TO notes; GRANT SELECT, INSERT ON \(schema).notes TO notes;
                """)
            for caller in [moved, shared] { try await database.execute(insertion("x", caller), as: caller) }
            for _ in 0..<20 {
                async let first = database.query(.countOfNotes, as: moved)
                async let second = database.query(.countOfNotes, as: shared)
                #expect(try await [first, second] == [[1], [1]])
            }
            let count = try await database.transaction(as: moved) { try $0.query(.countOfNotes) }
            #expect(count == [1])
            #expect(try fixture.asAdmin(SQL(trusted: "SELECT count(*)::text AS value FROM \(schema).notes")) == "1")
        }
    }
}
