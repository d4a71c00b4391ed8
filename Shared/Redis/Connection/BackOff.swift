/// How long to wait before the next attempt: doubling from `first` to `longest`, spread by chance so that
/// programs which lost the same server do not return in step.
package struct BackOff: Sendable, Equatable {
    package var first: Duration = .milliseconds(50)
    package var longest: Duration = .seconds(2)

    package init() {}

    /// The pause after so many failures in a row (1 or more). `chance` is from 0 to 1: the pause lies between half and all of the step.
    package func pause(afterFailures failures: Int, chance: Double) -> Duration {
        let doublings = min(max(failures - 1, 0), 16)
        let step = min(first * (1 << doublings), longest)
        return step * (0.5 + 0.5 * min(max(chance, 0), 1))
    }
}
