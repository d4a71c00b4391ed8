import Contracts
import Foundation
import ServiceKit

/// What one event loop tells of its requests: a line of the log, the numbers, and a span where somebody collects them.
///
/// It looks up in its own tables what other loops and the log call it, so that a request costs two locks that nobody else wants, and
/// no memory.
final class LoopTelemetry {
    /// For how long the two clocks are taken to go alike.
    private static let clockInterval: UInt64 = 100_000_000

    private let log: AccessLog
    private let lane: AccessLog.Lane
    private let metrics: GatewayMetrics
    private let tally: LoopTally
    private lazy var spans = SpanRecorder()
    private var line: AccessLine
    /// What the clock on the wall is ahead of the other, and when that was looked at.
    private var ahead: UInt64 = 0
    private var aheadAt: UInt64 = 0

    /// Places of a route's statuses.
    private struct Statuses {
        var known: [(status: Int, place: Int)] = []
    }
    private var routes: [Statuses] = []
    private var actions: [(name: UnsafePointer<UInt8>, statuses: Statuses)] = []
    /// By `Replica.id`, -1 where it was not asked for yet.
    private var replicas: [Int] = []
    private let ownPlace: Int
    private var problems: [String: Int] = [:]
    private var caches: [(word: UnsafePointer<UInt8>, place: Int)] = []
    private var plans: [String]

    init(_ log: AccessLog, _ metrics: GatewayMetrics) {
        self.log = log
        self.metrics = metrics
        lane = log.lane()
        tally = metrics.loop()
        line = AccessLine(service: log.service)
        ownPlace = metrics.upstreams.place(.none)
        plans = metrics.plans
    }

    /// A request has begun; `finished` is told of its end.
    func began() { tally.began() }

    func finished(_ record: borrowing AccessRecord) {
        let isFault = record.status >= 500
        let wall = wall(record.endedAt)
        if log.tellsAll || (isFault && log.tellsFaults) {
            let level: StaticString = isFault ? "error" : "info"
            lane.write { writer in line.write(record, level: level, wall: wall, to: &writer) }
        }
        tally.finished(record, at: places(record))
        spans?.record(record, wall: wall)
    }

    /// Nanoseconds since 1970. A clock that is set is noticed a moment later.
    private func wall(_ monotonic: UInt64) -> UInt64 {
        if aheadAt == 0 || monotonic &- aheadAt > Self.clockInterval {
            ahead = UInt64(max(0, Date().timeIntervalSince1970 * 1e9)) &- monotonic
            aheadAt = monotonic
        }
        return monotonic &+ ahead
    }

    // MARK: - Places

    private func places(_ record: borrowing AccessRecord) -> LoopTally.Places {
        LoopTally.Places(
            route: routePlace(record), upstream: upstreamPlace(record.replica), plan: planPlace(record.identity),
            problem: record.problem.map { problemPlace($0) }, cache: record.cache.map { cachePlace($0) })
    }

    private func routePlace(_ record: borrowing AccessRecord) -> Int {
        // No status has four digits, whatever a service says.
        let status = max(0, min(record.status, 999))
        if let route = record.route {
            while routes.count <= route.id { routes.append(Statuses()) }
            return Self.place(status, in: &routes[route.id]) { metrics.routes.place(RouteSeries(route: route.label, status: status)) }
        }
        let action = record.action ?? AccessRecord.unrouted
        func place(_ index: Int) -> Int {
            Self.place(status, in: &actions[index].statuses) { metrics.routes.place(RouteSeries(route: "\(action)", status: status)) }
        }
        // Words that are written in the program: there are but few.
        for index in actions.indices where actions[index].name == action.utf8Start { return place(index) }
        actions.append((action.utf8Start, Statuses()))
        return place(actions.count - 1)
    }

    @inline(__always)
    private static func place(_ status: Int, in statuses: inout Statuses, _ ask: () -> Int) -> Int {
        for entry in statuses.known where entry.status == status { return entry.place }
        let place = ask()
        statuses.known.append((status, place))
        return place
    }

    private func upstreamPlace(_ replica: Replica?) -> Int {
        guard let replica else { return ownPlace }
        while replicas.count <= replica.id { replicas.append(-1) }
        if replicas[replica.id] < 0 {
            replicas[replica.id] = metrics.upstreams.place(UpstreamSeries(group: replica.group, replica: replica.authority))
        }
        return replicas[replica.id]
    }

    private func planPlace(_ identity: Identity?) -> Int {
        guard let identity else { return TenantClass.none }
        if plans.count != metrics.knownPlans { plans = metrics.plans }
        guard let plan = identity.verified.caller.plan, let index = plans.firstIndex(of: plan) else { return TenantClass.other }
        return index + 2
    }

    private func problemPlace(_ problem: String) -> Int {
        if let known = problems[problem] { return known }
        let place = metrics.problems.place(problem)
        // Codes are written in the program; should a stranger's text ever be one, it fills no memory.
        if problems.count < GatewayMetrics.maximumWords { problems[problem] = place }
        return place
    }

    private func cachePlace(_ word: StaticString) -> Int {
        for entry in caches where entry.word == word.utf8Start { return entry.place }
        let place = metrics.caches.place("\(word)")
        caches.append((word.utf8Start, place))
        return place
    }
}
