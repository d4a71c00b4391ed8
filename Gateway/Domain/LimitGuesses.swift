import Synchronization

/// How many wrong credentials each address has shown of late, counted by this replica alone: one that guesses is not let through.
final class LimitGuesses: Sendable {
    /// Addresses held; beyond these the ones whose guesses are long past are forgotten, and then any.
    static let maximum = 100_000

    private struct State {
        var terms: LimitTerms
        var full: [String: UInt64] = [:]
    }

    private let state: Mutex<State>

    init(policy: LimitPolicy) { state = Mutex(State(terms: LimitTerms(policy))) }

    var policy: LimitPolicy { state.withLock { $0.terms.policy } }

    /// Counts by these numbers from now on; what was guessed before stays counted.
    func use(_ policy: LimitPolicy) {
        state.withLock { state in if state.terms.policy != policy { state.terms = LimitTerms(policy) } }
    }

    /// The seconds to wait of an address that has used up its wrong credentials; nil for one that may go on.
    func retryAfter(_ address: String, now: UInt64) -> Int? {
        state.withLock { state in
            let terms = state.terms
            guard let fullAt = state.full[address], fullAt + terms.interval > now + terms.window else { return nil }
            return max(1, Int((fullAt + terms.interval - now - terms.window + 999_999_999) / 1_000_000_000))
        }
    }

    func note(_ address: String, now: UInt64) {
        state.withLock { state in
            if state.full.count >= Self.maximum, state.full[address] == nil { Self.makeRoom(&state.full, now) }
            state.full[address] = min(max(state.full[address] ?? now, now) + state.terms.interval, now + state.terms.window)
        }
    }

    /// Of many at once, so that this is rare: the ones that are over, or else half of all.
    private static func makeRoom(_ full: inout [String: UInt64], _ now: UInt64) {
        full = full.filter { $0.value > now }
        guard full.count >= maximum * 3 / 4 else { return }
        var keeps = false
        full = full.filter { _ in
            keeps.toggle()
            return keeps
        }
    }
}
