import ServiceKit
import Synchronization

/// Gives a number to each set of labels, the same on every event loop, and never more numbers than the page may have series.
final class SeriesBook<Labels: Hashable & Sendable>: Sendable {
    private struct State {
        var places: [Labels: Int] = [:]
        var all: [Labels] = []
    }

    private let limit: Int
    /// What stands for those that come when the book is full.
    private let overflow: @Sendable (Labels) -> Labels
    private let state = Mutex(State())

    /// There must be few values of `overflow`: they come on top of the limit.
    init(limit: Int, overflow: @escaping @Sendable (Labels) -> Labels) {
        self.limit = limit
        self.overflow = overflow
    }

    /// In the order of their numbers.
    var all: [Labels] { state.withLock { $0.all } }

    /// Asked once by each loop for each set of labels.
    func place(_ labels: Labels) -> Int {
        state.withLock { state in
            if let known = state.places[labels] { return known }
            let labels = state.all.count < limit ? labels : overflow(labels)
            if let known = state.places[labels] { return known }
            state.all.append(labels)
            state.places[labels] = state.all.count - 1
            return state.all.count - 1
        }
    }
}

/// A route and a status, as `trionex_http_request_duration_seconds` has them.
struct RouteSeries: Hashable, Sendable {
    /// Distinct ones; the rest of `Prometheus.maximumSeries` is for what comes when these are used up.
    static let maximum = Prometheus.maximumSeries - 16

    let route: String
    let status: Int

    /// Of all other routes, by the class of the status.
    static func overflow(_ series: RouteSeries) -> RouteSeries { RouteSeries(route: "other", status: min(9, series.status / 100) * 100) }
}

/// A replica of an upstream group.
struct UpstreamSeries: Hashable, Sendable {
    static let maximum = 100

    let group: String
    let replica: String

    /// The gateway answered by itself.
    static let none = UpstreamSeries(group: "none", replica: "none")
    static func overflow(_ series: UpstreamSeries) -> UpstreamSeries { UpstreamSeries(group: "other", replica: "other") }
}

/// The classes that organizations are counted in: their plans, as far as they are known.
enum TenantClass {
    /// Plans that are told apart.
    static let maximum = 12
    static let none = 0
    static let other = 1
    /// With those two.
    static let count = maximum + 2
    /// Which every organization begins with.
    static let standard = ["starter"]
}
