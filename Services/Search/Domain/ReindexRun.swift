import Contracts
import Foundation

enum ReindexRunKind {}
typealias ReindexRunID = TypedID<ReindexRunKind>

/// One derivation of an organization's whole index from the source texts, in batches, while searches go on.
struct ReindexRun: Equatable, Sendable {
    let id: ReindexRunID
    /// Documents there were at the start; those that come later are indexed by their own events.
    let total: Int
    private(set) var done: Int
    /// The last document derived; ids are taken in their order.
    private(set) var position: DocumentID?
    let startedAt: Date
    private(set) var finishedAt: Date?

    /// Documents derived in one transaction.
    static let batch = 500

    static func start(_ id: ReindexRunID, total: Int, at now: Date) -> ReindexRun {
        ReindexRun(id: id, total: total, done: 0, position: nil, startedAt: now, finishedAt: nil)
    }

    /// Counts a batch. One that is not full was the last.
    mutating func advance(over ids: [DocumentID], at now: Date) {
        done += ids.count
        position = ids.last ?? position
        if ids.count < Self.batch { finishedAt = now }
    }
}
