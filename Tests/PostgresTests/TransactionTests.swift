import Contracts
import Foundation
import Synchronization
import Testing
import Tracing

@testable import Postgres

private enum Refusal: String, Failure {
    case no = "no"
    var kind: FailureKind { .conflict }
}

private enum TestKey: ServiceContextKey {
    typealias Value = String
}

@Suite("Transactions")
struct TransactionTests {
    @Test("What a closure does is committed when it returns, with its result")
    func commit() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            let count = try await database.transaction(as: caller) { tx in
                try tx.execute(insertion("a", tx.caller))
                try tx.execute(insertion("b", tx.caller))
                return try tx.first(.countOfNotes)
            }
            #expect(count == 2)
            #expect(try await database.first(.countOfNotes, as: caller) == 2)
        }
    }

    @Test("A refusal of the domain undoes everything and arrives unchanged")
    func rollback() async throws {
        try await withDatabase { (database, _) async throws in
            let caller = Caller.fresh()
            await #expect(throws: Refusal.no) {
                try await database.transaction(as: caller) { tx in
                    try tx.execute(insertion("a", caller))
                    throw Refusal.no
                }
            }
            #expect(try await database.first(.countOfNotes, as: caller) == 0)
        }
    }

    @Test("A broken constraint names itself")
    func constraint() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh(), id = UUID()
            try await database.execute(insertion("a", caller, id: id), as: caller)
            let twice = await #expect(throws: PostgresFailure.self) {
                try await database.transaction(as: caller) { tx in _ = try tx.execute(insertion("b", caller, id: id)) }
            }
            #expect(twice?.isUniqueViolation == true && twice?.constraint == "notes_pkey" && twice?.table == "notes")
            let negative = await #expect(throws: PostgresFailure.self) {
                try await database.execute(insertion("b", caller, position: -1), as: caller)
            }
            #expect(negative?.isCheckViolation == true && negative?.constraint == "notes_position_is_positive")
        }
    }

    @Test("A closure that swallows a failed statement is told that nothing was committed")
    func swallowed() async throws {
        try await withDatabase { (database, _) async throws in
            let caller = Caller.fresh()
            let failure = await #expect(throws: PostgresFailure.self) {
                try await database.transaction(as: caller) { tx in
                    try tx.execute(insertion("a", caller))
                    _ = try? tx.execute("SELECT 1 / 0")
                }
            }
            #expect(failure?.sqlState == "25P02")
            #expect(try await database.first(.countOfNotes, as: caller) == 0)
        }
    }

    @Test("A savepoint undoes its part only, also nested and after a failed statement")
    func savepoints() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            let bodies = try await database.transaction(as: caller) { tx in
                try tx.execute(insertion("kept", caller))
                try? tx.savepoint {
                    try tx.execute(insertion("undone", caller))
                    try tx.execute("SELECT 1 / 0")
                }
                try tx.savepoint {
                    try tx.execute(insertion("outer", caller))
                    try? tx.savepoint {
                        try tx.execute(insertion("inner", caller))
                        throw Refusal.no
                    }
                }
                try? tx.savepoint { throw Refusal.no }
                return try tx.query(Query<String>("SELECT body FROM notes ORDER BY body", column: "body"))
            }
            #expect(bodies == ["kept", "outer"])
            #expect(try await database.first(.countOfNotes, as: caller) == 2)
        }
    }

    @Test("A savepoint may be the first and the only thing in a transaction")
    func onlySavepoint() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            try await database.transaction(as: caller) { tx in
                _ = try tx.savepoint { try tx.execute(insertion("a", caller)) }
            }
            #expect(try await database.first(.countOfNotes, as: caller) == 1)
        }
    }

    @Test("What waits for the commit runs after it, and not at all without it")
    func afterCommit() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            let lines = Lines()
            try await database.transaction(as: caller) { tx in
                tx.afterCommit { lines.add("committed") }
                try? tx.savepoint {
                    tx.afterCommit { lines.add("undone") }
                    throw Refusal.no
                }
                try tx.execute(insertion("a", caller))
                lines.add("inside")
            }
            try? await database.transaction(as: caller) { tx in
                tx.afterCommit { lines.add("refused") }
                try tx.execute(insertion("a", caller))
                throw Refusal.no
            }
            try? await database.transaction(as: caller) { tx in
                tx.afterCommit { lines.add("swallowed") }
                _ = try? tx.execute("SELECT 1 / 0")
            }
            #expect(lines.all == ["inside", "committed"])
        }
    }

    @Test("The clock and the trace of the caller are at hand inside")
    func surroundings() async throws {
        let moment = Date(timeIntervalSince1970: 1_700_000_000)
        try await withDatabase(now: moment) { database, _ in
            var context = ServiceContext.topLevel
            context[TestKey.self] = "trace"
            let seen = try await ServiceContext.withValue(context) {
                try await database.transaction(as: .fresh()) { tx in
                    (tx.now, tx.context?[TestKey.self], ServiceContext.current?[TestKey.self])
                }
            }
            #expect(seen == (moment, "trace", "trace"))
        }
    }

    @Test("BEGIN, the tenant and the first statement make one exchange, and a closure without statements none")
    func roundTrips() async throws {
        try await withDatabase { configuration in
            configuration.interactiveConnections = 1
        } _: { database, fixture in
            let caller = Caller.fresh()
            try await database.transaction(as: caller) { _ in }
            try await database.transaction(as: caller) { tx in
                _ = try tx.first(.countOfNotes)
                // The server counts the transaction as begun with the first statement's own arrival.
                let age = try tx.first(Query<Bool>("SELECT now() <> statement_timestamp() AS later", column: "later"))
                #expect(age == true)
            }
        }
    }

    @Test("Many rows are inserted with few statements, nulls and conflicts included")
    func bulk() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            let rows: [[any SQLBindable]] = (0..<2500).map { [UUID.version7(), caller.tenant, "note \($0) é", $0] }
            let inserted = try await database.transaction(as: caller) { tx in
                try tx.insert(into: "notes", columns: ["id", "tenant_id", "body", "position"], rows: rows)
            }
            #expect(inserted == 2500)
            let again = try await database.transaction(as: caller) { tx in
                try tx.insert(into: "notes", columns: ["id", "tenant_id", "body", "position"], rows: rows, onConflict: "(id) DO NOTHING")
            }
            #expect(again == 0)
            let sum = Query<Int>("SELECT sum(position)::bigint AS sum FROM notes WHERE body LIKE 'note % é'", column: "sum")
            #expect(try await database.first(sum, as: caller) == 2499 * 2500 / 2)
        }
    }

    @Test("Bulk rows with arrays, JSON and nulls arrive whole")
    func bulkArrays() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            let rows: [[any SQLBindable]] = (0..<3).map {
                [UUID(), caller.tenant, $0 == 1 ? nil as Int? : $0, Array(repeating: "l", count: $0), JSONB(["n": $0])]
            }
            let flat: [[any SQLBindable]] = (0..<3).map { [UUID(), caller.tenant, $0 == 1 ? nil as Int? : $0, JSONB(["n": $0])] }
            try await database.transaction(as: caller) { tx in
                try tx.insert(into: "kinds", columns: ["id", "tenant_id", "big", "labels", "document"], rows: rows)
                try tx.insert(into: "kinds", columns: ["id", "tenant_id", "big", "document"], rows: flat)
                try tx.insert(into: "kinds", columns: ["id", "tenant_id"], rows: [])
            }
            let found = try await database.query(
                Query("SELECT big, labels, document FROM kinds ORDER BY document, labels NULLS LAST") { row -> String in
                    let big: Int? = try row("big")
                    let labels: [String]? = try row("labels")
                    let document: JSONB<[String: Int]> = try row("document")
                    return "\(big ?? -1) \(labels?.count ?? -1) \(document.value["n"] ?? -1)"
                }, as: caller)
            #expect(found == ["0 0 0", "0 -1 0", "-1 1 1", "-1 -1 1", "2 2 2", "2 -1 2"])
        }
    }

    @Test("Bulk rows of unequal length are refused before anything is sent")
    func unevenRows() async throws {
        await #expect(throws: PostgresFailure.self) {
            try await withDatabase { database, _ in
                try await database.transaction(as: .fresh()) { tx in
                    try tx.insert(into: "notes", columns: ["id", "tenant_id"], rows: [[UUID()]])
                }
            }
        }
    }
}
