import DequeModule
import Foundation

/// Where commands wait for a connection, and connection threads for commands.
///
/// `@unchecked Sendable`: every stored variable is guarded by `mutex`; a condition variable, which threads
/// wait on with a time limit, needs a fixed address and so cannot be a Swift value.
final class CommandQueue: @unchecked Sendable {
    enum Taken {
        case commands([PendingCommand])
        case nothing
        case closed
    }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var waiting = Deque<PendingCommand>()
    private var availability: Availability
    private var sleepers = 0
    private var isClosed = false
    private var threads: Int
    private var afterLastThread: [CheckedContinuation<Void, Never>] = []

    init(connections: Int, limit: Int) {
        availability = Availability(connections: connections, queueLimit: limit)
        threads = connections
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    // MARK: Callers

    var isAway: Bool { locked { isClosed || availability.isAway } }

    /// What would happen to a command now, without adding one.
    var admission: Availability.Admission {
        locked { isClosed ? .refused(.away) : availability.admit(waiting: waiting.count) }
    }

    func add(_ command: PendingCommand) -> Availability.Admission {
        locked {
            if isClosed { return .refused(.away) }
            let admission = availability.admit(waiting: waiting.count)
            guard admission == .admitted else { return admission }
            waiting.append(command)
            if sleepers > 0 { pthread_cond_signal(condition) }
            return .admitted
        }
    }

    /// No command is taken from here on; those that wait are still sent.
    func close() {
        locked {
            isClosed = true
            pthread_cond_broadcast(condition)
        }
    }

    /// Returns when every connection thread has ended.
    func drained() async {
        await withCheckedContinuation { continuation in
            let over = locked {
                if threads > 0 { afterLastThread.append(continuation) }
                return threads == 0
            }
            if over { continuation.resume() }
        }
    }

    // MARK: Connection threads

    /// Up to `limit` commands, as soon as there is one. Cancelled commands are left out, those past their deadline fail here.
    func take(_ limit: Int, until deadline: ContinuousClock.Instant) -> Taken {
        var expired: [PendingCommand] = []
        defer { for command in expired { command.fail(.timedOut) } }
        return locked {
            while waiting.isEmpty {
                if isClosed { return .closed }
                if !sleep(until: deadline) { return .nothing }
            }
            let now = ContinuousClock.now
            var batch: [PendingCommand] = []
            while batch.count < limit, let command = waiting.popFirst() {
                if command.deadline < now {
                    expired.append(command)
                } else if !command.isFinished {
                    batch.append(command)
                }
            }
            return .commands(batch)
        }
    }

    /// Rests without taking commands. False when the queue was closed.
    func rest(until deadline: ContinuousClock.Instant) -> Bool {
        locked {
            while !isClosed { if !sleep(until: deadline) { return true } }
            return false
        }
    }

    func connected(_ line: Int) -> Availability.Change? { locked { availability.connected(line) } }

    /// With the last connection gone, all that wait are told so at once.
    func lost(_ line: Int) -> Availability.Change? {
        let (change, stranded) = locked { () -> (Availability.Change?, Deque<PendingCommand>) in
            let change = availability.lost(line)
            guard availability.isAway else { return (change, []) }
            defer { waiting.removeAll() }
            return (change, waiting)
        }
        for command in stranded { command.fail(.away) }
        return change
    }

    func threadEnded() {
        let (continuations, stranded) = locked { () -> ([CheckedContinuation<Void, Never>], Deque<PendingCommand>) in
            threads -= 1
            guard threads == 0 else { return ([], []) }
            defer {
                waiting.removeAll()
                afterLastThread.removeAll()
            }
            return (afterLastThread, waiting)
        }
        for command in stranded { command.fail(.away) }
        for continuation in continuations { continuation.resume() }
    }

    /// With the mutex held: waits for a signal; false when the time has come instead.
    private func sleep(until deadline: ContinuousClock.Instant) -> Bool {
        let left = deadline - ContinuousClock.now
        guard left > .zero else { return false }
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let (seconds, attoseconds) = left.components
        let nanoseconds = time.tv_nsec + Int(attoseconds / 1_000_000_000)
        time.tv_sec += Int(seconds) + nanoseconds / 1_000_000_000
        time.tv_nsec = nanoseconds % 1_000_000_000
        sleepers += 1
        defer { sleepers -= 1 }
        return pthread_cond_timedwait(condition, mutex, &time) == 0
    }
}
