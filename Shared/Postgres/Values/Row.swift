import CLibPQ

/// One row of an answer: `let id: ArticleID = try row("id")`. Ask for an Optional where NULL may stand.
package struct Row {
    let result: ResultSet
    let index: Int

    /// Throws a `RowFailure` that names the column when it is absent, NULL or of another type.
    package func callAsFunction<T: SQLDecodable>(_ column: String) throws -> T {
        try withExtendedLifetime(result) {
            let number = PQfnumber(result.pointer, column)
            guard number >= 0 else { throw RowFailure(column: column, reason: "is not in the answer") }
            do throws(CellProblem) {
                return try T.decode(result.cell(index, Int(number)))
            } catch {
                throw RowFailure(column: column, reason: error.reason)
            }
        }
    }
}

/// The statement and the code that reads its rows disagree: a defect of ours, not of the caller.
package struct RowFailure: Error, Equatable, CustomStringConvertible {
    package let column: String
    package let reason: String
    package var description: String { "column \(column) \(reason)" }
}

/// A statement as a value, with the decoding of its rows: what stores hand out. It runs alone (`Database.query`) or in a transaction.
package struct Query<Output: Sendable>: Sendable {
    package let sql: SQL
    package let decode: @Sendable (Row) throws -> Output

    package init(_ sql: SQL, _ decode: @escaping @Sendable (Row) throws -> Output) {
        self.sql = sql
        self.decode = decode
    }
}

extension Query where Output: SQLDecodable {
    /// For one column: `Query("SELECT count(*) AS count FROM articles", column: "count")`.
    package init(_ sql: SQL, column: String) {
        self.init(sql) { row in try row(column) }
    }
}

/// An answer of the server, freed with the last reference to it.
///
/// `@unchecked` because it owns a C pointer: libpq does not touch a result once it is handed over, and we only read it.
final class ResultSet: @unchecked Sendable {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { PQclear(pointer) }

    var count: Int { Int(PQntuples(pointer)) }
    var status: ExecStatusType { PQresultStatus(pointer) }

    /// Rows inserted, updated, deleted or selected.
    var affected: Int { Int(String(cString: PQcmdTuples(pointer))) ?? 0 }

    /// `COMMIT`, `ROLLBACK`, `INSERT 0 1` …
    var tag: String { String(cString: PQcmdStatus(pointer)) }

    func cell(_ row: Int, _ column: Int) -> Cell {
        let row = CInt(row), column = CInt(column)
        let oid = PQftype(pointer, column)
        if PQgetisnull(pointer, row, column) == 1 { return Cell(bytes: nil, oid: oid) }
        return Cell(
            bytes: UnsafeRawBufferPointer(start: PQgetvalue(pointer, row, column), count: Int(PQgetlength(pointer, row, column))),
            oid: oid)
    }

    func map<T>(_ decode: (Row) throws -> T) throws -> [T] {
        var values: [T] = []
        values.reserveCapacity(count)
        for index in 0..<count { values.append(try decode(Row(result: self, index: index))) }
        return values
    }

    /// A field of the error report (`libpq-fe.h`, PG_DIAG_*).
    func diagnostic(_ field: DiagnosticField) -> String? {
        PQresultErrorField(pointer, field.rawValue).map { String(cString: $0) }
    }
}

/// PG_DIAG_* of `postgres_ext.h`, which are characters in C.
enum DiagnosticField: CInt {
    case severity = 0x56
    case sqlState = 0x43
    case message = 0x4D
    case table = 0x74
    case constraint = 0x6E
}
