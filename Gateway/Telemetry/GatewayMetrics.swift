import Contracts
import ServiceKit
import Synchronization

/// The gateway's metrics: what the event loops have counted, added up when somebody asks, with the states of upstreams and connections.
///
/// Labels are bounded: routes and statuses, replicas and plans by their books, problems and caches by their words.
final class GatewayMetrics: Sendable {
    /// Codes of refusals, and words of the cache, that are told apart.
    static let maximumWords = 100

    let routes = SeriesBook<RouteSeries>(limit: RouteSeries.maximum, overflow: RouteSeries.overflow)
    let upstreams = SeriesBook<UpstreamSeries>(limit: UpstreamSeries.maximum, overflow: UpstreamSeries.overflow)
    let problems = SeriesBook<String>(limit: GatewayMetrics.maximumWords) { _ in "other" }
    let caches = SeriesBook<String>(limit: GatewayMetrics.maximumWords) { _ in "other" }

    private struct State {
        var loops: [LoopTally] = []
        var plans: [String] = []
        var edges: [EdgeCounters] = []
        var certificates: [@Sendable () -> Int] = []
    }
    private let state = Mutex(State())
    private let planCount = Atomic(0)
    private let groups: UpstreamGroups?
    private let log: AccessLog?
    private let now: @Sendable () -> UInt64

    init(
        plans: [String] = [], groups: UpstreamGroups? = nil, log: AccessLog? = nil,
        now: @escaping @Sendable () -> UInt64 = { Monotonic.now() }
    ) {
        self.groups = groups
        self.log = log
        self.now = now
        know(plans: TenantClass.standard + plans)
    }

    /// Shows itself on the page for as long as it lives.
    func register(_ page: Prometheus = Telemetry.metrics) { page.register { [weak self] in self?.families() } }

    func loop() -> LoopTally {
        let loop = LoopTally()
        state.withLock { $0.loops.append(loop) }
        return loop
    }

    /// The connections of the listener.
    func show(_ edge: EdgeCounters) { state.withLock { $0.edges.append(edge) } }

    /// The end of a certificate's time, in seconds since 1970: it moves when the certificate is replaced.
    func show(certificate expires: @escaping @Sendable () -> Int) { state.withLock { $0.certificates.append(expires) } }

    /// What the listeners have counted, for people.
    var connections: [(name: String, value: Int)] {
        let (edges, certificates) = state.withLock { ($0.edges, $0.certificates) }
        func sum(_ counter: (EdgeCounters) -> Int) -> Int { edges.reduce(0) { $0 + counter($1) } }
        return [
            ("open", sum { $0.open.load(ordering: .relaxed) }), ("accepted", sum { $0.accepted.load(ordering: .relaxed) }),
        ] + Self.ended.map { name, counter in (name, sum(counter)) }
            + [
                ("streams reset", sum { $0.resetStreams.load(ordering: .relaxed) }),
                ("streams stalled", sum { $0.stalledStreams.load(ordering: .relaxed) }),
            ] + (certificates.map { $0() }.min().map { [("certificate expires", $0)] } ?? [])
    }

    /// Why the gateway ended connections.
    private static let ended: [(String, @Sendable (EdgeCounters) -> Int)] = [
        ("too-many", { $0.refused.load(ordering: .relaxed) }),
        ("too-many-of-address", { $0.crowded.load(ordering: .relaxed) }), ("proxy-header", { $0.badProxies.load(ordering: .relaxed) }),
        ("handshake", { $0.failedHandshakes.load(ordering: .relaxed) }), ("slow-opening", { $0.slowOpenings.load(ordering: .relaxed) }),
        ("http2", { $0.brokenHTTP2.load(ordering: .relaxed) }), ("calmed", { $0.calmed.load(ordering: .relaxed) }),
        ("stalled", { $0.stalledConnections.load(ordering: .relaxed) }),
    ]

    /// Tells these plans apart from now on, as far as there is room; those it knew it goes on to know.
    func know(plans: some Sequence<String>) {
        state.withLock { state in
            for plan in plans where !state.plans.contains(plan) && state.plans.count < TenantClass.maximum { state.plans.append(plan) }
            planCount.store(state.plans.count, ordering: .releasing)
        }
    }

