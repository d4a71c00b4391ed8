import Contracts
import NIOCore

/// What is in force, as one event loop sees it: the table, the file, and the upstream groups of its routes.
final class Policy {
    let table: RouteTable
    let file: GatewayFile
    let generation: Int
    let crossOrigin: CrossOrigin
    private let groups: UpstreamGroups
    /// By `Route.id`, once one was asked for.
    private var byRoute: [UpstreamGroup?]
    private let looksAtVisitors: Bool
    /// Routes whose service has let an answer be shared, by `Route.id`.
    private var cached: [Bool]
    private(set) var cachesAnything = false

    init(_ snapshot: RoutingSnapshot, _ groups: UpstreamGroups) {
        table = snapshot.table
        file = snapshot.file
        generation = snapshot.generation
        self.groups = groups
        crossOrigin = CrossOrigin(origins: snapshot.file.crossOrigin.origins, tenants: snapshot.file.crossOrigin.tenants)
        byRoute = Array(repeating: nil, count: snapshot.table.idCount)
        cached = Array(repeating: false, count: snapshot.table.idCount)
        looksAtVisitors = !snapshot.file.block.isEmpty
    }

    var plans: PlanLimits { file.plans }
    var trustedProxies: [Network] { file.trustedProxies }

    /// Nil: no address is known for the route.
    @inline(__always)
    func group(_ route: Route) -> UpstreamGroup? {
        if let known = byRoute[route.id] { return known }
        let group = groups[route.group]
        byRoute[route.id] = group
        return group
    }

    @inline(__always)
    func mayBeCached(_ route: Route) -> Bool { cached[route.id] }

    func allowCaching(_ route: Route) {
        cached[route.id] = true
        cachesAnything = true
    }

    func blocks(_ visitor: Visitor?, _ head: RequestHead) -> Bool {
        guard looksAtVisitors else { return false }
        if let address = visitor?.address, file.block.blocks(address: address) { return true }
        return head.withValue(.userAgent) { file.block.blocks(agent: $0) } ?? false
    }

    func isClosed(_ service: ServiceName, for visitor: Visitor?) -> Bool {
        guard !file.maintenance.isOff else { return false }
        return file.maintenance.refuses(service, client: visitor?.text ?? "")
    }
}
