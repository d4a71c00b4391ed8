import Contracts
import Synchronization

/// One statement in a transaction of its own.
final class OneShot: PoolJob {
    let control = JobControl()
    let outlet = Outlet<ResultSet>()
    let prelude: Prelude
    let statement: Statement
    private let tries = Atomic<Int>(0)

    init(_ prelude: Prelude, _ statement: Statement) {
        self.prelude = prelude
        self.statement = statement
    }

    func refuse(_ failure: any Error) {
        control.finish()
        outlet.resolve(.failure(failure))
    }

    /// Whether it may go back into the line, which happens once at most and only if nothing of it can have taken effect.
    func mayTryAgain() -> Bool {
        guard tries.wrappingAdd(1, ordering: .relaxed).oldValue == 0 else { return false }
        control.putBack()
        return true
    }

    fileprivate func queue(on connection: Connection) throws {
        try connection.queuePrelude(prelude.statement(timeout: connection.transactionTimeout))
        try connection.queue(statement)
    }
}

/// Runs several callers' statements in one pipeline, each with its own sync and so its own transaction.
enum Batch {
    /// Returns the jobs that are to be tried once more.
    static func run(_ jobs: [OneShot], on connection: Connection, metrics: QueryMetrics) -> [OneShot] {
        let start = ContinuousClock.now
        let live = jobs.filter { $0.control.start() }
        var again: [OneShot] = []
        var sent: [OneShot] = []
        for job in live {
            do {
                // A signal would end whichever statement of the pipeline the server is at, so only a lone one can be signalled.
                if live.count == 1 {
                    try job.control.beginStatement(connection.cancelHandle)
                } else {
                    try job.control.becomeUntouchable(mayBeAbandoned: true)
                }
            } catch {
                job.refuse(error)
                continue
            }
            switch send(job, on: connection) {
            case .sent: sent.append(job)
            case .unsent where job.mayTryAgain(): again.append(job)
            case .unsent, .unknown: job.refuse(DependencyFailure(Trouble.dependency, reason: "the connection was lost"))
            }
        }
        receive(sent, on: connection, isAlone: live.count == 1, since: start, again: &again, metrics: metrics)
        return again
    }

    private enum Sending {
        case sent
        /// Without its sync nothing of it can be committed.
        case unsent
        case unknown
    }

    private static func send(_ job: OneShot, on connection: Connection) -> Sending {
        do { try job.queue(on: connection) } catch { return .unsent }
        do { try connection.sync() } catch { return .unknown }
        return .sent
    }

    private static func receive(
        _ jobs: [OneShot], on connection: Connection, isAlone: Bool, since start: ContinuousClock.Instant, again: inout [OneShot],
        metrics: QueryMetrics
    ) {
        // A loss shows in collect, which then fails for every job.
        try? connection.flush()
        for job in jobs {
            let result = Result { try connection.collect() }
            if isAlone, job.control.endStatement() { try? connection.absorbSignal() }
            metrics.record(since: start)
            switch result {
            case .success(let answers):
                job.control.finish()
                job.outlet.resolve(answers.last.map { .success($0) } ?? .failure(Trouble.noAnswer))
            case .failure(let failure as PostgresFailure) where failure.isStalePreparation && job.mayTryAgain():
                again.append(job)
            case .failure(let error):
                metrics.count(error)
                job.refuse(Trouble.outward(error, cancelled: job.control.isCancelled))
            }
        }
    }
}

/// Work that holds a connection: a closure with a transaction, or a slow statement.
final class InteractiveJob: PoolJob {
    let control = JobControl()
    private let perform: @Sendable (Connection, JobControl) -> Void
    private let refusal: @Sendable (any Error) -> Void

    init(_ perform: @escaping @Sendable (Connection, JobControl) -> Void, refusal: @escaping @Sendable (any Error) -> Void) {
        self.perform = perform
        self.refusal = refusal
    }

    func run(on connection: Connection) {
        guard control.start() else { return }
        perform(connection, control)
        control.finish()
    }

    func refuse(_ failure: any Error) {
        control.finish()
        refusal(failure)
    }
}

extension Connection {
    /// One statement in a transaction of its own, for a job that can be cancelled meanwhile.
    func exchange(_ control: JobControl, _ prelude: Statement, _ statement: Statement) throws -> ResultSet {
        try control.beginStatement(cancelHandle)
        let result = Result {
            try queuePrelude(prelude)
            try queue(statement)
            try sync()
            try flush()
            return try collect()
        }
        if control.endStatement() { try absorbSignal() }
        guard let answer = try result.get().last else { throw ConnectionLost(reason: "the answer is missing") }
        return answer
    }
}
