import Contracts
import Foundation

/// A table for people, whether in a terminal or on a page.
protocol AdminRow {
    static var columns: [String] { get }
    var row: [String] { get }
}

/// A route as operators see it. Routes that differ in nothing but method or prefix stand on one line.
struct RouteView: Sendable, Encodable, AdminRow {
    let label: String
    let methods: [String]
    let paths: [String]
    let service: String
    let upstream: String
    let access: String
    let limits: [String]
    let maximumBody: Int
    let maximumHeader: Int
    let connectMilliseconds: Int
    let firstByteMilliseconds: Int
    let idleMilliseconds: Int
    let totalMilliseconds: Int?
    let cache: String
    let priority: String
    let retry: Bool
    let upgrade: Bool
    let compression: Bool

    /// `default per principal`: the numbers stand in a table of their own.
    private let counted: [String]

    private enum CodingKeys: CodingKey {
        case label, methods, paths, service, upstream, access, limits, maximumBody, maximumHeader, connectMilliseconds,
            firstByteMilliseconds
        case idleMilliseconds, totalMilliseconds, cache, priority, retry, upgrade, compression
    }

    /// What is left to a service as a whole has the service's name alone as a label.
    private var name: String {
        guard paths.first?.hasSuffix("/**") == true else { return label }
        return "\(methods.joined(separator: ",")) \(paths.joined(separator: " "))"
    }

    private struct Alike: Hashable {
        let label: String
        let facts: [String]
    }

    static func all(_ table: RouteTable) -> [RouteView] {
        var places: [Alike: Int] = [:], views: [(first: RouteTable.Entry, entries: [RouteTable.Entry])] = []
        for entry in table.entries {
            let alike = Alike(label: entry.route.label, facts: Array(RouteView(entry, [entry]).row.dropFirst()))
            if let place = places[alike] {
                views[place].entries.append(entry)
            } else {
                places[alike] = views.count
                views.append((entry, [entry]))
            }
        }
        return views.map { RouteView($0.first, $0.entries) }.sorted { ($0.paths.first ?? "", $0.label) < ($1.paths.first ?? "", $1.label) }
    }

    private init(_ entry: RouteTable.Entry, _ entries: [RouteTable.Entry]) {
        let route = entry.route
        func milliseconds(_ time: UInt64) -> Int { Int(time / 1_000_000) }
        label = route.label
        methods = Set(entries.compactMap { $0.method?.name }).sorted()
        paths = Set(entries.map { RoutePattern(parts: $0.parts, isOpen: $0.isOpen).path }).sorted()
        service = route.service.rawValue
        upstream = route.group
        access = route.isPublic ? "public" : route.needsToken ? "token" : "service"
        limits = route.limits.map {
            "\($0.policy.name) \($0.policy.text) per \($0.subject.rawValue)\($0.routeLabel == nil ? "" : ", each route")"
        }
        counted = route.limits.map { "\($0.policy.name) per \($0.subject.rawValue)" }
        maximumBody = route.maximumBody
        maximumHeader = route.maximumHeader
        connectMilliseconds = milliseconds(route.times.connect)
        firstByteMilliseconds = milliseconds(route.times.firstByte)
        idleMilliseconds = milliseconds(route.times.idle)
        totalMilliseconds = route.times.total.map(milliseconds)
        cache =
            route.cache.map { "up to \($0.maximumSeconds) s, stale \($0.staleSeconds) s\($0.perPrincipal ? ", per principal" : "")" }
            ?? "off"
        priority = route.priority.name
        retry = route.mayRetry
        upgrade = route.allowsUpgrade
        compression = route.compresses
    }

    static let columns = ["route", "upstream", "access", "limits", "body", "times", "cache", "priority", "also"]

    var row: [String] {
        let total = totalMilliseconds.map { ", \($0) ms in all" } ?? ""
        let also = [retry ? "retry" : nil, upgrade ? "upgrade" : nil, compression ? nil : "no compression"].compactMap { $0 }
        return [
            name, upstream, access, counted.joined(separator: ", "), Self.bytes(maximumBody),
            "\(connectMilliseconds)/\(firstByteMilliseconds)/\(idleMilliseconds) ms\(total)", cache, priority, also.joined(separator: ", "),
        ]
    }

    static func bytes(_ count: Int) -> String {
        for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] where count >= unit && count % unit == 0 {
            return "\(count / unit) \(name)"
        }
        return "\(count) B"
    }
}

extension LimitPolicy {
    /// `1000 in 60 s, then blocked for 60 s`.
    var text: String { "\(quota) in \(window) s" + (block > 0 ? ", then blocked for \(block) s" : "") }
}

