import Contracts
import Foundation

/// How many refusals of whom have been written down lately, so that a flood of calls makes no flood of entries. No clock.
struct RefusalBook: Sendable {
    struct Limits: Sendable {
        /// Entries of one caller in a window; what comes after is counted.
        var entries = 20
        /// Seconds.
        var window: TimeInterval = 60
        /// Callers known at once. What others do meanwhile is not written down, only counted.
        var callers = 10_000
    }

    enum Decision: Equatable {
        case write
        /// There were too many; they are counted, and the sum is written when the window ends.
        case count
        /// There is no room for another caller.
        case full
    }

    struct Key: Hashable, Sendable {
        let tenant: TenantID
        let principal: String
    }

    /// What was not written one by one.
    struct Sum: Sendable, Equatable {
        let caller: Caller
        let count: Int
        let since: Date
    }

    private struct Window {
        let caller: Caller
        let since: Date
        var written = 0
        var counted = 0
    }

    let limits: Limits
    private var windows: [Key: Window] = [:]

    init(_ limits: Limits = Limits()) { self.limits = limits }

    /// Ended windows are only closed by `sums`; until then they count on.
    mutating func decide(_ caller: Caller, at now: Date) -> Decision {
        let key = Key(tenant: caller.tenant, principal: caller.principalText)
        guard windows[key] != nil || windows.count < limits.callers else { return .full }
        var window = windows[key] ?? Window(caller: caller, since: now)
        defer { windows[key] = window }
        guard window.written < limits.entries else {
            window.counted += 1
            return .count
        }
        window.written += 1
        return .write
    }

    /// Closes the windows that have ended, all of them at the end of the program, and gives what was only counted in them.
    mutating func sums(at now: Date, all: Bool = false) -> [Sum] {
        let ended = windows.filter { all || now.timeIntervalSince($0.value.since) >= limits.window }
        for key in ended.keys { windows[key] = nil }
        return ended.values.filter { $0.counted > 0 }.map { Sum(caller: $0.caller, count: $0.counted, since: $0.since) }
    }
}
