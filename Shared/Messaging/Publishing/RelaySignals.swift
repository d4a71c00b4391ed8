import Synchronization

/// Lets a task sleep until it is woken or a time has passed. A wake that comes while nobody sleeps counts for the next sleep.
final class WakeSignal: Sendable {
    private struct State {
        var isSet = false
        var sleeper: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func wake() {
        let sleeper = state.withLock { state in
            defer { state.sleeper = nil }
            if state.sleeper == nil { state.isSet = true }
            return state.sleeper
        }
        sleeper?.resume()
    }

    /// One task at a time. Returns early when cancelled.
    func sleep(atMost limit: Duration) async {
        let alarm = Task {
            if (try? await Task.sleep(for: limit)) != nil { releaseSleeper() }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isAwake = state.withLock { state in
                    defer { state.isSet = false }
                    if state.isSet || Task.isCancelled { return true }
                    state.sleeper = continuation
                    return false
                }
                if isAwake { continuation.resume() }
            }
        } onCancel: {
            releaseSleeper()
        }
        alarm.cancel()
    }

    private func releaseSleeper() {
        let sleeper = state.withLock { state in
            defer { state.sleeper = nil }
            return state.sleeper
        }
        sleeper?.resume()
    }
}

/// The relays of this process, to be woken after a commit.
///
/// Process-wide, because a transaction knows nothing of relays and a program has one. A wake too many costs one query.
enum RelaySignals {
    private static let relays = Mutex<[ObjectIdentifier: OutboxRelay]>([:])

    static func add(_ relay: OutboxRelay) { relays.withLock { $0[ObjectIdentifier(relay)] = relay } }
    static func remove(_ relay: OutboxRelay) { relays.withLock { $0[ObjectIdentifier(relay)] = nil } }

    static func wakeAll() {
        for relay in relays.withLock({ Array($0.values) }) { relay.wake() }
    }
}