struct LimitView: Sendable, Encodable, AdminRow {
    let name: String
    let plan: String?
    let quota: Int
    let windowSeconds: Int
    let blockSeconds: Int
    let per: String

    static func all(_ file: GatewayFile) -> [LimitView] {
        let standard = file.limits.sorted { $0.key < $1.key }.map { LimitView($0.key, nil, $0.value.policy, $0.value.subject.rawValue) }
        let plans = file.plans.plans.sorted { $0.key < $1.key }.flatMap { plan, policies in
            policies.sorted { $0.key < $1.key }.map { name, policy in
                LimitView(name, plan, policy, file.limits[name]?.subject.rawValue ?? SubjectKind.tenant.rawValue)
            }
        }
        return standard + plans
    }

    private init(_ name: String, _ plan: String?, _ policy: LimitPolicy, _ per: String) {
        self.name = name
        self.plan = plan
        quota = policy.quota
        windowSeconds = policy.window
        blockSeconds = policy.block
        self.per = per
    }

    static let columns = ["limit", "plan", "quota", "window", "block", "per"]
    var row: [String] { [name, plan ?? "all", "\(quota)", "\(windowSeconds) s", blockSeconds > 0 ? "\(blockSeconds) s" : "none", per] }
}

struct MaintenanceView: Sendable, Encodable {
    let all: Bool
    let services: [String]
    let retryAfter: Int
    let message: String
    let allowedNetworks: Int

    init(_ maintenance: Maintenance) {
        all = maintenance.isWhole
        services = maintenance.services.map(\.rawValue).sorted()
        retryAfter = maintenance.retryAfter
        message = maintenance.message
        allowedNetworks = maintenance.allowed.networks.count
    }
}

struct ConfigView: Sendable, Encodable {
    let file: GatewayFileWatch.Status
    let generation: Int
    let routes: Int
    let rules: Int
    let maintenance: MaintenanceView
    let blockedNetworks: Int
    let blockedAgents: [String]
    let origins: [String]
    let tenantOrigins: [String: [String]]
    let trustedProxies: Int

    init(_ status: GatewayFileWatch.Status, _ snapshot: RoutingSnapshot) {
        file = status
        generation = snapshot.generation
        routes = snapshot.table.routes.count
        rules = snapshot.file.rules.count
        maintenance = MaintenanceView(snapshot.file.maintenance)
        blockedNetworks = snapshot.file.block.addresses.networks.count
        blockedAgents = snapshot.file.block.agents
        origins = snapshot.file.crossOrigin.origins
        tenantOrigins = snapshot.file.crossOrigin.tenants
        trustedProxies = snapshot.file.trustedProxies.count
    }
}

/// What the admin pages show of the parts that they do not know: each is asked when somebody looks.
struct AdminSources: Sendable {
    /// A name and a number each, in the order in which they are shown.
    typealias Figures = [(name: String, value: Int)]

    var upstreams: @Sendable () -> [GroupSnapshot] = { [] }
    /// Buckets, leases, refusals; whether Redis is away.
    var limits: @Sendable () -> Figures = { [] }
    var cache: @Sendable () -> Figures = { [] }
    var connections: @Sendable () -> Figures = { [] }
    /// Forgets what is kept: an organization's answers, those of one service or of all; everything when none is named.
    var purge: @Sendable (_ tenant: String?, _ services: [ServiceName]) async -> Void = { _, _ in }
}

extension GroupSnapshot: AdminRow {
    static let columns = ["upstream", "breaker", "in flight", "limit", "waiting", "shed", "retries", "latency"]

    var row: [String] {
        [
            name, isPanicking ? "\(breaker.rawValue), all tried" : breaker.rawValue, "\(inFlight)", "\(limit)", "\(waiting.total)",
            "\(shed.total)", "\(retries)", Self.milliseconds(medianLatency),
        ]
    }

    fileprivate static func milliseconds(_ time: UInt64) -> String { String(format: "%.1f ms", Double(time) / 1_000_000) }

    /// A replica with the name of its group.
    struct ReplicaRow: AdminRow {
        static let columns = ["upstream", "address", "state", "weight", "in flight", "requests", "failures", "ejections", "latency"]
        let group: String
        let replica: OfReplica

        var row: [String] {
            [
                group, replica.isCanary ? "\(replica.authority) (canary)" : replica.authority, replica.state.rawValue, "\(replica.weight)",
                "\(replica.inFlight)", "\(replica.requests)", "\(replica.failures)", "\(replica.ejections)",
                GroupSnapshot.milliseconds(replica.latency),
            ]
        }
    }

    var replicaRows: [ReplicaRow] { replicas.map { ReplicaRow(group: name, replica: $0) } }
}
