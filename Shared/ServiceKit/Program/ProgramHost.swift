import Contracts
package import Foundation
import HTTPTypes
import Hummingbird
import Kafka
package import Logging
import Messaging
import NIOCore
import NIOPosix
import Postgres
import Redis
package import ServiceLifecycle
import Synchronization
package import UnixSignals

/// Puts one program together from its environment: clients, server, relay, consumers, in the order in which they start;
/// they stop in the opposite order, so requests finish before the outbox is drained and the outbox before the connections close.
package final class ProgramHost: Sendable {
    package let settings: CommonSettings
    /// What it follows, for the documents.
    package let consumption: [Consumption]
    package let endpoints: [Endpoint]
    package let foundations: Foundations
    package let logger: Logger
    private let services: [any Service]
    private let bound = BoundPort()

    /// Every wrong setting at once, in sentences.
    package struct SettingsRefused: Error {
        package let problems: [String]

        package init(problems: [String]) { self.problems = problems }
    }

    /// The settings that a program takes, for `--help`.
    package static func settings(of program: (some Program).Type) -> [SettingsReader.Setting] {
        var reader = SettingsReader(environment: [:])
        _ = Settings(program, &reader)
        return reader.settings
    }

    private struct Settings<P: Program> {
        let common: CommonSettings
        let own: P.Settings
        let admin: (host: String, port: Int)?
        init(_ program: P.Type, _ reader: inout SettingsReader) {
            common = CommonSettings(&reader, service: P.name, port: P.port, usesDatabase: P.usesDatabase)
            admin =
                P.hasAdminListener
                ? (
                    // Nobody signs in there: it is not opened together with the public door.
                    host: reader.text("ADMIN_HOST", default: "127.0.0.1", "Where to listen for health, metrics and operators"),
                    port: reader.integer("ADMIN_PORT", default: 9080, in: 0...65535, "Port of health, readiness, metrics and operators")
                ) : nil
            own = P.Settings(&reader)
        }
    }

    /// - Parameter following: Whether it takes events. Of several hosts on one database one that does is enough, and each that comes or goes
    ///   stops the group for seconds while its partitions are divided anew.
    package init<P: Program>(
        _ program: P.Type, environment: [String: String], following: Bool = true, now: @escaping @Sendable () -> Date = { Date() },
        logger: Logger? = nil, metrics: Prometheus = Telemetry.metrics
    ) throws {
        var reader = SettingsReader(environment: environment)
        let read = Settings(program, &reader)
        guard reader.problems.isEmpty else { throw SettingsRefused(problems: reader.problems) }
        settings = read.common
        var log = logger ?? Logger(label: P.name.rawValue)
        log.logLevel = settings.logLevel
        self.logger = log
        let common = settings

        let redis = Redis(common.redis, logger: log)
        let revocations = Revocations(redis: redis, now: now, logger: log)
        let identity = try P.identity(read.own, sealing: common.sealing, now: now, logger: log)
        let verifier = TokenVerifier(
            source: identity.map { .keys($0.publicKeys) } ?? .init(setting: common.jwks), revocations: revocations, now: now, logger: log)
        let neighbours = Neighbours(
            addresses: common.neighbours,
            tokens: identity?.serviceToken
                ?? Neighbours.tokensFromAuth(common.neighbours, service: P.name, secret: common.serviceSecret), now: now)
        let apiKeys = APIKeys(neighbours: neighbours, now: now)
        revocations.use { since in
            let query = since.map { "?since=\(Timestamp.text($0))" } ?? ""
            return try await neighbours.call(.get, .auth, "/internal/v1/revocations\(query)", as: RevocationList.self)
        }
        let database = common.database.map { Database($0, service: P.name, logger: log, now: now) }
        foundations = Foundations(
            service: P.name, settings: common, logger: log, now: now, redis: redis, verifier: verifier, revocations: revocations,
            neighbours: neighbours, apiKeys: apiKeys, optionalDatabase: database, optionalSealing: common.sealing)
        let assembly = try P.assemble(read.own, foundations)
        endpoints = assembly.endpoints.flatMap(\.list)
        consumption = assembly.consumers

        var services: [any Service] = [Telemetry.exporter(for: P.name, endpoint: common.otlpEndpoint, logger: log), redis, revocations]
        var checks = [ReadinessCheck("redis", required: false) { try await redis.ping() }]
        if let database {
            services.append(database)
            checks.append(ReadinessCheck("database", required: true) { try await database.ping() })
            let producer = try KafkaProducer(common.kafka, logger: log)
            services.append(producer)
            checks.append(ReadinessCheck("kafka", required: false) { try await producer.ping() })
            services.append(OutboxRelay(database: database, producer: producer, service: P.name, logger: log))
            services.append(IdempotencyPruning(database: database, now: now, logger: log))
            for consumer in following ? assembly.consumers : [] {
                services.append(
                    EventConsumer(
                        name: consumer.name, service: P.name, handlers: consumer.handlers, database: database, kafka: common.kafka,
                        producer: producer,
                        logger: log))
            }
        }
        services += assembly.workers
        checks += assembly.checks

        let idempotency = database.map { Idempotency(database: $0, now: now) }
        let watch = database.map { AccessWatch(service: P.name, database: $0, owned: assembly.owned, now: now, logger: log) }
        if let watch { services.append(watch) }
        let router = EndpointRouter(
            service: P.name, endpoints: endpoints, verifier: verifier, apiKeys: apiKeys, idempotency: idempotency, watch: watch,
            maxBodyBytes: common.http.maxBodyBytes, now: now, logger: log
        ).router()
        let document = try JSON.encode(OpenAPI.document(title: "Trionex \(P.name)", summary: P.summary, endpoints: endpoints))
        let operations = Operations(service: P.name, checks: checks, metrics: metrics, document: document)
        if let admin = read.admin {
            let pages = Router(context: EndpointContext.self)
            operations.add(to: pages)
            assembly.adminPages?(pages)
            services += HTTPServer.services(
                pages, host: admin.host, port: admin.port, settings: common.http, logger: log, onRunning: { _ in })
        } else {
            operations.add(to: router)
        }
        let bound = bound
        if let server = assembly.server {
            services.append(server { bound.set($0) })
        } else {
            services += HTTPServer.services(router, host: common.http.host, port: common.http.port, settings: common.http, logger: log) {
                port in
                bound.set(port)
            }
        }
        self.services = services.map(NamedService.init)
    }

    /// Runs until a signal or until `shutdown` of the group; throws what made it stop.
    package func serviceGroup(signals: [UnixSignal]) -> ServiceGroup {
        var configuration = ServiceGroupConfiguration(services: services, gracefulShutdownSignals: signals, logger: logger)
        configuration.maximumGracefulShutdownDuration = .seconds(settings.http.drainSeconds + 10)
        return ServiceGroup(configuration: configuration)
    }

    /// The port that is listened on, once it is; nil when the program ended before it listened.
    package func port() async -> Int? { await bound.value() }

    /// Says that the program has ended, to those who still wait for its port.
    package func ended() { bound.set(nil) }
}

/// A service that the log calls by the name of its type: what it is made of, keys and hashes among it, is nobody's business.
private struct NamedService: Service, CustomStringConvertible {
    let service: any Service

    var description: String { "\(type(of: service))" }

    func run() async throws { try await service.run() }
}

/// A port that is known once the server listens, or once it is certain that it never will.
private final class BoundPort: Sendable {
    private struct State {
        var port: Int??
        var waiting: [CheckedContinuation<Int?, Never>] = []
    }
    private let state = Mutex(State())

    func set(_ port: Int?) {
        let waiting = state.withLock { state in
            state.port = .some(port)
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: port) }
    }

    func value() async -> Int? {
        await withCheckedContinuation { continuation in
            let known = state.withLock { state -> Int?? in
                if state.port == nil { state.waiting.append(continuation) }
                return state.port
            }
            if let known { continuation.resume(returning: known) }
        }
    }
}
