import Contracts
import Foundation
import Synchronization
import Testing

@testable import Postgres

@Suite("Limits, cancellation and modes")
struct LimitsTests {
    private static let sleep: SQL = "SELECT pg_sleep(30)"

    @Test("A statement that takes too long is ended and answered as unavailable, batched and held")
    func statementTimeout() async throws {
        try await withDatabase {
            $0.statementTimeout = .milliseconds(150)
        } _: { (database, _) async throws in
            let start = ContinuousClock.now
            await #expect(throws: DependencyFailure.self) { try await database.execute(Self.sleep, as: .fresh()) }
            await #expect(throws: DependencyFailure.self) { try await database.execute(Self.sleep, as: .fresh(), slow: true) }
            await #expect(throws: DependencyFailure.self) {
                try await database.transaction(as: .fresh()) { tx in _ = try tx.execute(Self.sleep) }
            }
            #expect(ContinuousClock.now - start < .seconds(10))
            #expect(try await database.first(.countOfNotes, as: .fresh()) == 0)
        }
    }

    @Test("A pool in full use answers unavailable after the time to wait")
    func exhaustion() async throws {
        try await withDatabase {
            $0.interactiveConnections = 1
            $0.acquireTimeout = .seconds(2)
        } _: { (database, _) async throws in
            let gate = Gate()
            async let holder: Void = database.transaction(as: .fresh()) { _ in gate.wait() }
            #expect(try await eventually { gate.isAwaited })
            let failure = await #expect(throws: DependencyFailure.self) { try await database.transaction(as: .fresh()) { _ in } }
            #expect(failure?.dependency == "database")
            gate.open()
            try await holder
            try await database.transaction(as: .fresh()) { _ in }
        }
    }

    @Test("A full line refuses at once")
    func fullLine() async throws {
        try await withDatabase {
            $0.interactiveConnections = 1
            $0.queueLimit = 2
        } _: { (database, _) async throws in
            let gate = Gate()
            let outcomes = await withTaskGroup(of: Bool.self) { group in
                group.addTask { (try? await database.transaction(as: .fresh()) { _ in gate.wait() }) != nil }
                _ = try? await eventually { gate.isAwaited }
                for _ in 0..<6 {
                    group.addTask { (try? await database.transaction(as: .fresh()) { _ in }) != nil }
                }
                try? await Task.sleep(for: .milliseconds(200))
                gate.open()
                return await group.reduce(into: [Bool]()) { $0.append($1) }
            }
            #expect(outcomes.count { $0 } == 3)
        }
    }

    @Test("A cancelled caller leaves the line at once")
    func cancelledInLine() async throws {
        try await withDatabase {
            $0.interactiveConnections = 1
        } _: { (database, _) async throws in
            let gate = Gate()
            let wasRun = Lines()
            async let holder: Void = database.transaction(as: .fresh()) { _ in gate.wait() }
            #expect(try await eventually { gate.isAwaited })
            let waiting = Task { try await database.transaction(as: .fresh()) { _ in wasRun.add("run") } }
            try await Task.sleep(for: .milliseconds(50))
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            gate.open()
            try await holder
            try await database.transaction(as: .fresh()) { _ in }
            #expect(wasRun.all.isEmpty)
        }
    }

    @Test("A task that is cancelled already runs nothing")
    func cancelledBefore() async throws {
        try await withDatabase { (database, _) async throws in
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                _ = try await database.execute("SELECT 1", as: .fresh())
            }
            await #expect(throws: CancellationError.self) { try await task.value }
        }
    }

    @Test("A cancelled statement is ended on the server, and its transaction undone")
    func cancelledRunning() async throws {
        try await withDatabase { (database, fixture) async throws in
            let caller = Caller.fresh()
            let mark = "SELECT pg_sleep(29.\(Int.random(in: 1000...9999)))"
            let closure = Task {
                try await database.transaction(as: caller) { tx in
                    try tx.execute(insertion("a", caller))
                    _ = try tx.execute(SQL(trusted: mark))
                }
            }
            let running: SQL = "SELECT count(*)::text AS value FROM pg_stat_activity WHERE state = 'active' AND query = \(mark)"
            #expect(try await eventually { try fixture.asAdmin(running) == "1" })
            closure.cancel()
            await #expect(throws: CancellationError.self) { try await closure.value }
            #expect(try await eventually { try fixture.asAdmin(running) == "0" })
            #expect(try await database.first(.countOfNotes, as: caller) == 0)

            for slow in [false, true] {
                let alone = Task { try await database.execute(SQL(trusted: mark), as: caller, slow: slow) }
                #expect(try await eventually { try fixture.asAdmin(running) == "1" })
                alone.cancel()
                await #expect(throws: CancellationError.self) { try await alone.value }
                #expect(try await eventually { try fixture.asAdmin(running) == "0" })
            }
        }
    }

    @Test("Hundreds of cancellations at random moments hit nobody else")
    func innocents() async throws {
        try await withDatabase {
            $0.interactiveConnections = 3
        } _: { database, _ in
            let caller = Caller.fresh()
            let surprises = try await withThrowingTaskGroup(of: Int.self) { group in
                for worker in 0..<6 {
                    group.addTask {
                        for turn in 0..<60 {
                            let victim = Task {
                                if turn % 2 == 0 {
                                    _ = try await database.execute("SELECT pg_sleep(0.004)", as: caller, slow: turn % 4 == 0)
                                } else {
                                    try await database.transaction(as: caller) { tx in
                                        for _ in 0..<4 { try tx.execute("SELECT pg_sleep(0.001)") }
                                    }
                                }
                            }
                            try await Task.sleep(for: .microseconds(Int.random(in: 0...6000)))
                            victim.cancel()
                            do { try await victim.value } catch is CancellationError {} catch { return 1000 + worker }
                        }
                        return 0
                    }
                    group.addTask {
                        var failed = 0
                        for _ in 0..<150 {
                            do {
                                _ = try await database.execute("SELECT pg_sleep(0.001)", as: caller)
                                try await database.transaction(as: caller) { tx in _ = try tx.execute("SELECT pg_sleep(0.001)") }
                            } catch { failed += 1 }
                        }
                        return failed
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(surprises == 0)
        }
    }

    @Test("Unnamed statements work alike, with their time-out, and prepare nothing")
    func unnamed() async throws {
        try await withDatabase {
            $0.preparedStatements = false
            $0.statementTimeout = .milliseconds(300)
            $0.batchConnections = 1
        } _: { database, _ in
            let caller = Caller.fresh()
            for _ in 0..<20 { try await database.execute(insertion("a", caller), as: caller) }
            #expect(try await database.transaction(as: caller) { try $0.first(.countOfNotes) } == 20)
            await #expect(throws: DependencyFailure.self) { try await database.execute(Self.sleep, as: caller) }
            let prepared = Query<Int>("SELECT count(*) AS count FROM pg_prepared_statements", column: "count")
            #expect(try await database.first(prepared, as: caller) == 0)
        }
    }

    @Test("A connection keeps no more prepared statements than it may")
    func cacheBound() async throws {
        try await withDatabase {
            $0.statementCacheSize = 8
            $0.batchConnections = 1
        } _: { database, _ in
            let caller = Caller.fresh()
            for turn in 0..<100 {
                let number = turn % 37
                let found = try await database.first(
                    Query<Int>(SQL(trusted: "SELECT \(number)::bigint AS value"), column: "value"), as: caller)
                #expect(found == number)
            }
            let prepared = Query<Int>("SELECT count(*) AS count FROM pg_prepared_statements", column: "count")
            #expect(try #require(try await database.first(prepared, as: caller)) <= 8)
        }
    }

    @Test("A prepared statement whose table has changed since is prepared again, unseen by the caller")
    func changedTable() async throws {
        try await withDatabase {
            $0.batchConnections = 1
        } _: { database, fixture in
            let admin = try AdminConnection(url: fixture.url())
            let table = "changing_\(UInt32.random(in: 0 ... .max))"
            try admin.script(
                "CREATE TABLE notes.\(table) (a int); INSERT INTO notes.\(table) VALUES (1); GRANT SELECT ON notes.\(table) TO notes")
            let all = Query<Int>(SQL(trusted: "SELECT a FROM \(table)"), column: "a")
            #expect(try await database.first(all, as: .fresh()) == 1)
            try admin.script("ALTER TABLE notes.\(table) ALTER a TYPE bigint")
            #expect(try await database.first(all, as: .fresh()) == 1)
            try admin.script("DROP TABLE notes.\(table)")
        }
    }

    @Test("Spare connections close after a rest, and none is opened before there is work")
    func idleConnections() async throws {
        let fixture = try await Fixture.shared.value
        var configuration = fixture.configuration
        configuration.idleTimeout = .milliseconds(200)
        let name = "idle\(UInt32.random(in: 0 ... .max))"
        let service = ServiceName(rawValue: name)
        let database = Database(configuration, service: service, logger: Fixture.quiet)
        let open: SQL = "SELECT count(*)::text AS value FROM pg_stat_activity WHERE application_name = \("trionex-\(name)")"
        #expect(try fixture.asAdmin(open) == "0")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<6 { group.addTask { try? await database.transaction(as: .fresh()) { try $0.execute("SELECT pg_sleep(0.1)") } } }
        }
        #expect(try await eventually { try fixture.asAdmin(open) == "1" })
        await database.shutdown()
        #expect(try await eventually { try fixture.asAdmin(open) == "0" })
    }

    @Test("A shutdown finishes what is under way and refuses what comes after")
    func shutdown() async throws {
        let fixture = try await Fixture.shared.value
        let database = fixture.database()
        let caller = Caller.fresh()
        let running = Task {
            try await database.transaction(as: caller) { tx in
                try tx.execute("SELECT pg_sleep(0.2)")
                return try tx.execute(insertion("a", caller))
            }
        }
        try await Task.sleep(for: .milliseconds(80))
        await database.shutdown()
        #expect(try await running.value == 1)
        await #expect(throws: DependencyFailure.self) { try await database.execute("SELECT 1", as: caller) }
    }

    @Test("A statement that opens a transaction by itself costs its connection, not its neighbours' isolation")
    func strayBegin() async throws {
        try await withDatabase {
            $0.batchConnections = 1
        } _: { database, _ in
            let caller = Caller.fresh()
            _ = try? await database.execute("BEGIN", as: caller)
            try await database.execute(insertion("a", caller), as: caller)
            #expect(try await database.first(.countOfNotes, as: caller) == 1)
            #expect(try await database.first(.countOfNotes, as: .fresh()) == 0)
        }
    }
}

/// Holds a thread until it is opened.
private final class Gate: Sendable {
    private let monitor = Monitor((isOpen: false, isAwaited: false))
    var isAwaited: Bool { monitor.withLock { $0.isAwaited } }

    func wait() {
        monitor.waiting { state in
            state.isAwaited = true
            return state.isOpen ? .done(()) : .wait(until: .now + .seconds(10))
        }
    }

    func open() {
        monitor.withLock { $0.isOpen = true }
        monitor.wakeAll()
    }
}
