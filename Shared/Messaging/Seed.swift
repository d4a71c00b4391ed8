// TEMPORARY stubs so that others can compile until Messaging lands. Whoever builds Messaging: delete this file first.
package import Contracts
package import Postgres
package import Kafka
package import Logging
import ServiceLifecycle
package import Foundation
package protocol EventHandler: Sendable {
    associatedtype Payload: Event
    func handle(_ event: Payload, _ envelope: EventEnvelope, in tx: Transaction) throws
}
package struct Outbox { package init(_ tx: Transaction) {}; package func append(_ event: some Event) throws {} }
package struct OutboxRelay: Service { package init(database: Database, producer: KafkaProducer, service: ServiceName, logger: Logger) {}; package func run() async throws {} }
package struct EventConsumer: Service { package init(name: String, service: ServiceName, handlers: [any EventHandler], database: Database, kafka: KafkaConfiguration, producer: KafkaProducer, logger: Logger) {}; package func run() async throws {} }
package enum CloudEvent { package static func record(topic: Topic, envelope: EventEnvelope, payload: Data) throws -> KafkaRecord { throw CancellationError() } }
