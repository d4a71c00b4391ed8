import CLibPQ

/// A blocking connection for scripts and catalogue work, outside any pool. Confined to the thread that uses it.
final class AdminConnection {
    private let handle: OpaquePointer
    private static let connectTimeout: Duration = .seconds(10)

    init(url: String) throws {
        guard DatabaseConfiguration.isReadable(url) else {
            throw MigrationFailure(
                "the address must be postgres://role:password@host:port/database, with @ : / ? # % in the password percent-encoded")
        }
        let settings = ConnectionSettings(
            url: url, applicationName: "trionex-migrate", connectTimeout: Self.connectTimeout, statementTimeout: .zero,
            statementCache: nil)
        guard let handle = settings.open() else { throw MigrationFailure("out of memory") }
        guard PQstatus(handle) == CONNECTION_OK else {
            let reason = String(cString: PQerrorMessage(handle)).split(whereSeparator: \.isNewline).joined(separator: "; ")
            PQfinish(handle)
            throw MigrationFailure("cannot connect to the database: \(reason)")
        }
        self.handle = handle
    }

    deinit { PQfinish(handle) }

    /// Any number of statements, separated by semicolons.
    func script(_ text: String) throws {
        _ = try check(PQexec(handle, text))
    }

    @discardableResult
    func query(_ sql: SQL) throws -> [Row] {
        let statement = try Statement(sql)
        var parameters = ParameterBuffer()
        parameters.fill(statement.bindings)
        let types = parameters.types
        let result = parameters.withParameters { count, values, lengths, formats in
            PQexecParams(handle, statement.text, count, types, values, lengths, formats, 1)
        }
        let answer = try check(result)
        return try answer.map { $0 }
    }

    private func check(_ result: OpaquePointer?) throws -> ResultSet {
        guard let result else { throw MigrationFailure("the database does not answer") }
        let answer = ResultSet(result)
        switch answer.status {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: return answer
        case PGRES_FATAL_ERROR: throw PostgresFailure(answer)
        default:
            throw MigrationFailure("a migration must not use COPY FROM STDIN or TO STDOUT")
        }
    }

    var isInTransaction: Bool { PQtransactionStatus(handle) == PQTRANS_INTRANS }

    /// A text as it may stand in a statement that takes no bindings.
    func literal(_ text: String) throws -> String {
        guard let escaped = PQescapeLiteral(handle, text, text.utf8.count) else { throw MigrationFailure("a text is not UTF-8") }
        defer { PQfreemem(escaped) }
        return String(cString: escaped)
    }

    func identifier(_ text: String) throws -> String {
        guard let escaped = PQescapeIdentifier(handle, text, text.utf8.count) else { throw MigrationFailure("a name is not UTF-8") }
        defer { PQfreemem(escaped) }
        return String(cString: escaped)
    }

    /// The password as the server stores it, so that the plain one never travels or reaches a server's log.
    func encrypted(_ password: String, of role: String) throws -> String {
        guard let secret = PQencryptPasswordConn(handle, password, role, nil) else {
            throw MigrationFailure("the server's method of storing passwords is not known here")
        }
        defer { PQfreemem(secret) }
        return String(cString: secret)
    }
}
