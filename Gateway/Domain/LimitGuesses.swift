import Synchronization

/// How many wrong credentials each address has shown of late, counted by this replica alone: one that guesses is not let through.
final class LimitGuesses: Sendable {
    /// Addresses held; beyond these the ones whose guesses are long past are forgotten, and then any.
    static let maximum = 100_000

    let policy: LimitPolicy
    private let terms: LimitTerms
    private let full = Mutex<[String: UInt64]>([:])

    init(policy: LimitPolicy) {
        self.policy = policy
        terms = LimitTerms(policy)
    }

    /// The seconds to wait of an address that has used up its wrong credentials; nil for one that may go on.
    func retryAfter(_ address: String, now: UInt64) -> Int? {
        guard let fullAt = full.withLock({ $0[address] }), fullAt + terms.interval > now + terms.window else { return nil }
        return max(1, Int((fullAt + terms.interval - now - terms.window + 999_999_999) / 1_000_000_000))
    }

    func note(_ address: String, now: UInt64) {
        full.withLock { full in
            if full.count >= Self.maximum, full[address] == nil { Self.makeRoom(&full, now) }
            full[address] = min(max(full[address] ?? now, now) + terms.interval, now + terms.window)
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
