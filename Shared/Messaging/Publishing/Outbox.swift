package import Contracts
import Foundation
package import Postgres
import Tracing

/// Announces what a transaction has changed: the events commit with it or not at all, and the relay publishes them afterwards.
package struct Outbox {
    /// A larger event would not pass the brokers' usual limit of 1 MB with room to spare.
    package static let payloadLimit = 524_288

    private let tx: Transaction

    package init(_ tx: Transaction) { self.tx = tx }

    /// Tenant, actor and trace are the transaction's. Throws what the database does, and `OversizedEvent`.
    package func append(_ event: some Event) throws { try append([event]) }

    /// All of them in one statement, in their order.
    package func append(_ events: [any Event]) throws {
        guard !events.isEmpty else { return }
        let traceparent = TraceCarrying.traceparent(of: ServiceContext.current ?? tx.context)
        try OutboxStore(tx: tx).add(events.map { try entry($0, traceparent) })
        tx.afterCommit { RelaySignals.wakeAll() }
    }

    private func entry(_ event: any Event, _ traceparent: String?) throws -> (envelope: EventEnvelope, topic: Topic, payload: [UInt8]) {
        let kind = type(of: event)
        let payload = Array(try JSON.encode(event))
        guard payload.count <= Self.payloadLimit else { throw OversizedEvent(type: kind.type, bytes: payload.count) }
        // The relay writes the source: it knows whose outbox it works off.
        let envelope = EventEnvelope(
            id: .make(at: tx.now), source: "", type: kind.type, subject: event.aggregateID, time: tx.now, tenant: tx.caller.tenant,
            actor: actor, traceparent: traceparent)
        return (envelope, kind.topic, payload)
    }

    /// Only people and keys cause something; a program passes on what they did.
    private var actor: String? {
        switch tx.caller.principal {
        case .person, .apiKey, .client: tx.caller.principalText
        case .service, .anonymous: nil
        }
    }
}

/// An event too large to be published, refused before it is written: in the outbox it would hold up those after it.
package struct OversizedEvent: Error, Equatable {
    package let type: String
    package let bytes: Int
}
