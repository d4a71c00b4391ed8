import Contracts
import Foundation
import Kafka
import Postgres

/// An event as its handlers take it.
struct DecodedEvent: Sendable {
    let envelope: EventEnvelope
    let suspect: Suspect
    /// For each handler of its type its payload, as that handler's type.
    fileprivate let payloads: [any Event]
}

/// The handlers of one consumer by the type of event.
struct HandlerTable: Sendable {
    private struct Entry: Sendable {
        let takesMany: Bool
        let decode: @Sendable (Data) throws -> any Event
        let handle: @Sendable ([(any Event, EventEnvelope)], Transaction) throws -> Void
    }

    /// Without repetition, in alphabetical order.
    let topics: [String]
    private let entries: [String: [Entry]]

    init(_ handlers: [any EventHandler]) {
        var topics: Set<String> = []
        var entries: [String: [Entry]] = [:]
        func add<H: EventHandler>(_ handler: H) {
            topics.insert(H.Payload.topic.name)
            let entry = if let crowd = handler as? any EventBatchHandler { Self.many(crowd) } else { Self.single(handler) }
            entries[H.Payload.type, default: []].append(entry)
        }
        for handler in handlers { add(handler) }
        self.topics = topics.sorted()
        self.entries = entries
    }

    private static func single<H: EventHandler>(_ handler: H) -> Entry {
        Entry(takesMany: false) {
            try JSON.decode(H.Payload.self, from: $0)
        } handle: { events, tx in
            for (event, envelope) in events {
                guard let event = event as? H.Payload else { throw ForeignPayload() }
                try handler.handle(event, envelope, in: tx)
            }
        }
    }

    private static func many<H: EventBatchHandler>(_ handler: H) -> Entry {
        Entry(takesMany: true) {
            try JSON.decode(H.Payload.self, from: $0)
        } handle: { events, tx in
            try handler.handle(
                events.map { event, envelope in
                    guard let event = event as? H.Payload else { throw ForeignPayload() }
                    return (event, envelope)
                }, in: tx)
        }
    }

    func handles(_ type: String) -> Bool { entries[type] != nil }

    /// Throws `CloudEventProblem`, and a `DecodingError` when the payload is not what its type says.
    func decode(_ message: KafkaMessage) throws -> DecodedEvent {
        let envelope = try CloudEvent.envelope(of: message)
        let payload = Data(message.value ?? [])
        return DecodedEvent(
            envelope: envelope, suspect: Suspect(place: message.place, offset: message.offset),
            payloads: try (entries[envelope.type] ?? []).map { try $0.decode(payload) })
    }

    /// Events in the groups in which they are handled, in their order: those of one type that follow each other, where its handler
    /// takes many, and each by itself otherwise.
    func groups(_ events: [DecodedEvent]) -> [ArraySlice<DecodedEvent>] {
        var groups: [ArraySlice<DecodedEvent>] = []
        var start = 0
        while start < events.count {
            var end = start + 1
            let type = events[start].envelope.type
            if let handlers = entries[type], handlers.count == 1, handlers[0].takesMany {
                while end < events.count, events[end].envelope.type == type { end += 1 }
            }
            groups.append(events[start..<end])
            start = end
        }
        return groups
    }

    /// Each handler of their type, one after the other.
    func handle(_ group: ArraySlice<DecodedEvent>, in tx: Transaction) throws {
        guard let type = group.first?.envelope.type else { return }
        for (index, entry) in (entries[type] ?? []).enumerated() {
            try entry.handle(group.map { ($0.payloads[index], $0.envelope) }, tx)
        }
    }
}

/// A payload of another type than its handler's: two event types share a name, which the contract's tests refuse.
private struct ForeignPayload: Error {}
