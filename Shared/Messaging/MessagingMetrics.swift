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

    enum Outcome: String {
        case handled, duplicate, skipped, retried, dead
    }

    static func consumed(_ group: String, _ outcome: Outcome, since start: ContinuousClock.Instant? = nil) {
        let dimensions = [("group", group), ("outcome", outcome.rawValue)]
        Counter(label: "trionex_events_consumed_total", dimensions: dimensions).increment()
        guard let start else { return }
        Timer(label: "trionex_event_handling_seconds", dimensions: [("group", group)]).record(duration: ContinuousClock.now - start)
    }
}
