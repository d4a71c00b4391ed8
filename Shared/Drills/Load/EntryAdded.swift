import Contracts

/// What the drills' producer announces: the number that its key has reached in the same transaction. It is no event of the product, so it
/// stands here and not among the contracts.
struct EntryAdded: Event {
    static let topic = Topic(name: "trionex.drill.events", owner: "drill")
    static let name = "entry.added"
    static let summary = "A key of the drill has reached its next number."
    static let example = EntryAdded(subject: "key-1", number: 1, isPoison: false, padding: "")

    let subject: String
    /// From 1, without gaps, for each key of a tenant.
    let number: Int64
    /// The consumer refuses it, always.
    let isPoison: Bool
    let padding: String

    var aggregateID: String { subject }
}
