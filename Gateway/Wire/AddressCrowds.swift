import Synchronization

/// How many connections are open from each address, of all event loops: one client must not take all that there are.
///
/// It remembers nobody who has no connection open, so it is never larger than the number of those.
final class AddressCrowds: Sendable {
    /// Of all connections, one in so many may be from one address, where the settings have no number.
    static let share = 10
    /// And so many in any case.
    static let least = 100

    private let most: Int
    private let counts = Mutex<[String: Int]>([:])

    init(most: Int) { self.most = most }

    /// Addresses that have connections.
    var count: Int { counts.withLock { $0.count } }

    /// False when there are too many of this `limitSubject`; whoever got true must `leave`.
    func enter(_ subject: String) -> Bool {
        counts.withLock { counts in
            let present = counts[subject, default: 0]
            guard present < most else { return false }
            counts[subject] = present + 1
            return true
        }
    }

    func leave(_ subject: String) {
        counts.withLock { counts in
            guard let present = counts[subject] else { return }
            counts[subject] = present > 1 ? present - 1 : nil
        }
    }
}
