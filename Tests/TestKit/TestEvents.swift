package import Contracts
import DevStack
package import Foundation
import Kafka
import Logging
import Messaging
import ServiceLifecycle

/// A producer of events that are not the service's own: what its neighbours would publish.
package enum TestEvents {
    private static let producer = Task {
        let servers = try await TestServers.shared.value
        let producer = try KafkaProducer(
            KafkaConfiguration(brokers: servers.broker.brokers, clientID: "tests"),
            logger: Logger(label: "tests", factory: { _ in SwiftLogNoOpLogHandler() }))
        Task { try await producer.run() }
        return producer
    }

    package static func publish<E: Event>(
        _ event: E, for tenant: TenantID, eventID: EventID = .make(), traceparent: String? = nil
    ) async throws {
        let envelope = EventEnvelope(
            id: eventID, source: "/services/\(E.topic.owner)", type: E.type, subject: event.aggregateID, time: Date(), tenant: tenant,
            actor: nil,
            traceparent: traceparent)
        _ = try await producer.value.send(
            CloudEvent.record(topic: E.topic.name, envelope: envelope, payload: Array(try JSON.encode(event))))
    }

    /// Any bytes as an event of a type: poison.
    package static func publish(
        raw payload: Data, type: String, topic: Topic, subject: String, for tenant: TenantID, eventID: EventID = .make()
    ) async throws {
        let envelope = EventEnvelope(
            id: eventID, source: "/services/\(topic.owner)", type: type, subject: subject, time: Date(), tenant: tenant, actor: nil,
            traceparent: nil)
        _ = try await producer.value.send(CloudEvent.record(topic: topic.name, envelope: envelope, payload: Array(payload)))
    }
}
