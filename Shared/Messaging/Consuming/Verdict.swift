import Contracts
import Postgres

/// What a failure of handling means for the message.
enum Verdict: Equatable {
    /// Something it needs is away: no fault of the message.
    case outage
    /// Other transactions were in the way: no fault of the message either, and perhaps better alone.
    case collision
    /// The database took too long: it may be busy, or the message may ask for too much.
    case slow
    /// Worth some more tries.
    case failed
    /// Cannot be read, and never will be.
    case hopeless

    init(_ error: any Error) {
        self =
            switch error {
            case is DecodingError, is CloudEventProblem: .hopeless
            case is CancellationError: .outage
            case let error as PostgresFailure: Self.verdict(error)
            case let error as DependencyFailure where error.isStatementTimeOut: .slow
            case let error as any Failure: Self.isAway(error) ? .outage : .failed
            default: .failed
            }
    }

    private static func verdict(_ failure: PostgresFailure) -> Self {
        if failure.isSerializationFailure || failure.isLockNotAvailable { return .collision }
        return failure.isMissingMigration ? .outage : .failed
    }

    private static func isAway(_ failure: any Failure) -> Bool {
        if case .unavailable = failure.kind { true } else { false }
    }
}
