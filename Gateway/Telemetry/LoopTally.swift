import Contracts
import ServiceKit
import Synchronization

/// What one event loop has counted: plain numbers in flat arrays, under a lock that only the page of metrics ever contends for.
final class LoopTally: Sendable {
    /// Numbers of one histogram: a count for each bucket, one for what is above, and the sum in nanoseconds.
    static let histogram = Prometheus.buckets.count + 2
    /// Of one upstream: a histogram, responses by class of status, failures without any, bytes both ways, and requests by tenant class.
    static let upstream = histogram + statusClasses + 1 + 2 + TenantClass.count
    static let statusClasses = 6
    static let classesAt = histogram
    static let unansweredAt = classesAt + statusClasses
    static let bytesAt = unansweredAt + 1
    static let plansAt = bytesAt + 2
    /// Bounds of the buckets in nanoseconds.
    private static let bounds = Prometheus.buckets.map { UInt64($0 * 1e9) }

    struct Counts {
        /// `histogram` numbers for each `RouteSeries`.
        var routes: [UInt64] = []
        /// `upstream` numbers for each `UpstreamSeries`.
        var upstreams: [UInt64] = []
        var problems: [UInt64] = []
        var caches: [UInt64] = []
        var retries: UInt64 = 0
        var active = 0
    }

    private let counts = Mutex(Counts())

    /// Reads under the lock.
    func read<Result>(_ body: (borrowing Counts) -> Result) -> Result { counts.withLock { body($0) } }

    func began() { counts.withLock { $0.active += 1 } }

    /// The places that a request counts at.
    struct Places {
        let route: Int
        let upstream: Int
        let plan: Int
        let problem: Int?
        let cache: Int?
    }

    func finished(_ record: borrowing AccessRecord, at places: Places) {
        counts.withLock { counts in
            counts.active -= 1
            Self.add(record.duration, to: &counts.routes, at: places.route * Self.histogram)
            let upstream = places.upstream * Self.upstream
            Self.grow(&counts.upstreams, to: upstream + Self.upstream)
            if let duration = record.upstreamDuration {
                Self.add(duration, to: &counts.upstreams, at: upstream)
                counts.upstreams[upstream + Self.classesAt + min(record.status / 100, Self.statusClasses - 1)] += 1
            } else if record.replica != nil {
                counts.upstreams[upstream + Self.unansweredAt] += 1
            }
            counts.upstreams[upstream + Self.bytesAt] += UInt64(max(0, record.received))
            counts.upstreams[upstream + Self.bytesAt + 1] += UInt64(max(0, record.sent))
            counts.upstreams[upstream + Self.plansAt + places.plan] += 1
            if record.tries > 1 { counts.retries += UInt64(record.tries - 1) }
            if let problem = places.problem { Self.count(&counts.problems, at: problem) }
            if let cache = places.cache { Self.count(&counts.caches, at: cache) }
        }
    }

    @inline(__always)
    private static func add(_ nanoseconds: UInt64, to numbers: inout [UInt64], at start: Int) {
        grow(&numbers, to: start + histogram)
        var bucket = 0
        while bucket < bounds.count, nanoseconds > bounds[bucket] { bucket += 1 }
        numbers[start + bucket] += 1
        numbers[start + histogram - 1] &+= nanoseconds
    }

    private static func count(_ numbers: inout [UInt64], at place: Int) {
        grow(&numbers, to: place + 1)
        numbers[place] += 1
    }

    @inline(__always)
    private static func grow(_ numbers: inout [UInt64], to count: Int) {
        if numbers.count < count { numbers.append(contentsOf: repeatElement(0, count: count - numbers.count)) }
    }
}
