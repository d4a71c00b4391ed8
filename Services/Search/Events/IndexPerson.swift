import Contracts
import Messaging
import Postgres

/// Somebody who joined is found by name and address.
struct IndexCreatedPerson: EventHandler {
    func handle(_ event: UserCreated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).index(Document(event, at: envelope.time))
        IndexDelay.record(envelope, in: tx)
    }
}

/// And by the new name, when it changed.
struct IndexUpdatedPerson: EventHandler {
    func handle(_ event: UserUpdated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try DocumentStore(tx).index(Document(event, at: envelope.time))
        IndexDelay.record(envelope, in: tx)
    }
}
