package import Contracts
import Foundation
package import Postgres

/// What a service does about one type of event.
package protocol EventHandler: Sendable {
    associatedtype Payload: Event

    /// Runs in one transaction with the inbox's record of the event, so that it takes effect once or not at all. It may be
    /// called again after a failure. The transaction's caller is this service, acting for the event's organization.
    func handle(_ event: Payload, _ envelope: EventEnvelope, in tx: Transaction) throws
}

/// What a service does about events of one type that come in crowds, such as all entries of an organization's audit log.
///
/// The only handler of its consumer. Events of one key that wait are handled together, in their order and in one transaction; when that
/// fails, each is handled by itself.
package protocol EventBatchHandler: EventHandler {
    /// At least one event, none of them handled before, all of one organization.
    func handle(_ events: [(event: Payload, envelope: EventEnvelope)], in tx: Transaction) throws
}

extension EventBatchHandler {
    package func handle(_ event: Payload, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try handle([(event, envelope)], in: tx)
    }
}

/// The handlers of one consumer by the type of event.
struct HandlerTable: Sendable {
    typealias Effect = @Sendable (Transaction) throws -> Void
    typealias BatchEntry = @Sendable ([(payload: Data, envelope: EventEnvelope)]) throws -> Effect
    typealias Entry = @Sendable (Data, EventEnvelope) throws -> Effect

    /// Without repetition, in alphabetical order.
    let topics: [String]
    /// Decodes events of one type and gives the effect of all of them; nil when each is handled by itself.
    let batch: BatchEntry?
    private let entries: [String: [Entry]]

    init(_ handlers: [any EventHandler]) {
        var topics: Set<String> = []
        var entries: [String: [Entry]] = [:]
        func add<H: EventHandler>(_ handler: H) {
            topics.insert(H.Payload.topic.name)
            entries[H.Payload.type, default: []].append { payload, envelope in
                let event = try JSON.decode(H.Payload.self, from: payload)
                return { tx in try handler.handle(event, envelope, in: tx) }
            }
        }
        func together<H: EventBatchHandler>(_ handler: H) -> BatchEntry {
            { events in
                let decoded = try events.map { (event: try JSON.decode(H.Payload.self, from: $0.payload), envelope: $0.envelope) }
                return { tx in try handler.handle(decoded, in: tx) }
            }
        }
        for handler in handlers { add(handler) }
        batch = handlers.count == 1 ? (handlers[0] as? any EventBatchHandler).map { together($0) } : nil
        self.topics = topics.sorted()
        self.entries = entries
    }

    func handles(_ type: String) -> Bool { entries[type] != nil }

    /// Decodes for each handler; throws a `DecodingError` when the payload is not what its type says.
    func effects(of payload: Data, _ envelope: EventEnvelope) throws -> [Effect] {
        try (entries[envelope.type] ?? []).map { try $0(payload, envelope) }
    }
}
