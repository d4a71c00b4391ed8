import Contracts
import Foundation
import Synchronization

/// A few threads for work that takes tens of milliseconds of a core and megabytes of memory, so that it holds up neither the
/// requests' own threads nor, by its number, the machine.
final class HashingThreads: Sendable {
    private let queue: OperationQueue
    private let limit: Int
    private let admitted = Mutex(0)

    init(threads: Int, limit: Int) {
        queue = OperationQueue()
        queue.name = "password hashing"
        queue.maxConcurrentOperationCount = threads
        self.limit = limit
    }

    /// Throws `HashingBusy` at once when too much of it waits already.
    func run<T: Sendable>(_ work: @escaping @Sendable () -> T) async throws -> T {
        let isAdmitted = admitted.withLock { admitted in
            guard admitted < limit else { return false }
            admitted += 1
            return true
        }
        guard isAdmitted else { throw HashingBusy() }
        return await withCheckedContinuation { continuation in
            queue.addOperation { [self] in
                let value = work()
                admitted.withLock { $0 -= 1 }
                continuation.resume(returning: value)
            }
        }
    }
}

/// More passwords wait to be hashed than can be in a reasonable time.
struct HashingBusy: Failure {
    var code: String { "busy" }
    var kind: FailureKind { .unavailable(retryAfter: 1) }
    var detail: String? { "Too many sign-ins at once. Try again in a second." }
}
