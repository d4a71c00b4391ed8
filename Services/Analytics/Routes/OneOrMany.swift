import Contracts
import Foundation
import ServiceKit

/// Something that may be sent alone or as a list under a name of its own.
protocol BatchItem: Decodable, Sendable {
    /// `events` in `{"events": […]}`.
    static var listName: String { get }
    var occurredAt: Date? { get }
}

extension EventDraft: BatchItem {
    static var listName: String { "events" }
}

extension PageViewDraft: BatchItem {
    static var listName: String { "pageViews" }
}

/// A body that is one item, or an object with a list of up to 1,000 of them. Bad fields are named with their place in the list.
struct OneOrMany<Item: BatchItem>: Decodable, Sendable, Described {
    let items: [Item]
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
        items = isList ? try container.decode(Batch<Item>.self, forKey: list).items : [try Item(from: decoder)]
    }

    /// Refuses times that cannot be, each with its pointer.
    func checkTimes(receivedAt: Date) throws(ValidationFailure) {
        let errors = items.enumerated().compactMap { index, item in
            OccurrenceWindow.problem(item.occurredAt, receivedAt: receivedAt).map { problem in
                FieldError(
                    pointer: isList ? "/\(Item.listName)/\(index)/occurredAt" : "/occurredAt", code: problem.code, detail: problem.detail)
            }
        }
        guard errors.isEmpty else { throw ValidationFailure(Array(errors.prefix(Batch<Item>.maximumErrors))) }
    }

    private init() {
        items = []
        isList = true
    }

    static var placeholder: OneOrMany { OneOrMany() }

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
    /// Bad times named in one answer.
    static var maximumErrors: Int { 100 }

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
