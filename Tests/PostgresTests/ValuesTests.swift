import Contracts
import Foundation
import Testing

@testable import Postgres

private enum Mood: String, SQLBindable, SQLDecodable {
    case calm, glad
}

private struct Document: Codable, Sendable, Equatable {
    let title: String
    let tags: [String]
    let at: Date
}

@Suite("Values there and back")
struct ValuesTests {
    /// Sends a value and reads it back.
    private func echo<T: SQLBindable & SQLDecodable & Sendable>(_ sql: SQL, as type: T.Type = T.self) async throws -> T {
        try await withDatabase { database, _ in
            let found = try await database.first(Query<T>(sql, column: "value"), as: .fresh())
            return try #require(found)
        }
    }

    @Test(
        "Text of any script keeps every character",
        arguments: [
            "", "a", "ÄÖß", "日本語", "👩‍👩‍👧‍👦", "e\u{301}", "\u{FEFF}x", "a\tb\nc", String(repeating: "x", count: 100_000),
        ])
    func texts(_ text: String) async throws {
        let back = try await echo("SELECT \(text)::text AS value", as: String.self)
        #expect(Array(back.unicodeScalars) == Array(text.unicodeScalars))
    }

    @Test("Whole numbers keep their value at the edges", arguments: [0, 1, -1, Int.max, Int.min])
    func integers(_ value: Int) async throws {
        #expect(try await echo("SELECT \(value) AS value", as: Int.self) == value)
    }

    @Test("Numbers with a fraction keep every bit", arguments: [0, -0.1, .pi, .greatestFiniteMagnitude, .leastNonzeroMagnitude, .infinity])
    func doubles(_ value: Double) async throws {
        #expect(try await echo("SELECT \(value) AS value", as: Double.self) == value)
    }

    @Test("Times keep their microseconds", arguments: [0, 1, -1, 1_795_239_000.123456, -62_000_000_000, 4_102_444_800])
    func dates(_ seconds: Double) async throws {
        let value = try await echo("SELECT \(Date(timeIntervalSince1970: seconds)) AS value", as: Date.self)
        #expect(abs(value.timeIntervalSince1970 - seconds) < 0.000_001)
    }

    @Test("The server understands a time as we do")
    func dateText() async throws {
        let date = try #require(Timestamp.date("2026-11-21T05:28:02.123Z"))
        let text = try await echo("SELECT to_char(\(date) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') AS value", as: String.self)
        #expect(text == "2026-11-21 05:28:02.123")
    }

    @Test("Every column type of a row comes back as it went, and null as nil")
    func row() async throws {
        try await withDatabase { database, _ in
            let caller = Caller.fresh()
            let id = UUID(), empty = UUID()
            let document = Document(title: "日本", tags: ["a", "\"b\""], at: Date(timeIntervalSince1970: 1_700_000_000))
            let moment = Date(timeIntervalSince1970: 1_700_000_000.25)
            try await database.execute(
                """
                INSERT INTO kinds (id, tenant_id, small, whole, big, ratio, flag, label, short, moment, day, bytes, document, mood, \
                labels, numbers, ids)
                VALUES (\(id), \(caller.tenant), \(Int32(-7)), \(70_000), \(Int64.max), \(0.5), \(true), \("text"), \("short"), \
                \(moment), '2026-11-21', \([0, 255, 0] as [UInt8]), \(JSONB(document)), \(Mood.glad), \(["x", "ü,\"{}"]), \([1, -1]), \
                \([id]))
                """, as: caller)
            try await database.execute(
                """
                INSERT INTO kinds (id, tenant_id, whole, label, moment, document, labels, bytes) VALUES (\(empty), \(caller.tenant), \
                \(nil as Int?), \(nil as String?), \(nil as Date?), \(nil as JSONB<Document>?), \([] as [String]), \(Data()))
                """, as: caller)
            try await database.transaction(as: caller) { tx in
                let full = try #require(try tx.first("SELECT * FROM kinds WHERE id = \(id)"))
                #expect(try full("small") as Int == -7)
                #expect(try full("whole") as Int32 == 70_000)
                #expect(try full("big") as Int64 == .max)
                #expect(try full("ratio") as Double == 0.5)
                #expect(try full("flag") as Bool)
                #expect(try full("label") as Label == Label(checked: "text"))
                #expect(try full("short") as String == "short")
                #expect(try full("moment") as Date == moment)
                #expect(try full("day") as Date == Timestamp.date("2026-11-21T00:00:00Z"))
                #expect(try full("bytes") as Data == Data([0, 255, 0]))
                #expect(try (full("document") as JSONB<Document>).value == document)
                #expect(try full("mood") as Mood == .glad)
                #expect(try full("labels") as [String] == ["x", "ü,\"{}"])
                #expect(try full("numbers") as [Int] == [1, -1])
                #expect(try full("ids") as [ArticleID] == [ArticleID(id)])
                #expect(try full("tenant_id") as TenantID == caller.tenant)
                let bare = try #require(try tx.first("SELECT * FROM kinds WHERE id = \(empty)"))
                #expect(try bare("whole") as Int? == nil)
                #expect(try bare("label") as String? == nil)
                #expect(try bare("moment") as Date? == nil)
                #expect(try bare("document") as JSONB<Document>? == nil)
                #expect(try bare("labels") as [String] == [])
                #expect(try bare("bytes") as [UInt8] == [])
            }
        }
    }

    @Test("Arrays with nulls come back with nils")
    func nullsInArrays() async throws {
        let sent: [String?] = ["a", nil, ""]
        #expect(try await echo("SELECT \(sent) AS value", as: [String?].self) == sent)
    }

    @Test("A column that is absent, null or of another type is named")
    func mismatches() async throws {
        try await withDatabase { database, _ in
            try await database.transaction(as: .fresh()) { tx in
                let row = try #require(try tx.first("SELECT 1::bigint AS number, NULL::text AS nothing, now() AS moment, 300 AS wide"))
                #expect(throws: RowFailure.self) { try row("absent") as Int }
                #expect(throws: RowFailure.self) { try row("nothing") as String }
                #expect(throws: RowFailure.self) { try row("number") as String }
                #expect(throws: RowFailure.self) { try row("moment") as Int }
                #expect(throws: RowFailure.self) { try row("wide") as UInt8 }
                #expect(throws: RowFailure.self) { try row("number") as [Int] }
            }
        }
    }

    @Test("An escaped NUL inside JSON is refused as invalid, not as a defect")
    func nulInJSON() async throws {
        await #expect(throws: ValidationFailure.self) {
            try await withDatabase { database, _ in
                try await database.execute("SELECT \(JSONB("a\0b"))", as: .fresh())
            }
        }
    }
}
