import Foundation
import NIOCore

/// Nanoseconds of a clock that nobody can set (CLOCK_MONOTONIC): for time-outs, limits and durations.
enum Monotonic {
    static let millisecond: UInt64 = 1_000_000
    static let second: UInt64 = 1_000_000_000

    @inline(__always)
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }
}

/// The clock on the wall, which may be set at any time: for the expiry of tokens, dates and ids alone.
enum WallClock {
    /// Seconds since 1970.
    @inline(__always)
    static func seconds() -> Int { time(nil) }

    /// Milliseconds since 1970.
    static func milliseconds() -> UInt64 { UInt64(max(0, Date().timeIntervalSince1970 * 1_000)) }
}
