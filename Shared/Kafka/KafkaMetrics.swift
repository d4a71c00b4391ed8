import Metrics
import Synchronization

/// The module's counters. Each combination of labels is made once: making one costs more than a record does.
enum KafkaMetrics {
    static let produced = CounterFamily("trionex_kafka_produced_total")
    static let consumed = CounterFamily("trionex_kafka_consumed_total")
    static let errors = CounterFamily("trionex_kafka_errors_total")

    /// Records of a topic that this group has not handled yet, in the partitions that are ours.
    static func lag(group: String, topic: String, _ records: Int64) {
        Gauge(label: "trionex_kafka_consumer_lag", dimensions: [("group", group), ("topic", topic)]).record(records)
    }
}

final class CounterFamily: Sendable {
    private let label: String
    private let counters = Mutex<[String: Counter]>([:])

    init(_ label: String) { self.label = label }

    func increment(_ dimensions: (String, String)..., by amount: Int = 1) {
        let key = dimensions.reduce(into: "") { $0 += $1.1 + "\u{0}" }
        let counter = counters.withLock { counters in
            if let counter = counters[key] { return counter }
            let counter = Counter(label: label, dimensions: dimensions)
            counters[key] = counter
            return counter
        }
        counter.increment(by: amount)
    }
}
