/// How long to wait before a program that died is started again: 1 s, doubled each time up to 30 s, as Kubernetes does.
/// One that ran for a minute is taken to be well again.
package struct RestartBackoff: Sendable {
    package static let first: Duration = .seconds(1)
    package static let last: Duration = .seconds(30)
    package static let settled: Duration = .seconds(60)

    private var next = Self.first

    package init() {}

    /// The wait after a death that followed this much running.
    package mutating func wait(afterRunningFor running: Duration) -> Duration {
        if running >= Self.settled { next = Self.first }
        defer { next = min(next * 2, Self.last) }
        return next
    }
}
