import Contracts
import Messaging
import Postgres

/// Writes one fact for each event of another service that is counted.
///
/// One type for all of them, because they differ only in the kind and in whose doing it was. The inbox makes a redelivery
/// harmless; the fact's own key, the event's id, makes a replay into a kept table harmless too.
struct CountFact<Payload: Event>: EventHandler {
    let kind: FactKind
    let person: @Sendable (Payload) -> UserID?

    init(_ kind: FactKind, by person: @escaping @Sendable (Payload) -> UserID?) {
        self.kind = kind
        self.person = person
    }

    func handle(_ event: Payload, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try FactStore(tx: tx).add(
            Fact(id: envelope.id, kind: kind, subject: event.aggregateID, userID: person(event), occurredAt: envelope.time))
    }
}
