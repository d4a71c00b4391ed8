import Contracts
import DevStack
import Foundation
import Kafka
import Logging
import Messaging
import Postgres
import ServiceKit
import Synchronization
import TestKit
import Testing
import Tracing

/// The servers of this process with two services: `alpha` announces, `beta` handles and keeps what it did in a table `effects`.
struct Bench: Sendable {
    let postgres: PostgresServer
    let broker: BrokerProcess
    let alpha: Database
    let beta: Database
    let producer: KafkaProducer
    /// The folder of their migrations.
    let migrations: String

    static let shared = Task { try await start() }
    static let alphaName = ServiceName(rawValue: "alpha")
    static let betaName = ServiceName(rawValue: "beta")

    private static func start() async throws -> Bench {
        InstrumentationSystem.bootstrap(TraceExporter(service: alphaName, endpoint: nil, logger: quiet))
        let scratch = try ScratchDirectory("trionex-messaging-tests")
        AtExit.perform { scratch.remove() }
        TestServers.keptOpenSSL
        let postgres = try await PostgresServer.start(in: scratch.path + "/postgres", port: try Ports.free(), durable: false)
        AtExit.perform { postgres.stopBlocking(abandoningData: true) }
        let broker = try await freshBroker()
        let folder = scratch.path + "/migrations"
        try migrations(in: folder)
        try await Migrator(adminURL: postgres.url(), folder: folder).run()
        return Bench(
            postgres: postgres, broker: broker, alpha: database(postgres, alphaName), beta: database(postgres, betaName),
            producer: try KafkaProducer(kafka(broker), logger: quiet), migrations: folder)
    }

    static func freshBroker() async throws -> BrokerProcess {
        let scratch = try ScratchDirectory("trionex-messaging-broker")
        AtExit.perform { scratch.remove() }
        guard let executable = BuildFolder.program("trionex-broker") else { throw StackFailure("trionex-broker is not built") }
        let broker = try await BrokerProcess.start(
            executable: executable, port: try Ports.free(), topics: [], log: scratch.path + "/broker.log",
            control: scratch.path + "/control")
        AtExit.perform { broker.stopBlocking() }
        return broker
    }

    private static func migrations(in folder: String) throws {
        let files = FileManager.default
        for name in ["_shared", "alpha", "beta"] {
            try files.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
        }
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        for fragment in ["messaging.sql", "outbox.sql", "inbox.sql"] {
            try files.copyItem(
                atPath: root.appending(path: "migrations/_shared/\(fragment)").path(percentEncoded: false),
                toPath: "\(folder)/_shared/\(fragment)")
        }
        let effects = """
            -- include: _shared/messaging.sql
            -- include: _shared/outbox.sql
            -- include: _shared/inbox.sql
            CREATE TABLE effects (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id uuid NOT NULL, event_id uuid NOT NULL,
                subject text NOT NULL, number bigint NOT NULL);
            ALTER TABLE effects ENABLE ROW LEVEL SECURITY;
            ALTER TABLE effects FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant ON effects USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
            GRANT SELECT, INSERT ON effects TO {service};
            """
        for name in ["alpha", "beta"] {
            try effects.write(toFile: "\(folder)/\(name)/0001_tables.sql", atomically: true, encoding: .utf8)
        }
    }

    private static func database(_ postgres: PostgresServer, _ service: ServiceName) -> Database {
        Database(
            DatabaseConfiguration(url: postgres.url(user: service.rawValue, password: service.rawValue)), service: service, logger: quiet)
    }

    static func kafka(_ broker: BrokerProcess) -> KafkaConfiguration { KafkaConfiguration(brokers: broker.brokers, clientID: "tests") }
    var kafka: KafkaConfiguration { Self.kafka(broker) }
}

let quiet = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

/// An event of the tests. Each test has a topic of its own through the generic parameter.
protocol TestTopic: Sendable { static var name: String { get } }

struct Noted<T: TestTopic>: Event, Equatable {
    static var topic: Topic { Topic(name: "trionex.\(T.name).events", owner: "alpha") }
    static var name: String { "note.added" }
    static var summary: String { "A note was added." }
    static var example: Noted { Noted(subject: "s", number: 1) }
    let subject: String
    let number: Int
    var aggregateID: String { subject }
}

struct Ignored<T: TestTopic>: Event {
    static var topic: Topic { Noted<T>.topic }
    static var name: String { "note.ignored" }
    static var summary: String { "A note was ignored." }
    static var example: Ignored { Ignored(subject: "s") }
    let subject: String
    var aggregateID: String { subject }
}

struct Broken: Failure {
    let code = "broken"
    let kind = FailureKind.conflict
}

/// Writes an effect; `before` can make it fail.
struct Note<T: TestTopic>: EventHandler {
    var before: @Sendable (Noted<T>, EventEnvelope, Transaction) throws -> Void = { _, _, _ in }

    func handle(_ event: Noted<T>, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try before(event, envelope, tx)
        try tx.execute(
            """
            INSERT INTO effects (tenant_id, event_id, subject, number) \
            VALUES (\(tx.caller.tenant), \(envelope.id), \(event.subject), \(event.number))
            """)
    }
}

struct Effect: Sendable, Hashable {
    let subject: String
    let number: Int
}

extension Bench {
    func announce(_ events: [any Event], for tenant: TenantID, by principal: Caller.Principal = .anonymous) async throws {
        try await alpha.transaction(as: Caller(principal, tenant: tenant)) { tx in try Outbox(tx).append(events) }
    }

    func effects(of tenant: TenantID) async throws -> [Effect] {
        try await beta.query(
            Query("SELECT subject, number FROM effects ORDER BY position") { Effect(subject: try $0("subject"), number: try $0("number")) },
            as: .service(Self.betaName, for: tenant))
    }

    /// How many events of the tenant wait to be published; with `again`, to be published once more.
    func unsent(of tenant: TenantID, again: Bool = false) async throws -> Int {
        try await alpha.platform(PlatformWork("tests")) { tx in
            let row = try tx.first("SELECT count(*) AS count FROM outbox_waiting WHERE tenant_id = \(tenant) AND again = \(again)")
            return try row?("count") ?? 0
        }
    }

    func consumer(
        _ name: String, _ handlers: [any EventHandler], on broker: BrokerProcess? = nil, limits: EventConsumer.Limits = .init()
    ) throws -> EventConsumer {
        let kafka = broker.map { Self.kafka($0) } ?? kafka
        return EventConsumer(
            name: name, service: Self.betaName, handlers: handlers, database: beta, kafka: kafka,
            producer: try KafkaProducer(kafka, logger: quiet), limits: limits, logger: quiet)
    }

    func relay(_ producer: KafkaProducer? = nil, limits: OutboxRelay.Limits = .init()) -> OutboxRelay {
        OutboxRelay(database: alpha, producer: producer ?? self.producer, service: Self.alphaName, limits: limits, logger: quiet)
    }
}

/// Asks again and again until it is so; an issue after `limit`.
func expectEventually(
    within limit: Duration = .seconds(60), sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(25))
    }
    Issue.record("did not happen within \(limit)", sourceLocation: sourceLocation)
}

/// Runs things beside the body and ends them after it.
func during<T>(_ services: [@Sendable () async throws -> Void], _ body: () async throws -> T) async throws -> T {
    let tasks = services.map { service in Task { try await service() } }
    let result: Result<T, any Error>
    do {
        result = .success(try await body())
    } catch {
        result = .failure(error)
    }
    for task in tasks { task.cancel() }
    for task in tasks { _ = await task.result }
    return try result.get()
}
