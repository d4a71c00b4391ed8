import Contracts
import NIOCore

/// What is in force, as one event loop sees it: the table, the file, and the upstream groups of its routes.
final class Policy {
    let table: RouteTable
    let file: GatewayFile
    let generation: Int
    let crossOrigin: CrossOrigin
    /// As they were when this came into force.
    private let groups: [String: UpstreamGroup]
    /// By `Route.place`, once one was asked for.
    private var byPlace: [UpstreamGroup?]
    private let looksAtVisitors: Bool

    init(_ snapshot: RoutingSnapshot, _ groups: UpstreamGroups) {
        table = snapshot.table
        file = snapshot.file
        generation = snapshot.generation
        self.groups = groups.byName
        crossOrigin = CrossOrigin(origins: snapshot.file.crossOrigin.origins, tenants: snapshot.file.crossOrigin.tenants)
        byPlace = Array(repeating: nil, count: snapshot.table.routes.count)
        looksAtVisitors = !snapshot.file.block.isEmpty
    }

    var plans: PlanLimits { file.plans }
    var trustedProxies: [Network] { file.trustedProxies }

    /// Whether what the peer says of its client counts. Connections outlive files, so each is asked about anew under a new one.
    func trusts(_ facts: ConnectionFacts) -> Bool {
        if facts.trustGeneration != generation {
            facts.trustGeneration = generation
            facts.isTrusted = facts.peer.map { peer in trustedProxies.contains { $0.contains(peer) } } ?? false
        }
        return facts.isTrusted
    }

    /// Nil: no address is known for the route.
    @inline(__always)
    func group(_ route: Route) -> UpstreamGroup? {
        // A request that waited may have its route of an earlier table, where its place was another's.
        guard table.has(route) else { return groups[route.group] }
        if let known = byPlace[route.place] { return known }
        let group = groups[route.group]
        byPlace[route.place] = group
        return group
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
