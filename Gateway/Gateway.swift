package import Contracts
import Foundation
import Logging
package import ServiceKit

/// The only public door: it decides who may come in and how often; the services decide what is allowed.
package enum Gateway: Program {
    package typealias Settings = GatewaySettings
    package static let name = ServiceName.gateway
    package static let port = 8080
    package static let summary = "The public door of the platform: routes, verifies tokens, limits, and passes on."
    package static let usesDatabase = false
    package static let hasAdminListener = true

    package static func assemble(_ settings: GatewaySettings, _ house: Foundations) throws -> Assembly {
        let logger = house.logger
        let mayAsk = house.settings.serviceSecret != nil
        if !mayAsk {
            logger.notice(
                "TRIONEX_SERVICE_SECRET is not set: X-Tenant-Slug and subdomains are not held against the token, and API keys go on to the services"
            )
        }
        let defaults = GatewayDefaults(
            settings, maximumHeader: house.settings.http.maxHeaderBytes)
        let (routing, watch) = try GatewayFileWatch.begin(path: settings.file, defaults: defaults, logger: logger)
        let upstreams = try Upstreams(house.settings.neighbours)
        let groups = UpstreamGroups(upstreams.specs(routing.current.file))
        let documents = ServiceDocuments(
            addresses: house.settings.neighbours, routing: routing, interval: settings.documentsInterval, logger: logger)
        let reports = SecurityReports(neighbours: house.neighbours, logger: logger)
        let log = AccessLog(logger)
        let metrics = GatewayMetrics(groups: groups, log: log)
        metrics.register()
        let cache = ResponseCache(remote: ResponseCacheRemote(redis: house.redis, logger: logger))
        let limits = LimitBook(redis: house.redis, logger: logger)
        let guesses = LimitGuesses(policy: settings.limits.badKeys)
        routing.follow { file in
            groups.apply(upstreams.specs(file))
            metrics.know(plans: file.plans.plans.keys.sorted())
            guesses.use(file.policy(GatewayDefaults.badKeys) ?? settings.limits.badKeys)
        }
        let door = Door(
            settings: settings, verifier: house.verifier, revocations: house.revocations, apiKeys: mayAsk ? house.apiKeys : nil,
            guesses: guesses,
            agreement: mayAsk
                ? TenantAgreement(
                    directory: TenantDirectory(neighbours: house.neighbours, now: house.now), reports: reports, logger: logger) : nil,
            routing: routing, groups: groups, limits: limits, cache: cache, pages: OwnPages(documents: documents),
            log: log, metrics: metrics, maximumHeader: house.settings.http.maxHeaderBytes, logger: logger)
        let http = house.settings.http
        var assembly = Assembly(
            endpoints: [],
            workers: [
                log, watch, limits, documents, reports, cache, CachePurge(cache: cache, kafka: house.settings.kafka, logger: logger),
                HealthChecks(groups: groups, logger: logger),
            ],
            // The gateway is ready without them: it says 503 for each that is away, and serves the others.
            checks: RoutingTable.platform.services.map { service in
                ReadinessCheck(service.rawValue, required: false) {
                    guard documents.answers(service) else {
                        throw DependencyFailure(service.rawValue, reason: "its document cannot be read")
                    }
                }
            })
        assembly.server = { onListening in
            GatewayServer(
                door,
                settings: Listener.Settings(
                    host: http.host, port: http.port, edge: settings.edge, trustedProxies: { routing.current.file.trustedProxies },
                    maximumConnections: http.maxConnections, headLimits: HeadLimits(bytes: http.maxHeaderBytes),
                    idleSeconds: settings.client.keepAliveSeconds, drainSeconds: http.drainSeconds),
                threads: settings.eventLoops, logger: logger,
                edge: { listener in
                    metrics.show(listener.counters)
                    if let certificates = listener.certificates { metrics.show(certificate: { certificates.expires }) }
                },
                onListening: onListening)
        }
        let sources = AdminSources(groups: groups, limits: limits, cache: cache, metrics: metrics)
        assembly.adminPages = { AdminPages(routing: routing, watch: watch, sources: sources, logger: logger).add(to: $0) }
        return assembly
    }
}
