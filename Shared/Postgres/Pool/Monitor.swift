import Foundation

/// A lock with a condition, for threads that wait for work.
///
/// `@unchecked` because the state is touched under the mutex only, and the C objects live as long as the monitor.
final class Monitor<State>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
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

    func withLock<R>(_ body: (inout State) throws -> R) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    enum Turn<R> {
        case done(R)
        /// Let go of the lock until somebody wakes us or the time has come.
        case wait(until: ContinuousClock.Instant?)
    }

    /// Asks `body` again and again, waiting in between, until it is done.
    func waiting<R>(_ body: (inout State) -> Turn<R>) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            switch body(&state) {
            case .done(let result): return result
            case .wait(nil): pthread_cond_wait(condition, mutex)
            case .wait(let deadline?):
                let left = max(.zero, deadline - ContinuousClock.now)
                var time = timespec()
                clock_gettime(CLOCK_MONOTONIC, &time)
                let nanoseconds = time.tv_nsec + Int(left.components.attoseconds / 1_000_000_000)
                time.tv_sec += Int(left.components.seconds) + nanoseconds / 1_000_000_000
                time.tv_nsec = nanoseconds % 1_000_000_000
                pthread_cond_timedwait(condition, mutex, &time)
            }
        }
    }

    func wakeOne() { pthread_cond_signal(condition) }
    func wakeAll() { pthread_cond_broadcast(condition) }
}
