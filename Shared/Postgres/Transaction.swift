package import Contracts
package import Foundation
package import Tracing

/// A transaction with a caller, for the length of a closure on its connection's thread.
///
/// Not Sendable, so it cannot leave the closure. BEGIN and the caller's tenant travel with the first statement; a closure
/// that runs no statement costs no round trip. Keep closures short: they hold a connection.
package final class Transaction {
    package let caller: Caller
    /// When it began, from the database's clock.
    package let now: Date
    /// The trace of whoever asked for the transaction.
    package let context: ServiceContext?

    private let connection: Connection
    private let control: JobControl
    private let prelude: Prelude
    private let metrics: QueryMetrics
    /// Control statements that travel with the next statement.
    private var pending: [Statement] = []
    private var hasBegun = false
    private var hasEnded = false
    private var savepoints = 0
    private var actions: [@Sendable () -> Void] = []

    init(
        caller: Caller, prelude: Prelude, now: Date, context: ServiceContext?, connection: Connection, control: JobControl,
        metrics: QueryMetrics
    ) {
        self.caller = caller
        self.prelude = prelude
        self.now = now
        self.context = context
        self.connection = connection
        self.control = control
        self.metrics = metrics
    }

    // MARK: - Statements

    /// Throws `PostgresFailure` when the server refuses the statement, `DependencyFailure` when it does not answer in time,
    /// `CancellationError` when the caller has gone. After a `PostgresFailure` only a savepoint makes further statements possible.
    package func query<T>(_ query: Query<T>) throws -> [T] { try run(query.sql).map(query.decode) }

    /// The first row, nil when there is none.
    package func first<T>(_ query: Query<T>) throws -> T? {
        let result = try run(query.sql)
        return result.count > 0 ? try query.decode(Row(result: result, index: 0)) : nil
    }

    package func query(_ sql: SQL) throws -> [Row] { try run(sql).map { $0 } }

    package func first(_ sql: SQL) throws -> Row? {
        let result = try run(sql)
        return result.count > 0 ? Row(result: result, index: 0) : nil
    }

    /// Returns the number of rows affected.
    @discardableResult
    package func execute(_ sql: SQL) throws -> Int { try run(sql).affected }

    /// An action to run once, after the commit and only if it succeeded. It runs on the connection's thread: wake something, no more.
    package func afterCommit(_ action: @escaping @Sendable () -> Void) { actions.append(action) }

    /// When `body` throws, what it did is undone and the transaction goes on; the error is rethrown for the closure to judge.
    package func savepoint<T>(_ body: () throws -> T) throws -> T {
        savepoints += 1
        defer { savepoints -= 1 }
        let name = "s\(savepoints)"
        let kept = actions.count
        pending.append(Statement(control: "SAVEPOINT \(name)"))
        do {
            let value = try body()
            pending.append(Statement(control: "RELEASE \(name)"))
            return value
        } catch {
            actions.removeSubrange(kept...)
            // A savepoint that was never sent has nothing to undo, but the server must know it before it can go back to it.
            pending.append(Statement(control: "ROLLBACK TO \(name)"))
            pending.append(Statement(control: "RELEASE \(name)"))
            throw error
        }
    }

    private func run(_ sql: SQL) throws -> ResultSet {
        guard let result = try run([Statement(sql)]).last else { throw Trouble.noAnswer }
        return result
    }

    /// Several statements in one round trip; their answers in order.
    func run(_ statements: [Statement]) throws -> [ResultSet] {
        guard !hasEnded else { throw PostgresFailure(sqlState: "25P01", message: "the transaction has ended") }
        let start = ContinuousClock.now
        defer { metrics.record(since: start) }
        do {
            let opening = hasBegun ? [] : [Statement(control: "BEGIN"), try prelude.statement(timeout: connection.transactionTimeout)]
            let control = pending
            pending.removeAll()
            hasBegun = true
            return try exchange(opening, control, statements)
        } catch {
            metrics.count(error)
            throw Trouble.outward(error, cancelled: control.isCancelled)
        }
    }

    private func exchange(_ opening: [Statement], _ controls: [Statement], _ statements: [Statement]) throws -> [ResultSet] {
        try control.beginStatement(connection.cancelHandle)
        let result = Result {
            if opening.count == 2 {
                try connection.queueControl(opening[0])
                try connection.queuePrelude(opening[1])
            }
            for statement in controls { try connection.queueControl(statement) }
            for statement in statements { try connection.queue(statement) }
            try connection.sync()
            try connection.flush()
            return try connection.collect()
        }
        if control.endStatement() { try connection.absorbSignal() }
        return try result.get()
    }

    // MARK: - The end

    /// Runs the closure, commits, and then runs what waits for the commit.
    func run<T>(_ body: (Transaction) throws -> T) -> Result<T, any Error> {
        defer { hasEnded = true }
        do {
            let value = try ServiceContext.$current.withValue(context) { try body(self) }
            try commit()
            for action in actions { action() }
            return .success(value)
        } catch {
            rollBack()
            return .failure(error)
        }
    }

    private func commit() throws {
        guard hasBegun else {
            if control.isCancelled { throw CancellationError() }
            return
        }
        // From here a cancellation comes too late: what it interrupts might have been committed.
        try control.becomeUntouchable(mayBeAbandoned: false)
        do {
            for statement in pending { try connection.queueControl(statement) }
            pending.removeAll()
            try connection.queue(Statement(control: "COMMIT"), cached: false)
            try connection.sync()
            try connection.flush()
            let answer = try connection.collect().last
            // After a failed statement the server answers COMMIT with ROLLBACK, without an error.
            guard answer?.tag == "COMMIT" else {
                throw PostgresFailure(sqlState: "25P02", message: "nothing was committed, because a statement had failed")
            }
        } catch {
            metrics.count(error)
            throw Trouble.outward(error, cancelled: false)
        }
    }

    private func rollBack() {
        guard hasBegun, !connection.isLost, !connection.isIdle else { return }
        do {
            try connection.queueControl(Statement(control: "ROLLBACK"))
            try connection.sync()
            try connection.flush()
            _ = try connection.collect()
        } catch {
            // Whatever state it is in, nobody else may meet it.
            connection.close()
        }
    }
}
