import Contracts
import Foundation
import Logging

/// What a pool's worker runs.
protocol PoolJob: AnyObject, Sendable {
    var control: JobControl { get }
    /// It will not be run.
    func refuse(_ failure: any Error)
}

/// Threads with a connection each, started when there is work and gone when there is none: the shell around `PoolState`.
final class WorkerPool<Job: PoolJob>: Sendable {
    /// Runs jobs on a connection and returns those of which nothing was sent, to be tried once more.
    typealias Process = @Sendable (Connection, [Job]) -> [Job]

    /// Enough for decoding deep JSON in a closure; the system provides it page by page.
    private static var stackSize: Int { 1 << 20 }

    private let name: String
    private let monitor: Monitor<PoolState<Job>>
    private let settings: ConnectionSettings
    private let acquireTimeout: Duration
    private let metrics: PoolMetrics
    private let logger: Logger
    private let process: Process

    init(
        _ name: String, limits: PoolState<Job>.Limits, settings: ConnectionSettings, acquireTimeout: Duration, metrics: PoolMetrics,
        logger: Logger, process: @escaping Process
    ) {
        self.name = name
        self.settings = settings
        self.acquireTimeout = acquireTimeout
        self.metrics = metrics
        self.logger = logger
        self.process = process
        monitor = Monitor(PoolState(limits))
    }

    /// Runs the job, or refuses it, and waits for its outcome. A cancelled caller leaves the line, or has its statement ended.
    func run<Value: Sendable>(_ job: Job, _ outlet: Outlet<Value>) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if outlet.attach(continuation) { submit(job) }
            }
        } onCancel: {
            switch job.control.cancel() {
            case .withdraw:
                _ = monitor.withLock { $0.withdraw(job) }
                outlet.resolve(.failure(CancellationError()))
            case .abandon: outlet.resolve(.failure(CancellationError()))
            // The signal opens a connection and waits for the server: not on the caller's thread.
            case .signal: DispatchQueue.global().async { job.control.signal() }
            case .none: break
            }
        }
    }

    private func submit(_ job: Job) {
        let now = ContinuousClock.now
        switch monitor.withLock({ $0.admit(job, deadline: now + acquireTimeout, now: now) }) {
        case .refused(let refusal): job.refuse(Self.failure(refusal))
        case .waiting(let wake, let start, let timer):
            if wake { monitor.wakeOne() }
            if start { startWorker() }
            if let timer { setTimer(timer) }
        }
    }

    private static func failure(_ refusal: PoolState<Job>.Refusal) -> DependencyFailure {
        switch refusal {
        case .closing: DependencyFailure(Trouble.dependency, reason: "the pool is closing")
        case .full: DependencyFailure(Trouble.dependency, reason: "too many statements are waiting")
        case .away(let reason): DependencyFailure(Trouble.dependency, reason: reason)
        }
    }

    /// One sleeping task for the whole line, set while jobs wait.
    private func setTimer(_ time: ContinuousClock.Instant) {
        Task { [weak self] in
            try? await Task.sleep(until: time, clock: .continuous)
            self?.expire()
        }
    }

    private func expire() {
        let (expired, next) = monitor.withLock { $0.expire(ContinuousClock.now) }
        refuse(expired, DependencyFailure(Trouble.dependency, reason: "no connection was free in time"))
        if let next { setTimer(next) }
    }

    private func refuse(_ jobs: [Job], _ failure: any Error) {
        for job in jobs { job.refuse(failure) }
    }

    /// Whether the last attempts to connect failed.
    var isAway: Bool { monitor.withLock { $0.isAway } }

    // MARK: - Worker

    private func startWorker() {
        let thread = Thread { [self] in work() }
        thread.name = "pg-\(name)"
        thread.stackSize = Self.stackSize
        thread.start()
    }

    private func work() {
        monitor.withLock { $0.started() }
        var connection: Connection?
        var idleSince = ContinuousClock.now
        while true {
            let hasConnection = connection != nil
            var isResting = false
            let step: PoolState<Job>.Step = monitor.waiting { state in
                if isResting { state.rested() }
                isResting = false
                let step = state.next(hasConnection: hasConnection, idleSince: idleSince, now: .now)
                guard case .wait(let deadline) = step else { return .done(step) }
                isResting = true
                return .wait(until: deadline)
            }
            switch step {
            case .connect:
                switch connect() {
                case .opened(let opened): connection = opened
                case .tryAgain: continue
                case .leave: return
                }
            case .run(let jobs, let expired):
                refuse(expired, DependencyFailure(Trouble.dependency, reason: "no connection was free in time"))
                if !run(jobs, on: connection) {
                    connection = nil
                    monitor.withLock { $0.didDisconnect() }
                }
                idleSince = .now
            case .wait: continue
            case .leave: return
            }
        }
    }

    private enum Attempt {
        case opened(Connection)
        case tryAgain
        case leave
    }

    private func connect() -> Attempt {
        do {
            let connection = try Connection(settings)
            if monitor.withLock({ $0.didConnect() }) { logger.notice("database is back", metadata: ["pool": "\(name)"]) }
            monitor.wakeAll()
            return .opened(connection)
        } catch {
            let reason = (error as? ConnectionLost)?.reason ?? "cannot connect"
            let jitter = Double.random(in: 0...1)
            let (outcome, isNew) = monitor.withLock { state in
                let wasAway = state.isAway
                return (state.connectFailed(reason, jitter: jitter, now: .now), !wasAway)
            }
            if isNew { logger.warning("database is away", metadata: ["pool": "\(name)", "reason": "\(reason)"]) }
            switch outcome {
            case .leave: return .leave
            case .retry(let refused):
                refuse(refused, DependencyFailure(Trouble.dependency, reason: reason))
                return .tryAgain
            }
        }
    }

    /// Returns whether the connection can be used again.
    private func run(_ jobs: [Job], on connection: Connection?) -> Bool {
        guard let connection, connection.isAlive() else {
            putBack(jobs)
            return false
        }
        measure()
        let unsent = process(connection, jobs)
        monitor.withLock { $0.finished(jobs.count - unsent.count) }
        if !unsent.isEmpty { putBack(unsent) }
        measure()
        if !connection.isLost && !connection.isIdle {
            logger.error("a statement left a transaction open: its connection is closed")
            connection.close()
        }
        return !connection.isLost
    }

    private func putBack(_ jobs: [Job]) {
        monitor.withLock {
            $0.finished(jobs.count)
            $0.putBack(jobs, deadline: .now + acquireTimeout)
        }
        monitor.wakeOne()
    }

    private func measure() {
        let (running, waiting) = monitor.withLock { ($0.running, $0.waiting.count) }
        metrics.record(running: running, waiting: waiting)
    }

    // MARK: - End

    /// Takes no more jobs; does not wait for those under way.
    func close() {
        monitor.withLock { $0.close() }
        monitor.wakeAll()
    }

    /// Takes no more jobs and waits until those under way are done, at most for `limit`.
    func drain(within limit: Duration) async {
        close()
        let deadline = ContinuousClock.now + limit
        while monitor.withLock({ $0.workers > 0 }), ContinuousClock.now < deadline {
            // Not cancelled with the caller: a drain that is cut short would lose what is under way.
            await Task.detached { try? await Task.sleep(for: .milliseconds(5)) }.value
        }
        let left = monitor.withLock { state in
            let jobs = state.waiting.map(\.job)
            return jobs.filter { state.withdraw($0) }
        }
        refuse(left, Self.failure(.closing))
    }
}
