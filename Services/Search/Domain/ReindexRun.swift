import Contracts
import Foundation

enum ReindexRunKind {}
typealias ReindexRunID = TypedID<ReindexRunKind>

/// One renewal of an organization's whole index, while searches go on.
struct ReindexRun: Equatable, Sendable {
    enum Source: String, CaseIterable, Codable, Sendable {
        /// Derived in batches from the texts that are kept.
        case texts
        /// From what the owners publish again. A document is renewed when its event comes; what no event has told of until the run is
        /// finished is hidden then.
        case events
    }

    let id: ReindexRunID
    let source: Source
    /// Documents there were at the start; those that come later are indexed by their own events.
    let total: Int
    private(set) var done: Int
    /// The last document derived; ids are taken in their order.
    private(set) var position: DocumentID?
    let startedAt: Date
    private(set) var finishedAt: Date?
    /// Documents that its end hid, since no event had told of them.
    private(set) var hidden = 0

    /// What was hidden is kept so long: until then an event that is published again brings it back.
    static let keepsHidden = Duration.seconds(30 * 86_400)

    /// Documents derived in one transaction, at most.
    static let batch = 500
    /// Bytes of texts derived in one transaction; its last document may go beyond. They take about a second, of ten that a statement has.
    static let batchBytes = 4_000_000

    static func start(_ id: ReindexRunID, from source: Source, total: Int, at now: Date) -> ReindexRun {
        ReindexRun(id: id, source: source, total: total, done: 0, position: nil, startedAt: now, finishedAt: nil)
    }

    /// Ends the wait for events, and hides what none has told of. When no event was published again, what is known is all there is, and
    /// nobody meant to lose it; otherwise whoever ends it says how many documents will go.
    ///
    /// - Parameters:
    ///   - confirmed: documents that were there at the start and whose events have come again.
    ///   - hides: documents that no event has told of.
    ///   - agreed: how many the caller expects to go; nil: none.
    mutating func finish(confirmed: Int, hides: Int, agreed: Int?, at now: Date) throws(ReindexFailure) {
        guard source == .events, finishedAt == nil else { throw .notWaiting }
        guard confirmed > 0 || hides == 0 else { throw .nothingConfirmed }
        guard hides == agreed ?? 0 else { throw .hides(hides, agreed: agreed ?? 0) }
        done = confirmed
        hidden = hides
        finishedAt = now
    }

    /// Gives the wait up: everything stays as it is.
    mutating func cancel(confirmed: Int, at now: Date) throws(ReindexFailure) {
        guard source == .events, finishedAt == nil else { throw .notWaiting }
        done = confirmed
        finishedAt = now
    }

    /// Counts a batch. An empty one ends the run.
    mutating func advance(over ids: [DocumentID], at now: Date) {
        done += ids.count
        position = ids.last ?? position
        if ids.isEmpty { finishedAt = now }
    }

    /// Goes on behind a document that cannot be derived: it is not counted.
    mutating func skip(_ id: DocumentID) { position = id }
}

/// Why a run cannot be ended.
enum ReindexFailure: Failure, Equatable {
    case notWaiting
    case nothingConfirmed
    /// Another number of documents would go than the caller agreed to.
    case hides(Int, agreed: Int)

    var code: String {
        switch self {
        case .notWaiting: "no-rebuild-under-way"
        case .nothingConfirmed: "no-events-came"
        case .hides: "rebuild-hides-documents"
        }
    }

    var kind: FailureKind { .conflict }

    var detail: String? {
        switch self {
        case .notWaiting: "No rebuild from the events is under way."
        case .nothingConfirmed:
            "Of no document that was there has the event come again since the rebuild began: publish them again first, or cancel it."
        case .hides(let number, let agreed):
            """
            No event has told of \(number) documents: they would be hidden, where \(agreed) were expected. Wait for their events, cancel \
            the rebuild, or send {"hides": \(number)} if they are to go.
            """
        }
    }
}
