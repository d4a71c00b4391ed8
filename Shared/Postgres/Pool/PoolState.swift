import DequeModule

/// What a pool decides, without a thread or a socket: who waits, who is refused, when a worker connects, retries, rests and leaves.
///
/// A worker is a thread with at most one connection. Times come in as arguments.
struct PoolState<Job: AnyObject> {
    typealias Instant = ContinuousClock.Instant

    struct Limits: Sendable {
        /// Workers at most.
        var connections: Int
        /// Workers that stay when there is nothing to do.
        var kept = 1
        /// Jobs a worker takes at once.
        var batch: Int
        /// Jobs that may wait.
        var queue: Int
        /// How long a spare worker stays without work.
        var idle: Duration = .seconds(60)
        /// How long jobs go on waiting while no connection can be made; after that they fail at once.
        var outageGrace: Duration = .seconds(1)
        var firstRetry: Duration = .milliseconds(50)
        var longestRetry: Duration = .seconds(2)
    }

    struct Waiting {
        let job: Job
        let deadline: Instant
    }

    enum Refusal: Equatable {
        case closing
        case full
        case away(String)
    }

    enum Admission: Equatable {
        case refused(Refusal)
        /// It waits; the pool wakes a worker, starts one, or leaves both be. `timer` is when to look for expired jobs, if nobody does yet.
        case waiting(wake: Bool, start: Bool, timer: Instant?)
    }

    enum Step {
        case run([Job], expired: [Job])
        case connect
        case wait(until: Instant?)
        case leave
    }

    enum AfterFailure {
        case retry(refused: [Job])
        /// Others have connections: the pool goes on with fewer.
        case leave
    }

    private struct Outage {
        let since: Instant
        var attempts = 0
        var nextTry: Instant
        var isTrying = false
        var reason: String
    }

    let limits: Limits
    private(set) var waiting = Deque<Waiting>()
    private(set) var workers = 0
    private(set) var connected = 0
    /// Jobs being run.
    private(set) var running = 0
    private(set) var isClosing = false
    private var resting = 0
    private var starting = 0
    private var outage: Outage?
    private var growthResumes: Instant?
    private var isTimerSet = false

    init(_ limits: Limits) { self.limits = limits }

    var isAway: Bool { outage != nil }

    // MARK: - Jobs

    mutating func admit(_ job: Job, deadline: Instant, now: Instant) -> Admission {
        if isClosing { return .refused(.closing) }
        if waiting.count >= limits.queue { return .refused(.full) }
        if let outage, connected == 0, now - outage.since >= limits.outageGrace { return .refused(.away(outage.reason)) }
        waiting.append(Waiting(job: job, deadline: deadline))
        let timer = isTimerSet ? nil : deadline
        isTimerSet = true
        return .waiting(wake: resting > 0, start: growIfNeeded(now), timer: timer)
    }

    private mutating func growIfNeeded(_ now: Instant) -> Bool {
        guard workers < limits.connections, limits.batch * (resting + starting) < waiting.count else { return false }
        if let growthResumes, now < growthResumes { return false }
        // While nothing answers, one worker's attempts are enough.
        if outage != nil && workers > 0 { return false }
        growthResumes = nil
        workers += 1
        starting += 1
        return true
    }

    /// Takes a cancelled job out of the line; false when it was not there any more.
    mutating func withdraw(_ job: Job) -> Bool {
        guard let index = waiting.firstIndex(where: { $0.job === job }) else { return false }
        waiting.remove(at: index)
        return true
    }

    /// Puts jobs of which nothing was sent back at the head of the line.
    mutating func putBack(_ jobs: [Job], deadline: Instant) {
        for job in jobs.reversed() { waiting.prepend(Waiting(job: job, deadline: deadline)) }
    }

    mutating func finished(_ count: Int) { running -= count }

    /// The jobs whose time to wait is over, and when to look again (nil: when the next job is admitted).
    mutating func expire(_ now: Instant) -> (expired: [Job], next: Instant?) {
        let expired = removeExpired(now)
        let next = waiting.map(\.deadline).min()
        isTimerSet = next != nil
        return (expired, next)
    }

    private mutating func removeExpired(_ now: Instant) -> [Job] {
        guard waiting.contains(where: { $0.deadline <= now }) else { return [] }
        let expired = waiting.filter { $0.deadline <= now }.map(\.job)
        waiting.removeAll { $0.deadline <= now }
        return expired
    }

    // MARK: - Workers

    /// A worker's thread has begun.
    mutating func started() { starting -= 1 }

    /// What a worker does next. It calls `rested` after each wait.
    mutating func next(hasConnection: Bool, idleSince: Instant, now: Instant) -> Step {
        if isClosing && waiting.isEmpty { return leave(hasConnection) }
        if !hasConnection, let step = connecting(now) { return step }
        if !waiting.isEmpty {
            guard hasConnection else { return .connect }
            return take(now)
        }
        guard workers > limits.kept else { return rest(until: nil) }
        if now - idleSince >= limits.idle { return leave(hasConnection) }
        return rest(until: idleSince + limits.idle)
    }

    private mutating func take(_ now: Instant) -> Step {
        var jobs: [Job] = []
        var expired: [Job] = []
        while jobs.count < limits.batch, let head = waiting.popFirst() {
            if head.deadline <= now { expired.append(head.job) } else { jobs.append(head.job) }
        }
        running += jobs.count
        return .run(jobs, expired: expired)
    }

    /// During an outage one worker tries, at growing intervals, also when nobody waits: so the pool knows when it is over.
    private mutating func connecting(_ now: Instant) -> Step? {
        guard var current = outage else { return nil }
        if isClosing { return nil }
        if current.isTrying { return rest(until: now + limits.longestRetry) }
        if now < current.nextTry { return rest(until: current.nextTry) }
        current.isTrying = true
        outage = current
        return .connect
    }

    private mutating func rest(until deadline: Instant?) -> Step {
        resting += 1
        return .wait(until: deadline)
    }

    mutating func rested() { resting -= 1 }

    private mutating func leave(_ hasConnection: Bool) -> Step {
        workers -= 1
        if hasConnection { connected -= 1 }
        return .leave
    }

    /// Returns whether an outage ended with it.
    mutating func didConnect() -> Bool {
        connected += 1
        defer { outage = nil }
        return outage != nil
    }

    mutating func didDisconnect() { connected -= 1 }

    /// `jitter` between 0 and 1 spreads the attempts of many programs.
    mutating func connectFailed(_ reason: String, jitter: Double, now: Instant) -> AfterFailure {
        if connected > 0 {
            growthResumes = now + limits.outageGrace
            workers -= 1
            return .leave
        }
        var current = outage ?? Outage(since: now, nextTry: now, reason: reason)
        let growing = limits.firstRetry * (1 << min(current.attempts, 16))
        current.attempts += 1
        current.nextTry = now + min(growing, limits.longestRetry) * (0.5 + jitter / 2)
        current.isTrying = false
        current.reason = reason
        outage = current
        guard isClosing || now - current.since >= limits.outageGrace else { return .retry(refused: removeExpired(now)) }
        let refused = waiting.map(\.job)
        waiting.removeAll()
        return .retry(refused: refused)
    }

    /// No more jobs are taken; workers finish what waits and leave.
    mutating func close() { isClosing = true }
}
