package import Contracts
package import Foundation
package import Logging
import ServiceLifecycle
import Tracing

/// A service's way to its rows. Nothing reaches the server without a caller, or without the name of the platform's own work.
///
/// Connections are opened when they are needed and reopened by themselves. All of it is bounded: connections, line, time.
package final class Database: Service, Sendable {
    /// How long a shutdown waits for what is under way.
    package static let drainLimit: Duration = .seconds(10)
    /// How long `ping` waits for an answer.
    package static let pingLimit: Duration = .seconds(2)

    private let service: ServiceName
    private let placement: Placement
    private let now: @Sendable () -> Date
    private let batches: WorkerPool<OneShot>
    private let interactive: WorkerPool<InteractiveJob>
    private let listeners: Listeners
    private let slowMetrics = QueryMetrics(kind: "slow")
    private let transactionMetrics = QueryMetrics(kind: "interactive")
    private let platformMetrics = QueryMetrics(kind: "platform")

    package init(
        _ configuration: DatabaseConfiguration, service: ServiceName, placement: Placement = .shared, logger: Logger,
        now: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.service = service
        self.placement = placement
        self.now = now
        let settings = ConnectionSettings(
            url: configuration.url, applicationName: "trionex-\(service)", connectTimeout: configuration.connectTimeout,
            statementTimeout: configuration.statementTimeout,
            statementCache: configuration.preparedStatements ? configuration.statementCacheSize : nil)
        let batchMetrics = QueryMetrics(kind: "batched")
        batches = WorkerPool(
            "batch",
            limits: .init(
                connections: configuration.batchConnections, batch: configuration.batchSize, queue: configuration.queueLimit,
                idle: configuration.idleTimeout),
            settings: settings, acquireTimeout: configuration.acquireTimeout, metrics: PoolMetrics(pool: "batch"), logger: logger
        ) { connection, jobs in
            Batch.run(jobs, on: connection, metrics: batchMetrics)
        }
        interactive = WorkerPool(
            "interactive",
            limits: .init(
                connections: configuration.interactiveConnections, batch: 1, queue: configuration.queueLimit,
                idle: configuration.idleTimeout),
            settings: settings, acquireTimeout: configuration.acquireTimeout, metrics: PoolMetrics(pool: "interactive"), logger: logger
        ) { connection, jobs in
            for job in jobs { job.run(on: connection) }
            return []
        }
        listeners = Listeners(settings, logger)
    }

    deinit {
        batches.close()
        interactive.close()
        listeners.close()
    }

    // MARK: - One statement

    /// Runs one statement in a transaction of its own, batched with other callers' statements: one round trip.
    ///
    /// `slow` says that it may take long, so that it does not hold up those behind it. Cancelling the task frees the caller at
    /// once; the statement is ended on the server if it runs there alone. Throws `PostgresFailure`, `DependencyFailure`
    /// (no connection in time, statement timeout, connection lost: it is then unknown whether a write took effect).
    package func query<T>(_ query: Query<T>, as caller: Caller, slow: Bool = false) async throws -> [T] {
        try await run(query.sql, as: caller, slow: slow).map(query.decode)
    }

    /// The first row, nil when there is none.
    package func first<T>(_ query: Query<T>, as caller: Caller, slow: Bool = false) async throws -> T? {
        let result = try await run(query.sql, as: caller, slow: slow)
        return result.count > 0 ? try query.decode(Row(result: result, index: 0)) : nil
    }

    /// Returns the number of rows affected.
    @discardableResult
    package func execute(_ sql: SQL, as caller: Caller, slow: Bool = false) async throws -> Int {
        try await run(sql, as: caller, slow: slow).affected
    }

    private func run(_ sql: SQL, as caller: Caller, slow: Bool) async throws -> ResultSet {
        let statement = try Statement(sql)
        let prelude = prelude(for: caller)
        if slow { return try await runSlow(statement, prelude) }
        let job = OneShot(prelude, statement)
        return try await batches.run(job, job.outlet)
    }

    private func runSlow(_ statement: Statement, _ prelude: Prelude) async throws -> ResultSet {
        let outlet = Outlet<ResultSet>()
        let metrics = slowMetrics
        let job = InteractiveJob { connection, control in
            let start = ContinuousClock.now
            let result = Result {
                try connection.exchange(control, prelude.statement(timeout: connection.transactionTimeout), statement)
            }
            metrics.record(since: start)
            outlet.resolve(
                result.mapError { error in
                    metrics.count(error)
                    return Trouble.outward(error, cancelled: control.isCancelled)
                })
        } refusal: {
            outlet.resolve(.failure($0))
        }
        return try await interactive.run(job, outlet)
    }

    private func prelude(for caller: Caller) -> Prelude {
        .tenant(caller.tenant, searchPath: placement.searchPath(for: caller.tenant, service: service))
    }

    // MARK: - Transactions

    /// Runs the closure with a transaction on its connection's thread: commits when it returns, rolls back when it throws and
    /// rethrows its error unchanged. Cancelling the task ends the statement under way and rolls back.
    package func transaction<T: Sendable>(
        as caller: Caller, _ body: @escaping @Sendable (Transaction) throws -> T
    ) async throws -> T {
        try await run(caller, prelude(for: caller), transactionMetrics, body)
    }

    /// Work for no tenant, under the role `<service>_platform`: it sees only the tables that a migration grants to that role,
    /// and of them only the rows that a policy for it allows.
    package func platform<T: Sendable>(
        _ work: PlatformWork, _ body: @escaping @Sendable (Transaction) throws -> T
    ) async throws -> T {
        let caller = Caller.service(service, for: .platform)
        return try await run(caller, .platform(role: "\(service)_platform"), platformMetrics, body)
    }

    private func run<T: Sendable>(
        _ caller: Caller, _ prelude: Prelude, _ metrics: QueryMetrics, _ body: @escaping @Sendable (Transaction) throws -> T
    ) async throws -> T {
        let outlet = Outlet<T>()
        let context = ServiceContext.current
        let now = now
        let job = InteractiveJob { connection, control in
            let transaction = Transaction(
                caller: caller, prelude: prelude, now: now(), context: context, connection: connection, control: control, metrics: metrics)
            outlet.resolve(transaction.run(body))
        } refusal: {
            outlet.resolve(.failure($0))
        }
        return try await interactive.run(job, outlet)
    }

    // MARK: - Notifications, health, life

    /// The payloads of NOTIFY on a channel, over a connection of its own that reconnects by itself.
    ///
    /// An empty text comes after each connection is made, because notifications may have been missed before it. LISTEN does not
    /// work through PgBouncer.
    package func listen(_ channel: String) -> AsyncStream<String> { listeners.listen(channel) }

    /// Throws unless the server answers a statement within `pingLimit`.
    package func ping() async throws {
        let caller = Caller.service(service, for: .platform)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { _ = try await self.execute("SELECT 1", as: caller) }
            group.addTask {
                try await Task.sleep(for: Self.pingLimit)
                throw DependencyFailure(Trouble.dependency, reason: "no answer within \(Self.pingLimit)")
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Runs until the graceful shutdown of the program, then ends what `shutdown` ends. Statements work before and without it.
    package func run() async throws {
        try? await gracefulShutdown()
        await shutdown()
    }

    /// Takes no more work, finishes what waits and what is under way (at most for `drainLimit`), and closes all connections.
    package func shutdown() async {
        listeners.close()
        async let first: Void = batches.drain(within: Self.drainLimit)
        async let second: Void = interactive.drain(within: Self.drainLimit)
        _ = await (first, second)
    }
}
