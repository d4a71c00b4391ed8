import Contracts
import Messaging
import Postgres

/// Writes one fact for each event of another service that is counted.
///
/// One type for all of them, because they differ only in what they mean to those who count. The inbox makes a redelivery
/// harmless; the fact's own key, the event's id, makes a replay into a kept table harmless too.
struct CountFact<Payload: Event>: EventHandler {
    private let meaning: @Sendable (Payload) -> Counted

    init(_ meaning: @escaping @Sendable (Payload) -> Counted) { self.meaning = meaning }

    func handle(_ event: Payload, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let counted = meaning(event)
        let subject = counted.kind == .personLeft ? "" : event.aggregateID
        try FactStore(tx: tx).add(Fact(id: envelope.id, subject: subject, occurredAt: envelope.time, counted: counted))
    }
}
