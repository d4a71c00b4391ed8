package import CoreMetrics
import Foundation
import Synchronization

/// Keeps what swift-metrics records and writes it in the Prometheus text format (version 0.0.4).
///
/// Timers and recorders become histograms in seconds, with buckets that show the targets of the requirements (50 ms, 200 ms, 2 s, 5 s).
package final class Prometheus: MetricsFactory {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    /// Bounds of the histogram buckets, in seconds.
    package static let buckets: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
    /// More label sets than this of one metric are dropped, so that a careless label cannot fill the memory.
    package static let maximumSeries = 2_000

    private struct Family {
        var type: String
        var series: [String: any Series] = [:]
    }
    private let families = Mutex<[String: Family]>([:])
    private let collectors = Mutex<[Collector]>([])

    package init() {}

    /// Tells what is counted elsewhere, in a way of its own; nil when there will never be anything again.
    package typealias Collector = @Sendable () -> [MetricFamily]?

    /// Asks the collector whenever the page is asked for.
    package func register(_ collector: @escaping Collector) { collectors.withLock { $0.append(collector) } }

    /// Two collectors may tell of the same series: then it is one, the sum of both.
    private func collected() -> [String: Family] {
        let asked = collectors.withLock { $0 }
        var told: [[MetricFamily]] = []
        var isGone: [Bool] = []
        for collector in asked {
            let families = collector()
            isGone.append(families == nil)
            told.append(families ?? [])
        }
        if isGone.contains(true) {
            // Those that came meanwhile stand behind the ones that were asked.
            collectors.withLock { collectors in
                collectors = collectors.enumerated().filter { !($0.offset < isGone.count && isGone[$0.offset]) }.map(\.element)
            }
        }
        var sums: [String: (kind: MetricFamily.Kind, series: [String: MetricFamily.Value])] = [:]
        for family in told.joined() {
            for (labels, value) in family.series {
                let text = Self.text(labels)
                guard sums[family.name]?.series[text] != nil || sums[family.name]?.series.count ?? 0 < Self.maximumSeries else { continue }
                sums[family.name, default: (family.kind, [:])].series[text, default: .number(0)].add(value)
            }
        }
        return sums.mapValues { sum in Family(type: sum.kind.rawValue, series: sum.series.mapValues { Told(value: $0) }) }
    }

    private static func text(_ labels: [(String, String)]) -> String {
        labels.map { "\(sanitize($0.0))=\"\(escape($0.1))\"" }.joined(separator: ",")
    }

    /// The whole page.
    package func render() -> String {
        let snapshot = families.withLock { $0 }.merging(collected()) { own, told in
            Family(type: own.type, series: own.series.merging(told.series) { own, _ in own })
        }
        var page = ""
        for (name, family) in snapshot.sorted(by: { $0.key < $1.key }) {
            page += "# TYPE \(name) \(family.type)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) { series.render(name, labels, into: &page) }
        }
        return page
    }

    private func series<Kind: Series>(_ label: String, _ dimensions: [(String, String)], type: String, _ make: () -> Kind) -> Kind {
        let name = Self.sanitize(label)
        let labels = Self.text(dimensions)
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

/// A metric whose numbers somebody else keeps, as it is at the moment.
package struct MetricFamily: Sendable {
    package enum Kind: String, Sendable { case counter, gauge, histogram }

    package enum Value: Sendable {
        case number(Double)
        /// How many fell into each of `Prometheus.buckets` and how many above, not added up; and the sum of all of them.
        case histogram(counts: [Int], sum: Double)

        fileprivate mutating func add(_ other: Value) {
            switch (self, other) {
            case (.number(let own), .number(let more)): self = .number(own + more)
            case (.histogram(let own, let sum), .histogram(let more, let further)) where own.count == more.count:
                self = .histogram(counts: zip(own, more).map { $0 + $1 }, sum: sum + further)
            default: self = other
            }
        }
    }

    package let name: String
    package let kind: Kind
    package var series: [(labels: [(String, String)], value: Value)]

    package init(_ name: String, _ kind: Kind, _ series: [(labels: [(String, String)], value: Value)]) {
        self.name = name
        self.kind = kind
        self.series = series
    }
}

private final class Told: Series {
    private let value: MetricFamily.Value

    init(value: MetricFamily.Value) { self.value = value }

    func render(_ name: String, _ labels: String, into page: inout String) {
        switch value {
        case .number(let value): page += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(number(value))\n"
        case .histogram(let counts, let sum): page += histogram(name, labels, counts, sum)
        }
    }
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
    }
    private let state = Mutex(State())

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        let bucket = Prometheus.buckets.firstIndex { value <= $0 } ?? Prometheus.buckets.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    func render(_ name: String, _ labels: String, into page: inout String) {
        let state = state.withLock { $0 }
        page += histogram(name, labels, state.counts, state.sum)
    }
}

private func histogram(_ name: String, _ labels: String, _ counts: [Int], _ sum: Double) -> String {
    var text = ""
    let prefix = labels.isEmpty ? "" : labels + ","
    var running = 0
    for (bound, count) in zip(Prometheus.buckets, counts) {
        running += count
        text += "\(name)_bucket{\(prefix)le=\"\(number(bound))\"} \(running)\n"
    }
    running += counts.last ?? 0
    text += "\(name)_bucket{\(prefix)le=\"+Inf\"} \(running)\n"
    let braces = labels.isEmpty ? "" : "{\(labels)}"
    return text + "\(name)_sum\(braces) \(sum)\n\(name)_count\(braces) \(running)\n"
}

private func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
}
