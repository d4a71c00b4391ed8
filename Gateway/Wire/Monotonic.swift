import Foundation
import Glibc
import NIOCore

/// Nanoseconds of a clock that nobody can set (CLOCK_MONOTONIC): for time-outs, limits and durations.
enum Monotonic {
    static let millisecond: UInt64 = 1_000_000
    static let second: UInt64 = 1_000_000_000

    @inline(__always)
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    /// The same, up to four milliseconds behind and a fifth of the price: for the time-outs of every request.
    @inline(__always)
    static func coarse() -> UInt64 {
        // Two words, seconds and nanoseconds: the members of `timespec` belong to a module that cannot be imported by name.
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { words in
            let start = UnsafeMutableRawPointer(words.baseAddress!)
            clock_gettime(CLOCK_MONOTONIC_COARSE, start.assumingMemoryBound(to: timespec.self))
            return words[0] &* second &+ words[1]
        }
    }
}

/// The clock on the wall, which may be set at any time: for the expiry of tokens, dates and ids alone.
enum WallClock {
    /// Seconds since 1970.
    @inline(__always)
    static func seconds() -> Int { time(nil) }

    /// Milliseconds since 1970.
    static func milliseconds() -> UInt64 { UInt64(max(0, Date().timeIntervalSince1970 * 1_000)) }
}
