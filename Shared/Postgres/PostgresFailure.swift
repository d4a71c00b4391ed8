package import Contracts

/// The server refused a statement. Stores map the constraints they know to failures of the domain; the rest is a defect of ours.
package struct PostgresFailure: Error, Equatable, CustomStringConvertible {
    /// Five characters (PostgreSQL manual, appendix A).
    package let sqlState: String
    /// The server's sentence. It may quote a value, so it is for tests and debuggers; `description` is what a log may show.
    package let message: String
    /// The name of the violated constraint.
    package let constraint: String?
    package let table: String?

    package init(sqlState: String, message: String, constraint: String? = nil, table: String? = nil) {
        self.sqlState = sqlState
        self.message = message
        self.constraint = constraint
        self.table = table
    }

    package var isUniqueViolation: Bool { sqlState == "23505" }
    package var isForeignKeyViolation: Bool { sqlState == "23503" }
    package var isCheckViolation: Bool { sqlState == "23514" }
    package var isNotNullViolation: Bool { sqlState == "23502" }
    /// Another transaction was in the way; the same transaction may succeed when it is run again. Deadlocks count.
    package var isSerializationFailure: Bool { sqlState == "40001" || sqlState == "40P01" }
    /// `FOR UPDATE NOWAIT` found the row locked.
    package var isLockNotAvailable: Bool { sqlState == "55P03" }
    /// The role may not do this, or the row breaks a row-level-security policy.
    package var isDenied: Bool { sqlState == "42501" }

    /// The message only for those classes whose messages name parts of the schema and never values.
    package var description: String {
        var text = "SQLSTATE \(sqlState)"
        if ["23", "25", "40", "42", "54"].contains(String(sqlState.prefix(2))) { text += ": \(message)" }
        if let table { text += ", table \(table)" }
        if let constraint { text += ", constraint \(constraint)" }
        return text
    }
}

/// The connection is gone; whether its last statement took effect is not known.
struct ConnectionLost: Error {
    let reason: String
}

extension PostgresFailure {
    init(_ result: ResultSet) {
        self.init(
            sqlState: result.diagnostic(.sqlState) ?? "08006",
            message: result.diagnostic(.message) ?? "the server gave no reason",
            constraint: result.diagnostic(.constraint), table: result.diagnostic(.table))
    }

    /// Whether the server is in trouble (connection, resources, shutdown, its disk) rather than the statement wrong.
    var isTrouble: Bool {
        switch sqlState.prefix(2) {
        case "08", "53", "58": true
        case "57": sqlState != "57014"
        // Read-only: what was the primary is one no more.
        default: sqlState == "25P03" || sqlState == "25006"
        }
    }

    /// Whether a table, column or function is not there, or the right to it: the program began before its migration.
    package var isMissingMigration: Bool { ["42P01", "42703", "42883", "42501", "3F000"].contains(sqlState) }

    /// A cancel signal or `statement_timeout` ended the statement.
    var isCancelled: Bool { sqlState == "57014" }

    /// Nothing of the statement ran, because the prepared form is unknown or stale: preparing it again is enough.
    var isStalePreparation: Bool { sqlState == "26000" || (sqlState == "0A000" && message.contains("cached plan")) }
}

/// What a caller sees of trouble.
enum Trouble {
    static let dependency = "database"
    static let noAnswer = DependencyFailure(dependency, reason: "the answer is missing")
    static let timeOut = DependencyFailure(dependency, reason: "the statement took too long")

    /// How the reason begins when the server is there and does not let us in, which does not pass by waiting.
    static let refusal = "the server refuses the connection"

    /// Why a connection was not made, from libpq's text: it tells no SQLSTATE of what ended a start. Where a server speaks another language
    /// than English, a refusal is reported as any other failure.
    static func connecting(_ message: String) -> String {
        let refusals = [
            "authentication failed", "does not exist", "no pg_hba.conf entry", "pg_hba.conf rejects", "is not permitted to log in",
            "permission denied for database",
        ]
        let isRefusal =
            message.contains("FATAL:") && refusals.contains(where: message.contains) || message.contains("no password supplied")
        return "\(isRefusal ? refusal : "cannot connect"): \(message)"
    }

    /// The typed failure for any error of a statement: time-outs and lost connections are 503, NUL in JSON is the client's mistake.
    static func outward(_ error: any Error, cancelled: Bool) -> any Error {
        switch error {
        case let lost as ConnectionLost: return DependencyFailure(dependency, reason: lost.reason)
        case let failure as PostgresFailure:
            if failure.isCancelled {
                return cancelled ? CancellationError() : timeOut
            }
            if failure.isTrouble { return DependencyFailure(dependency, reason: "SQLSTATE \(failure.sqlState)") }
            if failure.sqlState == "22P05" || failure.sqlState == "22021" {
                return ValidationFailure("", "control-character", "text must not contain the NUL character or bytes outside UTF-8")
            }
            return failure
        default: return error
        }
    }
}

extension DependencyFailure {
    /// Whether the database is there and refuses the role, its password, or its database: somebody has to change the address or the server.
    package var isRefusedConnection: Bool { dependency == Trouble.dependency && reason.hasPrefix(Trouble.refusal) }

    /// Whether it was a statement that needed more time than statements have: unlike other trouble it does not pass by waiting.
    package var isStatementTimeOut: Bool { self == Trouble.timeOut }
}
