package import Contracts
import Foundation
import Logging
import NIOCore
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
        let routing = RoutingTable.platform
        let forwarder = Forwarder(addresses: house.settings.neighbours, settings: settings.upstream, logger: logger)
        let documents = ServiceDocuments(
            client: forwarder.client, addresses: house.settings.neighbours, routing: routing, interval: settings.documentsInterval,
            logger: logger)
        let mayAsk = house.settings.serviceSecret != nil
        if !mayAsk {
            logger.notice(
                "TRIONEX_SERVICE_SECRET is not set: X-Tenant-Slug and subdomains are not held against the token, and API keys go on to the services"
            )
        }
        let reports = SecurityReports(neighbours: house.neighbours, logger: logger)
        let door = Door(
            settings: settings, routing: routing,
            identification: Identification(
                verifier: house.verifier, apiKeys: mayAsk ? house.apiKeys : nil,
                guesses: KeyGuesses(policy: settings.limits.badKeys, now: house.now)),
            allowance: Allowance(limits: settings.limits, limiter: RateLimiter(redis: house.redis, now: house.now, logger: logger)),
            agreement: TenantAgreement(
                directory: mayAsk ? TenantDirectory(neighbours: house.neighbours, now: house.now) : nil, reports: reports, logger: logger),
            documents: documents, forwarder: forwarder, pages: OwnPages(documents: documents), logger: logger)
        return Assembly(
            endpoints: [], workers: [forwarder, documents, reports],
            // The gateway is ready without them: it says 503 for each that is away, and serves the others.
            checks: routing.services.map { service in
                ReadinessCheck(service.rawValue, required: false) {
                    guard documents.answers(service) else {
                        throw DependencyFailure(service.rawValue, reason: "its document cannot be read")
                    }
                }
            },
            fallback: { request, context in await door.respond(to: request, context) })
    }
}
