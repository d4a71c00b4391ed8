import Glibc
import Synchronization

/// What is done when this process exits in an orderly way: stopping servers, removing directories.
///
/// A process that is killed cannot do it; there the parent-death signal stops the programs.
package enum AtExit {
    private static let actions = Mutex<[@Sendable () -> Void]>([])

    /// Registers an action; actions run in the reverse order of their registration.
    package static func perform(_ action: @escaping @Sendable () -> Void) {
        let isFirst = actions.withLock { actions in
            actions.append(action)
            return actions.count == 1
        }
        guard isFirst else { return }
        atexit {
            while let action = AtExit.next() { action() }
        }
    }

    private static func next() -> (@Sendable () -> Void)? { actions.withLock { $0.popLast() } }
}
