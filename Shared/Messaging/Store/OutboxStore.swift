import Contracts
import Foundation
import Postgres

/// The outbox as its service writes it.
struct OutboxStore {
    let tx: Transaction

    /// One statement, whatever the number of events.
    func add(_ events: [(envelope: EventEnvelope, topic: Topic, payload: [UInt8])]) throws {
        try tx.insert(
            into: "outbox",
            columns: ["id", "tenant_id", "topic", "type", "subject", "actor", "traceparent", "occurred_at", "payload"],
            rows: events.map { event in
                let envelope = event.envelope
                return [
                    envelope.id, envelope.tenant, event.topic.name, envelope.type, envelope.subject, envelope.actor, envelope.traceparent,
                    envelope.time, Data(event.payload),
                ]
            })
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