    /// Moves when `plans` has grown.
    var knownPlans: Int { planCount.load(ordering: .acquiring) }
    var plans: [String] { state.withLock { $0.plans } }

    // MARK: - The page

    func families() -> [MetricFamily] {
        let (loops, plans, edges, certificates) = state.withLock { ($0.loops, $0.plans, $0.edges, $0.certificates) }
        var sum = LoopTally.Counts()
        for loop in loops { loop.read { Self.add($0, to: &sum) } }
        return requestFamilies(sum, plans) + upstreamFamilies(sum) + edgeFamilies(edges)
            + (certificates.map { $0() }.min().map { [Self.gauge("certificate_expiry_timestamp_seconds", $0)] } ?? [])
            + (groups.map { groupFamilies($0) } ?? [])
    }

    private static func add(_ counts: borrowing LoopTally.Counts, to sum: inout LoopTally.Counts) {
        add(counts.routes, to: &sum.routes)
        add(counts.upstreams, to: &sum.upstreams)
        add(counts.problems, to: &sum.problems)
        add(counts.caches, to: &sum.caches)
        sum.retries += counts.retries
        sum.active += counts.active
    }

    private static func add(_ numbers: [UInt64], to sum: inout [UInt64]) {
        if sum.count < numbers.count { sum.append(contentsOf: repeatElement(0, count: numbers.count - sum.count)) }
        for (index, number) in numbers.enumerated() { sum[index] += number }
    }

    private func requestFamilies(_ sum: LoopTally.Counts, _ plans: [String]) -> [MetricFamily] {
        var durations = MetricFamily("trionex_http_request_duration_seconds", .histogram, [])
        for (index, series) in routes.all.enumerated() {
            guard let value = Self.histogram(sum.routes, at: index * LoopTally.histogram) else { continue }
            durations.series.append(
                ([("service", ServiceName.gateway.rawValue), ("route", series.route), ("status", String(series.status))], value))
        }
        var requests = MetricFamily("trionex_gateway_requests_total", .counter, [])
        let classes = ["none", "other"] + plans
        for (index, series) in upstreams.all.enumerated() {
            for (plan, name) in classes.enumerated() {
                guard let count = Self.number(sum.upstreams, index, LoopTally.plansAt + plan), count > 0 else { continue }
                requests.series.append(([("plan", name), ("upstream", series.group), ("replica", series.replica)], .number(Double(count))))
            }
        }
        func words(_ name: String, _ label: String, _ book: SeriesBook<String>, _ numbers: [UInt64]) -> MetricFamily {
            let words = zip(book.all, numbers).filter { $0.1 > 0 }
            return MetricFamily(name, .counter, words.map { ([(label, $0.0)], .number(Double($0.1))) })
        }
        return [
            durations, requests, words("trionex_gateway_problems_total", "problem", problems, sum.problems),
            words("trionex_gateway_cache_total", "state", caches, sum.caches), Self.counter("retries", sum.retries),
            Self.gauge("active_requests", sum.active), Self.counter("access_log_dropped", UInt64(log?.dropped ?? 0)),
        ]
    }

    private func upstreamFamilies(_ sum: LoopTally.Counts) -> [MetricFamily] {
        var durations = MetricFamily("trionex_gateway_upstream_duration_seconds", .histogram, [])
        var responses = MetricFamily("trionex_gateway_upstream_responses_total", .counter, [])
        var bytes = MetricFamily("trionex_gateway_bytes_total", .counter, [])
        for (index, series) in upstreams.all.enumerated() {
            let labels = [("upstream", series.group), ("replica", series.replica)]
            func add(_ family: inout MetricFamily, _ label: (String, String), _ place: Int) {
                guard let count = Self.number(sum.upstreams, index, place), count > 0 else { return }
                family.series.append((labels + [label], .number(Double(count))))
            }
            add(&bytes, ("direction", "in"), LoopTally.bytesAt)
            add(&bytes, ("direction", "out"), LoopTally.bytesAt + 1)
            guard series != .none else { continue }
            for group in 0..<LoopTally.statusClasses { add(&responses, ("class", "\(group)xx"), LoopTally.classesAt + group) }
            add(&responses, ("class", "none"), LoopTally.unansweredAt)
            if let value = Self.histogram(sum.upstreams, at: index * LoopTally.upstream) { durations.series.append((labels, value)) }
        }
        return [durations, responses, bytes]
    }

