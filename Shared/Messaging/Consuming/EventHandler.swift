package import Contracts
package import Postgres

/// What a service does about one type of event.
package protocol EventHandler: Sendable {
    associatedtype Payload: Event

    /// Runs in one transaction with the inbox's record of the event, so that it takes effect once or not at all. It may be
    /// called again after a failure. The transaction's caller is this service, acting for the event's organization; when several events
    /// of it wait, they share a transaction, each key in its order, so `tx.now` may be that of several events.
    func handle(_ event: Payload, _ envelope: EventEnvelope, in tx: Transaction) throws
}

/// What a service does about events of one type that come in crowds, such as all entries of an organization's audit log: a few
/// statements for all of them.
///
/// Events of one organization that wait are handed over together, each key in its order, as far as they follow each other without one of
/// another type; when that fails, each is handled by itself. The only handler of its type in its consumer.
package protocol EventBatchHandler: EventHandler {
    /// At least one event, none of them handled before, all of one organization.
    func handle(_ events: [(event: Payload, envelope: EventEnvelope)], in tx: Transaction) throws
}

extension EventBatchHandler {
    package func handle(_ event: Payload, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try handle([(event, envelope)], in: tx)
    }
}
