import Contracts
import Synchronization

/// How many rows each organization's folds take together.
///
/// Rows of one time touch few buckets, and a full fold takes a part of a second. Rows from all over the past touch as many buckets as there are
/// rows, each with sketches to be written anew: so many together could run out of time, and never be counted.
final class FoldPaces: Sendable {
    /// Beyond it a fold gets fewer rows; it is also about what an answer may have to wait for.
    static let target = Duration.seconds(1)
    static let fewest = 100

    /// Of organizations whose folds are not full ones.
    private let reduced = Mutex<[TenantID: Int]>([:])

    func rows(of tenant: TenantID) -> Int { reduced.withLock { $0[tenant] } ?? RollupFold.rowsAtOnce }

    /// Folds that an answer waits for: of an organization that gets fewer rows at once only one, which takes about as long as it may.
    func turnsBeforeAnswer(of tenant: TenantID) -> Int { reduced.withLock { $0[tenant] } == nil ? Folds.turnsBeforeAnswer : 1 }

    /// A fold with `rows(of:)` has taken so long, or has failed after it.
    func took(_ duration: Duration, _ tenant: TenantID) {
        let rows = rows(of: tenant)
        let next =
            if duration > Self.target {
                // In proportion, but not to less than an eighth: a single slow one may have waited for somebody else.
                max(Self.fewest, rows / 8, Int(Double(rows) * (Self.target / duration)))
            } else if duration < Self.target / 4 {
                rows * 2
            } else {
                rows
            }
        reduced.withLock { $0[tenant] = next < RollupFold.rowsAtOnce ? next : nil }
    }
}
