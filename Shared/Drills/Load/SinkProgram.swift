import Contracts
package import Kafka
import Logging
import Messaging
import Postgres
import ServiceLifecycle
import UnixSignals

/// The consuming program: the real consumer with a handler that keeps, in its transaction, the number it got and the one it had seen before.
package struct SinkProgram: Sendable {
    package var databaseURL: String
    package var kafka: KafkaConfiguration

    package init(databaseURL: String, kafka: KafkaConfiguration) {
        self.databaseURL = databaseURL
        self.kafka = kafka
    }

    /// Until SIGTERM.
    package func run() async throws {
        let logger = Logger(label: "sink") { StreamLogHandler.standardError(label: $0) }
        let database = Database(DatabaseConfiguration(url: databaseURL), service: DrillServices.sink, logger: logger)
        let producer = try KafkaProducer(kafka, logger: logger)
        let consumer = EventConsumer(
            name: DrillServices.consumer, service: DrillServices.sink, handlers: [KeepEntry()], database: database, kafka: kafka,
            producer: producer, logger: logger)
        try await ServiceGroup(services: [database, producer, consumer], gracefulShutdownSignals: [.sigterm], logger: logger).run()
    }
}

struct KeepEntry: EventHandler {
    func handle(_ event: EntryAdded, _ envelope: EventEnvelope, in tx: Transaction) throws {
        // Refused after its effect, so that the ledger would show an effect that was not rolled back.
        try EffectStore(tx: tx).keep(event, producedAt: envelope.time)
        if event.isPoison { throw PoisonousEntry() }
    }
}

struct PoisonousEntry: Failure {
    let code = "poisonous-entry"
    let kind = FailureKind.conflict
}
