package import Contracts
package import Foundation
package import Hummingbird
package import JWTKit
package import Logging
package import Messaging
package import Postgres
package import Redis
package import ServiceLifecycle

/// One of the platform's programs: its name, its settings and how it is put together.
///
/// `Main.swift` is `await Launch.run(Content.self)`; tests start the same assembly in-process.
package protocol Program: SendableMetatype {
    associatedtype Settings: ServiceSettings = NoSettings
    static var name: ServiceName { get }
    /// The default of `TRIONEX_HTTP_PORT`.
    static var port: Int { get }
    /// One sentence for `--help` and OpenAPI.
    static var summary: String { get }
    /// Whether it has a schema in PostgreSQL; one without has no outbox, consumers or idempotency keys either.
    static var usesDatabase: Bool { get }
    /// Whether health, readiness and metrics answer on `TRIONEX_ADMIN_PORT` instead of beside the endpoints.
    static var hasAdminListener: Bool { get }
    /// Only auth signs tokens itself; everyone else verifies against auth's public keys.
    static func identity(
        _ settings: Settings, sealing: Sealing?, now: @escaping @Sendable () -> Date, logger: Logger
    ) throws -> OwnIdentity?
    /// The composition root: clients in, endpoints, consumers and workers out.
    static func assemble(_ settings: Settings, _ house: Foundations) throws -> Assembly
}

extension Program {
    package static var usesDatabase: Bool { true }
    package static var hasAdminListener: Bool { false }
    package static func identity(
        _ settings: Settings, sealing: Sealing?, now: @escaping @Sendable () -> Date, logger: Logger
    ) throws -> OwnIdentity? { nil }
}

/// The keys of the program that signs tokens.
package struct OwnIdentity: Sendable {
    package let publicKeys: @Sendable () -> JWKS
    package let serviceToken: Neighbours.TokenSource

    package init(publicKeys: @escaping @Sendable () -> JWKS, serviceToken: @escaping Neighbours.TokenSource) {
        self.publicKeys = publicKeys
        self.serviceToken = serviceToken
    }
}

/// What a program is built on: its clients, clock and log.
package struct Foundations: Sendable {
    package let service: ServiceName
    package let settings: CommonSettings
    package let logger: Logger
    package let now: @Sendable () -> Date
    package let redis: Redis
    package let verifier: TokenVerifier
    package let revocations: Revocations
    package let neighbours: Neighbours
    /// API keys against access tokens; auth gives it its own tables to look into.
    package let apiKeys: APIKeys
    let optionalDatabase: Database?
    let optionalSealing: Sealing?

    /// Encrypts what must be read back. Throws `ProgramHost.SettingsRefused` when no key is set.
    package func sealing() throws -> Sealing {
        guard let optionalSealing else {
            throw ProgramHost.SettingsRefused(problems: [
                "TRIONEX_SEALING_KEY must be set for \(service): base64 of 32 bytes (openssl rand -base64 32)"
            ])
        }
        return optionalSealing
    }

    /// This service's own schema. A program that says `usesDatabase = false` has none.
    package var database: Database {
        guard let optionalDatabase else { preconditionFailure("\(service) says that it uses no database") }
        return optionalDatabase
    }
}

/// A consumer group of events: `trionex.<service>.<name>`.
package struct Consumption: Sendable {
    package let name: String
    package let handlers: [any EventHandler]

    package init(_ name: String, _ handlers: any EventHandler...) {
        self.name = name
        self.handlers = handlers
    }

    /// The topics of its events, without repetition, in alphabetical order.
    package var topics: [String] { Set(handlers.map { Self.topic(of: $0) }).sorted() }

    private static func topic<H: EventHandler>(of handler: H) -> String { H.Payload.topic.name }
}

/// A dependency that `/ready` names.
package struct ReadinessCheck: Sendable {
    package let name: String
    /// Without an optional one the program goes on with less; without a required one it is not ready.
    package let required: Bool
    package let check: @Sendable () async throws -> Void

    package init(_ name: String, required: Bool, _ check: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.required = required
        self.check = check
    }
}

/// What a program is made of.
package struct Assembly: Sendable {
    package var endpoints: [Endpoints]
    package var consumers: [Consumption]
    /// Run as long as the program; stopped after the server and before the clients.
    package var workers: [any Service]
    package var checks: [ReadinessCheck]
    /// The objects that callers name by a UUID: who names another organization's is a security event.
    package var owned: [OwnedObjects]
    /// Listens in place of the server of endpoints: the gateway's door. It says the port once it listens.
    package var server: (@Sendable (_ onListening: @escaping @Sendable (Int) -> Void) -> any Service)?
    /// Further pages beside health, readiness and metrics, for operators; of a program that has an admin listener.
    package var adminPages: (@Sendable (Router<EndpointContext>) -> Void)?

    package init(
        endpoints: [Endpoints], consumers: [Consumption] = [], workers: [any Service] = [], checks: [ReadinessCheck] = [],
        owned: [OwnedObjects] = []
    ) {
        self.endpoints = endpoints
        self.consumers = consumers
        self.workers = workers
        self.checks = checks
        self.owned = owned
    }
}
