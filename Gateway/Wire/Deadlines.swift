import NIOCore

/// Something that must not wait for ever.
protocol Timed: AnyObject {
    /// When it has waited too long, in monotonic nanoseconds; `UInt64.max` for never. Moving it costs nothing.
    var deadline: UInt64 { get }
    /// Its place in the list; -1 outside.
    var timedIndex: Int { get set }
    func deadlinePassed(_ now: UInt64)
}

/// All that waits on one event loop, looked through at every tick: cheaper than a timer for each of a hundred thousand waits a
/// second, most of which end long before their time.
final class Deadlines {
    /// Time-outs are late by at most this.
    static let tick: TimeAmount = .milliseconds(50)

    private var timed: [any Timed] = []

    var count: Int { timed.count }

    func add(_ item: any Timed) {
        guard item.timedIndex < 0 else { return }
        item.timedIndex = timed.count
        timed.append(item)
    }

    func remove(_ item: any Timed) {
        let index = item.timedIndex
        guard index >= 0 else { return }
        item.timedIndex = -1
        let last = timed.removeLast()
        guard last !== item else { return }
        timed[index] = last
        last.timedIndex = index
    }

    func look(_ now: UInt64) {
        // Backwards: who is removed is replaced by the last, which has been looked at.
        var index = timed.count - 1
        while index >= 0 {
            if index < timed.count, timed[index].deadline <= now { timed[index].deadlinePassed(now) }
            index -= 1
        }
    }
}
