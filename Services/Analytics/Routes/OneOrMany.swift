import Contracts
import Foundation
import ServiceKit

/// Something that may be sent alone or as a list under a name of its own.
protocol BatchItem: Decodable, Sendable {
    /// `events` in `{"events": […]}`.
    static var listName: String { get }
    var occurredAt: Date? { get }
    var sentAt: Date? { get }
    func occurrence(from sender: Sender, _ skew: ClockSkew, place: Int) -> Occurrence
}

extension EventDraft: BatchItem {
    static var listName: String { "events" }
}

extension PageViewDraft: BatchItem {
    static var listName: String { "pageViews" }
}

/// Items of one call, with the time at which the client says that it sent them.
struct Sent<Item: BatchItem>: Sendable {
    /// Bad times named in one answer.
    static var maximumErrors: Int { 100 }

    let items: [Item]
    let sentAt: Date?

    func taken(from sender: Sender) -> [Taken<Item>] {
        items.enumerated().map { place, item in
            Taken(draft: item, occurrence: item.occurrence(from: sender, skew(of: item, sender.receivedAt), place: place))
        }
    }

    /// Times that cannot be, each with its pointer. A clock that says how wrong it is may be as wrong as it likes.
    func badTimes(receivedAt: Date, isList: Bool) -> [FieldError] {
        items.enumerated().compactMap { index, item in
            let time = item.occurredAt.map(skew(of: item, receivedAt).corrected)
            return OccurrenceWindow.problem(time, receivedAt: receivedAt).map { problem in
                FieldError(
                    pointer: isList ? "/\(Item.listName)/\(index)/occurredAt" : "/occurredAt", code: problem.code, detail: problem.detail)
            }
        }
    }

    private func skew(of item: Item, _ receivedAt: Date) -> ClockSkew { ClockSkew(sentAt: item.sentAt ?? sentAt, receivedAt: receivedAt) }
}

extension ValidationFailure {
    /// Throws when there are any.
    static func check(times errors: [FieldError]) throws(ValidationFailure) {
        guard errors.isEmpty else { throw ValidationFailure(Array(errors.prefix(Sent<EventDraft>.maximumErrors))) }
    }
}

/// A body that is one item, or an object with a list of up to 1,000 of them. Bad fields are named with their place in the list.
struct OneOrMany<Item: BatchItem>: Decodable, Sendable, Described {
    let sent: Sent<Item>
    private let isList: Bool

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let list = Key(stringValue: Item.listName)
        isList = container.contains(list)
        let items = isList ? try container.decode(Batch<Item>.self, forKey: list).items : [try Item(from: decoder)]
        sent = Sent(items: items, sentAt: isList ? try container.decodeIfPresent(Date.self, forKey: Key(stringValue: "sentAt")) : nil)
    }

    /// Refuses times that cannot be, each with its pointer.
    func checkTimes(receivedAt: Date) throws(ValidationFailure) {
        try ValidationFailure.check(times: sent.badTimes(receivedAt: receivedAt, isList: isList))
    }

    init(sent: Sent<Item>, isList: Bool) {
        self.sent = sent
        self.isList = isList
    }

    static var placeholder: OneOrMany { OneOrMany(sent: Sent(items: [], sentAt: nil), isList: true) }

    /// The fields of one item, and the list: none is required by itself, because either form will do.
    static var schema: Schema {
        var properties: [Schema.Property] = [.init(Item.listName, Batch<Item>.schema, required: false)]
        if case .object(let fields) = SchemaProbe.named(Item.self).schema {
            properties += fields.map { .init($0.name, $0.schema, required: false) }
        }
        return .object(properties)
    }
}

/// A list that is neither empty nor too long; its length is looked at before its items.
struct Batch<Item: BatchItem>: Decodable, Sendable, Described {
    static var maximumCount: Int { 1_000 }

    let items: [Item]

    init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        guard let count = container.count, (1...Self.maximumCount).contains(count) else {
            let problem = TextProblem("out-of-range", "must have from 1 to \(Self.maximumCount) elements")
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
        var items: [Item] = []
        items.reserveCapacity(count)
        while !container.isAtEnd { items.append(try container.decode(Item.self)) }
        self.items = items
    }

    private init() { items = [] }
    static var placeholder: Batch { Batch() }
    static var schema: Schema { .array(SchemaProbe.named(Item.self).schema, maxItems: maximumCount) }
}
