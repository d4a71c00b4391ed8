/// How long to wait before trying again: doubling from `first` up to `most`, half of it at random, so that those who failed
/// together do not all come back together.
package struct Backoff: Sendable {
    package let first: Duration
    package let most: Duration

    package init(first: Duration, most: Duration) {
        self.first = first
        self.most = most
    }

    /// After the given number of failures, from 1. `random` is in 0..<1.
    package func wait(after failures: Int, random: Double = .random(in: 0..<1)) -> Duration {
        let doublings = min(max(0, failures - 1), 20)
        let full = min(first * (1 << doublings), most)
        return full * (0.5 + random / 2)
    }
}
