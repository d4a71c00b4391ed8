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

/// The handlers of one consumer by the type of event.
struct HandlerTable: Sendable {
    typealias Effect = @Sendable (Transaction) throws -> Void
    typealias Entry = @Sendable (Data, EventEnvelope) throws -> Effect

    /// Without repetition, in alphabetical order.
    let topics: [String]
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
        for handler in handlers { add(handler) }
        self.topics = topics.sorted()
        self.entries = entries
    }

    func handles(_ type: String) -> Bool { entries[type] != nil }

    /// Decodes for each handler; throws a `DecodingError` when the payload is not what its type says.
    func effects(of payload: Data, _ envelope: EventEnvelope) throws -> [Effect] {
        try (entries[envelope.type] ?? []).map { try $0(payload, envelope) }
    }
}
