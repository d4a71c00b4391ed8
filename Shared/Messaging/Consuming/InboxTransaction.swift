import Contracts
import Kafka
import Postgres
import Tracing

/// Handles messages of one organization in one transaction: their ids go into the inbox and their effects into the tables, or neither.
struct InboxTransaction: Sendable {
    let service: ServiceName
    let group: String
    let handlers: HandlerTable
    let database: Database

    /// Some of the messages it was about, or that it might have been about, and why.
    struct Failed: Error {
        let suspects: Set<Suspect>
        let cause: any Error
    }

    struct Outcome: Sendable {
        /// Events that had not been handled before.
        let new: Int
        /// What their handlers took.
        let handling: Duration
    }

    /// Throws `Failed`, and then nothing has happened.
    func apply(_ messages: [KafkaMessage]) async throws(Failed) -> Outcome {
        let all = Set(messages.map { Suspect(place: $0.place, offset: $0.offset) })
        let events = try decode(messages)
        guard let tenant = events.first?.envelope.tenant else { return Outcome(new: 0, handling: .zero) }
        do {
            return try await database.transaction(as: .service(service, for: tenant)) { tx in try commit(events, in: tx) }
        } catch let failed as Failed {
            throw failed
        } catch {
            // At the commit: it is not known for which.
            throw Failed(suspects: all, cause: error)
        }
    }

    /// All of them or none: those that cannot be read are found at once, however many.
    private func decode(_ messages: [KafkaMessage]) throws(Failed) -> [DecodedEvent] {
        var events: [DecodedEvent] = []
        var unreadable: Set<Suspect> = []
        var cause: (any Error)?
        for message in messages {
            do {
                events.append(try handlers.decode(message))
            } catch {
                unreadable.insert(Suspect(place: message.place, offset: message.offset))
                cause = cause ?? error
            }
        }
        if let cause { throw Failed(suspects: unreadable, cause: cause) }
        return events
    }

    private func commit(_ events: [DecodedEvent], in tx: Transaction) throws -> Outcome {
        // The first of several with the same id.
        var fresh = try InboxStore(tx: tx).claim(events.map(\.envelope.id), by: group)
        let new = events.filter { fresh.remove($0.envelope.id) != nil }
        let start = ContinuousClock.now
        for group in handlers.groups(new) {
            do {
                try handle(group, in: tx)
            } catch {
                throw Failed(suspects: Set(group.map(\.suspect)), cause: error)
            }
        }
        return Outcome(new: new.count, handling: ContinuousClock.now - start)
    }

    /// In a span of the trace that caused the event, so that what the handler announces carries it on.
    private func handle(_ group: ArraySlice<DecodedEvent>, in tx: Transaction) throws {
        guard let first = group.first?.envelope else { return }
        try withSpan("consume \(first.type)", context: TraceCarrying.context(first.traceparent), ofKind: .consumer) { span in
            if group.count > 1 { span.attributes["messaging.batch.message_count"] = group.count }
            try handlers.handle(group, in: tx)
        }
    }
}