    private func edgeFamilies(_ edges: [EdgeCounters]) -> [MetricFamily] {
        guard !edges.isEmpty else { return [] }
        func sum(_ counter: (EdgeCounters) -> Int) -> Int { edges.reduce(0) { $0 + counter($1) } }
        return [
            Self.gauge("connections", sum { $0.open.load(ordering: .relaxed) }),
            Self.counter("connections_accepted", UInt64(sum { $0.accepted.load(ordering: .relaxed) })),
            MetricFamily(
                "trionex_gateway_connections_ended_total", .counter,
                Self.ended.map { reason, counter in ([("reason", reason)], .number(Double(sum(counter)))) }),
            Self.counter("http2_streams_reset", UInt64(sum { $0.resetStreams.load(ordering: .relaxed) })),
            Self.counter("http2_streams_stalled", UInt64(sum { $0.stalledStreams.load(ordering: .relaxed) })),
        ]
    }

    private func groupFamilies(_ groups: UpstreamGroups) -> [MetricFamily] {
        typealias Rows = [(labels: [(String, String)], value: MetricFamily.Value)]
        var (running, limits, waiting, shed, breakers, openings, states, ejections): (Rows, Rows, Rows, Rows, Rows, Rows, Rows, Rows) =
            ([], [], [], [], [], [], [], [])
        for group in groups.snapshots(now: now()).prefix(UpstreamSeries.maximum) {
            let label = ("upstream", group.name)
            running.append(([label], .number(Double(group.inFlight))))
            limits.append(([label], .number(Double(group.limit))))
            for (priority, waits, refused) in [
                ("critical", group.waiting.critical, group.shed.critical), ("normal", group.waiting.normal, group.shed.normal),
                ("bulk", group.waiting.bulk, group.shed.bulk),
            ] {
                waiting.append(([label, ("priority", priority)], .number(Double(waits))))
                shed.append(([label, ("priority", priority)], .number(Double(refused))))
            }
            breakers.append(([label], .number(group.breaker == .closed ? 0 : group.breaker == .halfOpen ? 1 : 2)))
            openings.append(([label], .number(Double(group.breakerOpenings))))
            for replica in group.replicas.prefix(UpstreamSeries.maximum) {
                let labels = [label, ("replica", replica.authority)]
                states.append((labels, .number(replica.state == .healthy ? 1 : 0)))
                ejections.append((labels, .number(Double(replica.ejections))))
            }
        }
        return [
            MetricFamily("trionex_gateway_upstream_requests", .gauge, running),
            MetricFamily("trionex_gateway_upstream_limit", .gauge, limits),
            MetricFamily("trionex_gateway_upstream_waiting", .gauge, waiting),
            MetricFamily("trionex_gateway_upstream_shed_total", .counter, shed),
            MetricFamily("trionex_gateway_upstream_breaker", .gauge, breakers),
            MetricFamily("trionex_gateway_upstream_breaker_openings_total", .counter, openings),
            MetricFamily("trionex_gateway_upstream_healthy", .gauge, states),
            MetricFamily("trionex_gateway_upstream_ejections_total", .counter, ejections),
        ]
    }

    private static func counter(_ name: String, _ value: UInt64) -> MetricFamily {
        MetricFamily("trionex_gateway_\(name)_total", .counter, [([], .number(Double(value)))])
    }

    private static func gauge(_ name: String, _ value: Int) -> MetricFamily {
        MetricFamily("trionex_gateway_\(name)", .gauge, [([], .number(Double(value)))])
    }

    private static func number(_ numbers: [UInt64], _ upstream: Int, _ place: Int) -> UInt64? {
        let index = upstream * LoopTally.upstream + place
        return index < numbers.count ? numbers[index] : nil
    }

    /// Nil where nothing was counted.
    private static func histogram(_ numbers: [UInt64], at start: Int) -> MetricFamily.Value? {
        guard start + LoopTally.histogram <= numbers.count else { return nil }
        let counts = numbers[start..<(start + LoopTally.histogram - 1)].map { Int($0) }
        guard counts.contains(where: { $0 > 0 }) else { return nil }
        return .histogram(counts: counts, sum: Double(numbers[start + LoopTally.histogram - 1]) / 1e9)
    }
}
