import Contracts
import Foundation
import Testing

@testable import Postgres

@Suite("SQL by interpolation")
struct SQLTests {
    @Test("Values become numbered bindings and never text")
    func bindings() throws {
        let hostile = "'; DROP TABLE notes; --"
        let sql: SQL = "SELECT id FROM notes WHERE body = \(hostile) AND position > \(3)"
        let statement = try Statement(sql)
        #expect(statement.text == "SELECT id FROM notes WHERE body = $1 AND position > $2")
        #expect(statement.bindings.map(\.type) == [.inferred, .int8])
    }

    @Test("Fragments bring their bindings and are numbered anew")
    func fragments() throws {
        var filters: [SQL] = ["tenant = \(1)"]
        filters.append("body LIKE \("a%")")
        let order: StaticString = "position DESC"
        let sql: SQL = "SELECT 1 WHERE x = \(true) AND \(fragment: filters.joined(separator: " AND ")) ORDER BY \(raw: order) LIMIT \(5)"
        #expect(try Statement(sql).text == "SELECT 1 WHERE x = $1 AND tenant = $2 AND body LIKE $3 ORDER BY position DESC LIMIT $4")
    }

    @Test("A statement of ten and more values numbers each of them")
    func manyValues() throws {
        let list = (1...12).map { number -> SQL in "\(number)" }.joined(separator: ", ")
        #expect(try Statement(list).text == "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12")
    }

    @Test("Text with a NUL character is refused as invalid, alone and in an array")
    func nul() throws {
        #expect(throws: ValidationFailure.self) { try Statement("SELECT \("a\0b")") }
        #expect(throws: ValidationFailure.self) { try Statement("SELECT \(["a", "b\0"])") }
    }

    @Test("More values than the protocol counts are refused before anything is sent")
    func tooMany() throws {
        let sql = (0...Statement.parameterLimit).map { number -> SQL in "\(number)" }.joined(separator: ", ")
        #expect(throws: PostgresFailure.self) { try Statement(sql) }
    }

    @Test("A value that JSON cannot hold is reported when the statement is made")
    func unencodable() {
        #expect(throws: PostgresFailure.self) { try Statement("SELECT \(JSONB(Double.nan))") }
    }

    @Test("Hostile text reaches the server as a value")
    func hostileText() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            for text in ["'; DELETE FROM notes; --", "$1", "\\", "\"", "%s", "{}", "NULL"] {
                try await database.execute(insertion(text, caller), as: caller)
                let found = try await database.first(
                    Query("SELECT body FROM notes WHERE body = \(text)", column: "body") as Query<String>, as: caller)
                #expect(found == text)
            }
        }
    }

    @Test("A failure's description shows no value")
    func description() {
        let failure = PostgresFailure(sqlState: "22P02", message: "invalid input syntax for type uuid: \"secret\"")
        #expect(!"\(failure)".contains("secret"))
    }
}

@Suite("The cache of prepared statements")
struct StatementCacheTests {
    private func key(_ text: String, _ types: [UInt32] = []) -> StatementCache.Key { StatementCache.Key(text: text, types: types) }

    @Test("A statement is prepared once")
    func once() {
        var cache = StatementCache(capacity: 2)
        guard case .prepare(let name, nil) = cache.use(key("a")) else { return unexpected() }
        #expect(cache.use(key("a")) == .prepared(name: name))
    }

    @Test("The same text with other types is another statement")
    func types() {
        var cache = StatementCache(capacity: 2)
        let first = cache.use(key("a", [20]))
        #expect(cache.use(key("a", [23])) != first)
        #expect(cache.count == 2)
    }

    @Test("The least recently used gives way, and no name is used twice")
    func eviction() {
        var cache = StatementCache(capacity: 2)
        #expect(cache.use(key("a")) == .prepare(name: "t1", evicting: nil))
        #expect(cache.use(key("b")) == .prepare(name: "t2", evicting: nil))
        #expect(cache.use(key("a")) == .prepared(name: "t1"))
        #expect(cache.use(key("c")) == .prepare(name: "t4", evicting: "t2"))
        #expect(cache.use(key("b")) == .prepare(name: "t5", evicting: "t1"))
        #expect(cache.count == 2)
    }

    @Test("What was forgotten is prepared again")
    func forgetting() {
        var cache = StatementCache(capacity: 2)
        _ = cache.use(key("a"))
        cache.forget(key("a"))
        #expect(cache.use(key("a")) == .prepare(name: "t2", evicting: nil))
    }
}
