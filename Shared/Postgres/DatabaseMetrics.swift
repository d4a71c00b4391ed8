import Metrics

/// Connections and line of one pool.
struct PoolMetrics: Sendable {
    private let inUse: Gauge
    private let waiting: Gauge

    init(pool: String) {
        inUse = Gauge(label: "trionex_db_pool_in_use", dimensions: [("pool", pool)])
        waiting = Gauge(label: "trionex_db_pool_waiting", dimensions: [("pool", pool)])
    }
}

extension PoolMetrics {
    func record(running: Int, waiting: Int) {
        inUse.record(running)
        self.waiting.record(waiting)
    }
}

/// Durations and errors of what is run. The labels are few and fixed: no statement, no tenant.
struct QueryMetrics: Sendable {
    private let duration: Timer
    private let errors: [String: Counter]
    private let otherErrors: Counter

    /// The classes worth telling apart (PostgreSQL manual, appendix A); `lost` is a lost connection.
    private static let classes = ["08", "22", "23", "25", "40", "42", "53", "55", "57", "lost"]

    init(kind: String) {
        duration = Timer(
            label: "trionex_db_query_duration_seconds", dimensions: [("kind", kind)], preferredDisplayUnit: .seconds)
        func counter(_ name: String) -> Counter {
            Counter(label: "trionex_db_errors_total", dimensions: [("kind", kind), ("sqlstate_class", name)])
        }
        errors = Dictionary(uniqueKeysWithValues: Self.classes.map { ($0, counter($0)) })
        otherErrors = counter("other")
    }

    func record(since start: ContinuousClock.Instant) {
        duration.recordNanoseconds(Int64((ContinuousClock.now - start) / .nanoseconds(1)))
    }

    func count(_ error: any Error) {
        switch error {
        case let failure as PostgresFailure: (errors[String(failure.sqlState.prefix(2))] ?? otherErrors).increment()
        case is ConnectionLost: errors["lost"]?.increment()
        default: break
        }
    }
}
