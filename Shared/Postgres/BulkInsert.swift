extension Transaction {
    /// Rows sent at once.
    package static let bulkRows = 1000

    /// Inserts many rows with few statements, the columns as arrays taken apart by `unnest`; returns how many were inserted.
    ///
    /// Each row has one value per column, in their order. Texts arrive as `text`, so a column of an enum or of another type
    /// wants values of that type. Rows that hold arrays are sent one by one in a single round trip, as `unnest` would flatten
    /// them. `onConflict` is what stands after ON CONFLICT: `"(id) DO NOTHING"`. COPY is refused under row-level security.
    @discardableResult
    package func insert(
        into table: StaticString, columns: [StaticString], rows: [[any SQLBindable]], onConflict: StaticString? = nil
    ) throws -> Int {
        guard rows.allSatisfy({ $0.count == columns.count }), !columns.isEmpty else {
            throw PostgresFailure(sqlState: "42601", message: "every row needs a value for each of the \(columns.count) columns")
        }
        let head: SQL = "INSERT INTO \(raw: table) (\(fragment: columns.map { SQL(stringLiteral: $0) }.joined(separator: ", "))) "
        let tail: SQL = onConflict.map { " ON CONFLICT \(raw: $0)" } ?? .empty
        var inserted = 0
        var start = 0
        while start < rows.count {
            let chunk = rows[start..<min(start + Self.bulkRows, rows.count)].map { row in row.map(\.binding) }
            start += Self.bulkRows
            let statements = try Self.statements(head, chunk, tail)
            inserted += try run(statements).reduce(0) { $0 + $1.affected }
        }
        return inserted
    }

    private static func statements(_ head: SQL, _ rows: [[Binding]], _ tail: SQL) throws -> [Statement] {
        let width = rows.first?.count ?? 0
        // A type without an array type is an array itself.
        let types = (0..<width).map { column in rows[0][column].type }
        guard types.allSatisfy({ $0.array != 0 }) else {
            return try rows.map { row in
                let values = row.map { SQL(pieces: [.value($0)]) }.joined(separator: ", ")
                return try Statement(head + "VALUES (\(fragment: values))" + tail)
            }
        }
        let arrays = try (0..<width).map { column in
            let values = rows.map { $0[column] }
            guard values.allSatisfy({ $0.type == types[column] }) else {
                throw PostgresFailure(sqlState: "42804", message: "the values of one column are of several types")
            }
            return SQL(pieces: [.value(Binding.array(of: types[column], values))])
        }
        return [try Statement(head + "SELECT * FROM unnest(\(fragment: arrays.joined(separator: ", ")))" + tail)]
    }
}
