package import CoreMetrics
import Foundation
import Synchronization

/// Keeps what swift-metrics records and writes it in the Prometheus text format (version 0.0.4).
///
/// Timers and recorders become histograms in seconds, with buckets that show the targets of the requirements (50 ms, 200 ms, 2 s, 5 s).
package final class Prometheus: MetricsFactory {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    /// Bounds of the histogram buckets, in seconds.
    static let buckets: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
    /// More label sets than this of one metric are dropped, so that a careless label cannot fill the memory.
    static let maximumSeries = 2_000

    private struct Family {
        var type: String
        var series: [String: any Series] = [:]
    }
    private let families = Mutex<[String: Family]>([:])

    package init() {}

    /// The whole page.
    package func render() -> String {
        let snapshot = families.withLock { $0 }
        var page = ""
        for (name, family) in snapshot.sorted(by: { $0.key < $1.key }) {
            page += "# TYPE \(name) \(family.type)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) { series.render(name, labels, into: &page) }
        }
        return page
    }

    private func series<Kind: Series>(_ label: String, _ dimensions: [(String, String)], type: String, _ make: () -> Kind) -> Kind {
        let name = Self.sanitize(label)
        let labels = dimensions.map { "\(Self.sanitize($0.0))=\"\(Self.escape($0.1))\"" }.joined(separator: ",")
        return families.withLock { families in
            if let known = families[name]?.series[labels] as? Kind { return known }
            let made = make()
            // A name that is already of another kind is not shown: two kinds under one name are no valid page.
            guard families[name]?.type ?? type == type else { return made }
            if families[name, default: Family(type: type)].series.count < Self.maximumSeries {
                families[name, default: Family(type: type)].series[labels] = made
            }
            return made
        }
    }

    private static func sanitize(_ name: String) -> String {
        String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") ? $0 : "_" })
    }

    private static func escape(_ value: String) -> String {
        value.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"").replacingOccurrences(
            of: "\n", with: "\\n")
    }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, type: "counter") { Gauge() }
    }
    package func makeFloatingPointCounter(label: String, dimensions: [(String, String)]) -> any FloatingPointCounterHandler {
        series(label, dimensions, type: "counter") { Gauge() }
    }
    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, type: "gauge") { Gauge() }
    }
    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        if aggregate { return series(label, dimensions, type: "histogram") { Histogram() } }
        return series(label, dimensions, type: "gauge") { Gauge() }
    }
    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions, type: "histogram") { Histogram() }
    }
    // Series live as long as the program: Prometheus takes a vanished one for a reset.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}
}

/// One metric with one set of labels.
private protocol Series: AnyObject, Sendable {
    func render(_ name: String, _ labels: String, into page: inout String)
}

private final class Gauge: Series, CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler {
    private let value = Mutex(0.0)

    func increment(by amount: Int64) { value.withLock { $0 += Double(amount) } }
    func increment(by amount: Double) { value.withLock { $0 += amount } }
    func decrement(by amount: Double) { value.withLock { $0 -= amount } }
    func reset() { value.withLock { $0 = 0 } }
    func set(_ new: Int64) { value.withLock { $0 = Double(new) } }
    func set(_ new: Double) { value.withLock { $0 = new } }
    func record(_ new: Int64) { set(new) }
    func record(_ new: Double) { set(new) }

    func render(_ name: String, _ labels: String, into page: inout String) {
        page += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(number(value.withLock { $0 }))\n"
    }
}

private final class Histogram: Series, TimerHandler, RecorderHandler {
    private struct State {
        var counts = [Int](repeating: 0, count: Prometheus.buckets.count + 1)
        var sum = 0.0
        var count = 0
    }
    private let state = Mutex(State())

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        let bucket = Prometheus.buckets.firstIndex { value <= $0 } ?? Prometheus.buckets.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
            state.count += 1
        }
    }

    func render(_ name: String, _ labels: String, into page: inout String) {
        let state = state.withLock { $0 }
        let prefix = labels.isEmpty ? "" : labels + ","
        var running = 0
        for (index, bound) in Prometheus.buckets.enumerated() {
            running += state.counts[index]
            page += "\(name)_bucket{\(prefix)le=\"\(number(bound))\"} \(running)\n"
        }
        page += "\(name)_bucket{\(prefix)le=\"+Inf\"} \(state.count)\n"
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        page += "\(name)_sum\(braces) \(state.sum)\n\(name)_count\(braces) \(state.count)\n"
    }
}

private func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
}
