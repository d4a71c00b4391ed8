import Contracts
import DevStack
import Foundation
import Testing

@testable import Postgres

@Suite("When the server goes away")
struct RecoveryTests {
    @Test("After a restart of the server everything works again by itself")
    func restart() async throws {
        let fixture = try await Fixture.start(migrated: true)
        let database = fixture.database()
        let caller = Caller.fresh()
        try await database.execute(insertion("a", caller), as: caller)
        try await database.transaction(as: caller) { tx in _ = try tx.execute(insertion("b", caller)) }

        await fixture.server.stop()
        let failure = await #expect(throws: DependencyFailure.self) { try await database.query(.countOfNotes, as: caller) }
        #expect(failure?.dependency == "database")
        await #expect(throws: DependencyFailure.self) { try await database.ping() }

        let again = try await PostgresServer.start(in: fixture.scratch.path + "/postgres", port: fixture.server.port, durable: false)
        #expect(try await eventually { (try? await database.query(.countOfNotes, as: caller)) == [2] })
        #expect(try await eventually { (try? await database.transaction(as: caller) { try $0.first(.countOfNotes) }) == 2 })
        try await database.ping()
        await database.shutdown()
        await again.stop()
    }

    @Test("A restart while the connections are idle is not even noticed")
    func idleRestart() async throws {
        let fixture = try await Fixture.start(migrated: true)
        let database = fixture.database()
        let caller = Caller.fresh()
        try await database.execute(insertion("a", caller), as: caller)
        try await database.transaction(as: caller) { tx in _ = try tx.first(.countOfNotes) }
        await fixture.server.stop()
        let again = try await PostgresServer.start(in: fixture.scratch.path + "/postgres", port: fixture.server.port, durable: false)
        #expect(try await database.query(.countOfNotes, as: caller) == [1])
        #expect(try await database.transaction(as: caller) { try $0.first(.countOfNotes) } == 1)
        await database.shutdown()
        await again.stop()
    }

    @Test("Connections ended in the midst of work fail their own callers, write nothing twice, and are replaced")
    func terminated() async throws {
        let fixture = try await Fixture.shared.value
        let name = "ended\(UInt32.random(in: 0 ... .max))"
        let database = Database(fixture.configuration, service: ServiceName(rawValue: name), logger: Fixture.quiet)
        let caller = Caller.fresh()
        let killer = Task {
            while !Task.isCancelled {
                _ = try fixture.asAdmin(
                    """
                    SELECT count(pg_terminate_backend(pid))::text AS value FROM pg_stat_activity \
                    WHERE application_name = \("trionex-\(name)")
                    """)
                try await Task.sleep(for: .milliseconds(15))
            }
        }
        let outcomes = await withTaskGroup(of: (position: Int, outcome: Bool?).self) { group in
            for task in 0..<8 {
                group.addTask {
                    var unexpected = 0
                    for turn in 0..<60 {
                        let position = task * 1000 + turn
                        do {
                            if turn % 2 == 0 {
                                try await database.execute(insertion("x", caller, position: position), as: caller)
                            } else {
                                try await database.transaction(as: caller) { tx in
                                    _ = try tx.execute(insertion("x", caller, position: position))
                                }
                            }
                        } catch is DependencyFailure {} catch { unexpected += 1 }
                    }
                    return (task, unexpected == 0)
                }
            }
            return await group.reduce(into: [(position: Int, outcome: Bool?)]()) { $0.append($1) }
        }
        killer.cancel()
        #expect(outcomes.allSatisfy { $0.outcome == true })
        let doubled = Query<Int>(
            "SELECT count(*) AS count FROM (SELECT position FROM notes GROUP BY position HAVING count(*) > 1) AS twice", column: "count")
        #expect(try await eventually { (try? await database.first(doubled, as: caller)) == 0 })
        await database.shutdown()
    }

    @Test("Without a server callers are answered soon, and after the first moment at once")
    func absent() async throws {
        let port = try Ports.free()
        var configuration = DatabaseConfiguration(url: "postgres://notes:notes@127.0.0.1:\(port)/trionex")
        configuration.acquireTimeout = .seconds(8)
        let database = Database(configuration, service: Fixture.service, logger: Fixture.quiet)
        await #expect(throws: DependencyFailure.self) { try await database.execute("SELECT 1", as: .fresh()) }
        let start = ContinuousClock.now
        let failure = await #expect(throws: DependencyFailure.self) { try await database.execute("SELECT 1", as: .fresh()) }
        #expect(ContinuousClock.now - start < .seconds(4))
        #expect(failure?.reason.contains("notes:notes") == false)
        await database.shutdown()
    }

    @Test("A wrong password is told without the password")
    func wrongPassword() async throws {
        try await withDatabase {
            $0.url = $0.url.replacing("notes:notes@", with: "notes:guess-7381@")
            $0.acquireTimeout = .seconds(3)
        } _: { database, _ in
            let failure = await #expect(throws: DependencyFailure.self) { try await database.execute("SELECT 1", as: .fresh()) }
            #expect(failure?.reason.contains("password authentication failed") == true)
            #expect(failure?.reason.contains("7381") == false)
        }
    }

    @Test("A listener hears what is notified, and says when it has reconnected")
    func listening() async throws {
        let fixture = try await Fixture.shared.value
        let name = "heard\(UInt32.random(in: 0 ... .max))"
        let database = Database(fixture.configuration, service: ServiceName(rawValue: name), logger: Fixture.quiet)
        let heard = Lines()
        let stream = database.listen("news \"quoted\"")
        let reader = Task { for await text in stream { heard.add(text) } }
        #expect(try await eventually { heard.all == [""] })
        try await database.execute("SELECT pg_notify('news \"quoted\"', 'one')", as: .fresh())
        #expect(try await eventually { heard.all == ["", "one"] })
        let end: SQL = """
            SELECT count(pg_terminate_backend(pid))::text AS value FROM pg_stat_activity \
            WHERE application_name = \("trionex-\(name)") AND query LIKE 'LISTEN%'
            """
        #expect(try fixture.asAdmin(end) == "1")
        #expect(try await eventually { heard.all == ["", "one", ""] })
        try await database.execute("SELECT pg_notify('news \"quoted\"', 'two')", as: .fresh())
        #expect(try await eventually { heard.all == ["", "one", "", "two"] })
        await database.shutdown()
        await reader.value
    }
}
