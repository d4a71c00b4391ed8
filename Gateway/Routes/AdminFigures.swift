import Contracts

extension AdminSources {
    /// From the parts of a running gateway.
    init(groups: UpstreamGroups, limits: LimitBook, cache: ResponseCache, metrics: GatewayMetrics) {
        upstreams = { groups.snapshots(now: Monotonic.now()) }
        self.limits = {
            let now = limits.snapshot
            return [
                ("buckets", now.buckets), ("buckets with a lease", now.leased), ("questions to Redis", now.asked),
                ("refusals", now.refused),
                ("Redis is away", now.isAway ? 1 : 0),
            ]
        }
        self.cache = {
            let now = cache.snapshot
            return [
                ("answers", now.answers), ("bytes", now.bytes), ("capacity in bytes", now.capacity), ("hits", now.hits),
                ("hits in Redis", now.remoteHits), ("misses", now.misses), ("bypassed", now.bypassed), ("waited for another", now.waited),
                ("evictions", now.evictions), ("purged", now.purged), ("Redis is away", now.redis == "away" ? 1 : 0),
            ]
        }
        connections = { metrics.connections }
        purge = { tenant, services in
            guard let tenant else { return await cache.purgeAll() }
            await cache.purge(tenant: tenant, services: services.isEmpty ? RoutingTable.platform.services : services)
        }
    }
}
