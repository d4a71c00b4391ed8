import Metrics

/// The module's metrics. They are made when used: the program sets up its metrics after this is loaded.
enum MessagingMetrics {
    static func published(_ service: String, _ count: Int) {
        Counter(label: "trionex_outbox_published_total", dimensions: [("service", service)]).increment(by: count)
    }

    static func backlog(_ service: String, depth: Int, oldestSeconds: Double) {
        Gauge(label: "trionex_outbox_depth", dimensions: [("service", service)]).record(depth)
        Gauge(label: "trionex_outbox_oldest_seconds", dimensions: [("service", service)]).record(oldestSeconds)
    }

    enum Outcome: String, CaseIterable {
        case handled, duplicate, skipped, retried, dead
    }

    /// Begins all counters of a group at nothing: of one that appears with its first dead letter no increase would be seen.
    static func begin(_ group: String) {
        for outcome in Outcome.allCases {
            Counter(label: "trionex_events_consumed_total", dimensions: [("group", group), ("outcome", outcome.rawValue)]).increment(by: 0)
        }
    }

    static func consumed(_ group: String, _ outcome: Outcome, _ count: Int) {
        guard count > 0 else { return }
        Counter(label: "trionex_events_consumed_total", dimensions: [("group", group), ("outcome", outcome.rawValue)]).increment(by: count)
    }

    /// One transaction, whatever the number of its events.
    static func handled(_ group: String, since start: ContinuousClock.Instant) {
        Timer(label: "trionex_event_handling_seconds", dimensions: [("group", group)]).record(duration: ContinuousClock.now - start)
    }
}
