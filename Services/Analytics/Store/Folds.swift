import Contracts
import Foundation
import Postgres
import Synchronization

/// The folds that this program does, each in a transaction of its own, at the pace that its organization has shown: one for the worker, for those
/// who ask and for those who remove, so that what one of them learns the others know.
struct Folds: Sendable {
    /// Transactions that somebody who asks waits for.
    static let turnsBeforeAnswer = 4
    /// How long they wait for somebody else's fold to end: about two.
    static let patience = FoldPaces.target * 2
    /// Between two looks whether it has.
    private static let pause = Duration.milliseconds(20)

    let database: Database
    let bound: RollupBound
    let paces = FoldPaces()

    /// Folds the oldest calls that wait, as many rows as the organization's pace allows. Nil when somebody else folds and it is not to wait for
    /// them. What a fold took is learned, without the waiting for its turn.
    func turn(as caller: Caller, waits: Bool) async throws -> (rows: Int, hasMore: Bool)? {
        let start = FoldStart(), bound = bound, most = paces.rows(of: caller.tenant)
        do {
            let folded = try await database.transaction(as: caller) { tx -> (rows: Int, hasMore: Bool)? in
                if waits {
                    try RollupFold.lock(tx)
                } else if try !RollupFold.tryLock(tx) {
                    return nil
                }
                start.note()
                return try RollupFold(tx: tx, bound: bound, most: most).fold()
            }
            if let folded, folded.rows > 0, let time = start.elapsed { paces.took(time, caller.tenant) }
            return folded
        } catch let error as CancellationError {
            throw error
        } catch {
            // Also when it ran out of time: all of it has been rolled back, and would be each time.
            if let time = start.elapsed { paces.took(time, caller.tenant) }
            throw error
        }
    }

    /// What waits, before somebody who asks is answered, in transactions of its own, so that nobody waits for a long answer. False when more
    /// waits than can be folded on the way: the worker does the rest.
    ///
    /// An organization whose folds are slow gets one, of as many rows as take about a second; so what was reported last is still found unless
    /// there is more before it.
    func catchUp(as caller: Caller) async throws -> Bool {
        let deadline = ContinuousClock.now + Self.patience
        var turns = paces.turnsBeforeAnswer(of: caller.tenant)
        while try await database.first(Self.isWaiting, as: caller) == true {
            guard turns > 0 else { return false }
            do {
                if let folded = try await turn(as: caller, waits: false) {
                    if !folded.hasMore { return true }
                    turns -= 1
                } else {
                    guard ContinuousClock.now < deadline else { return false }
                    try await Task.sleep(for: Self.pause)
                }
            } catch let failure as DependencyFailure where failure.isStatementTimeOut {
                return false
            }
        }
        return true
    }

    private static let isWaiting = Query<Bool>("SELECT EXISTS (SELECT FROM rollup_queue) AS waits", column: "waits")
}

/// When a fold had its turn.
private final class FoldStart: Sendable {
    private let time = Mutex<ContinuousClock.Instant?>(nil)

    func note() { time.withLock { $0 = .now } }

    /// Nil when it never had.
    var elapsed: Duration? { time.withLock { $0 }.map { ContinuousClock.now - $0 } }
}
