import Contracts
import Kafka
import Postgres

/// An error in words that may be logged and kept in a dead letter: what kind it is and where, never the data.
package enum FailureReason {
    /// Dead letters and log lines stay small.
    static let limit = 500

    package static func text(_ error: any Error) -> String {
        String(describe(error).prefix(limit))
    }

    private static func describe(_ error: any Error) -> String {
        switch error {
        case let error as DecodingError: decoding(error)
        case let error as KafkaFailure: error.description
        case let error as DependencyFailure where error.isRefusedConnection: "\(error.dependency): \(error.reason)"
        case let error as DependencyFailure: "\(error.dependency) does not answer: \(error.reason)"
        case let error as PostgresFailure: "PostgreSQL \(error.sqlState)" + (error.constraint.map { " (\($0))" } ?? "")
        case let error as RowFailure: error.description
        case let error as CloudEventProblem: error.description
        case let error as any Failure: "\(type(of: error)): \(error.code)"
        default: "\(type(of: error))"
        }
    }

    private static func decoding(_ error: DecodingError) -> String {
        let (what, path): (String, [any CodingKey]) =
            switch error {
            case .keyNotFound(let key, let context): ("is missing", context.codingPath + [key])
            case .typeMismatch(_, let context): ("is of another type", context.codingPath)
            case .valueNotFound(_, let context): ("is null", context.codingPath)
            case .dataCorrupted(let context): ("is not valid", context.codingPath)
            @unknown default: ("cannot be decoded", [])
            }
        return "the payload /\(path.map(\.stringValue).joined(separator: "/")) \(what)"
    }
}
