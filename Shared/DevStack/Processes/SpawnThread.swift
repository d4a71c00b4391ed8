import Foundation
import Synchronization

/// The thread that starts every program, and never ends while this process lives.
///
/// The kernel sends a child its parent-death signal when the *thread* that started it ends (prctl(2),
/// PR_SET_PDEATHSIG). Threads of the concurrency pool come and go, so a child started from one would be
/// killed at a random moment; a child started from here lives as long as the process.
final class SpawnThread: Sendable {
    static let shared = SpawnThread()

    private let jobs = Mutex<[@Sendable () -> Void]>([])
    private let available = DispatchSemaphore(value: 0)

    private init() {
        Thread.detachNewThread { [self] in
            while true {
                available.wait()
                let job = jobs.withLock { $0.removeFirst() }
                job()
            }
        }
    }

    /// Runs the body on this thread and returns its result.
    func run<Result: Sendable>(_ body: @escaping @Sendable () -> Result) -> Result {
        let result = Mutex<Result?>(nil)
        let done = DispatchSemaphore(value: 0)
        jobs.withLock {
            $0.append {
                let value = body()
                result.withLock { $0 = value }
                done.signal()
            }
        }
        available.signal()
        while true {
            done.wait()
            if let value = result.withLock({ $0 }) { return value }
        }
    }
}
