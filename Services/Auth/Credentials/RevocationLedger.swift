import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit

/// What ended before its tokens expired: written down with the change that ended it, then told to every program. What cannot be told
/// at once, because Redis is away or auth was stopped between the two, `RevocationAnnouncements` tells as soon as it can.
struct RevocationLedger: Sendable {
    let database: Database
    let revocations: Revocations
    /// No token lives longer than this.
    let longestToken: TimeInterval
    let signal: RevocationSignal
    let logger: Logger

    /// Endings that are told at once; more wait for the worker.
    static let batch = 500

    /// Writes an ending in the caller's transaction. Nil when it has been written before, or when no token of it can still live.
    @discardableResult
    func record(_ revoked: Revoked, at time: Date, in tx: Transaction) throws -> RevocationRecord? {
        let expire = time.addingTimeInterval(longestToken)
        guard expire > tx.now else { return nil }
        let record = try RevocationStore(tx: tx).add(revoked, at: time, tokensExpire: expire)
        if record != nil { tx.afterCommit { [signal] in signal.wake() } }
        return record
    }

    /// Tells every program of what was recorded, now that it is committed. Never throws: the worker tells what this cannot.
    func announce(_ records: [RevocationRecord], as caller: Caller, at now: Date) async {
        guard !records.isEmpty else { return }
        do {
            try await tell(Array(records.prefix(Self.batch)))
            try await database.execute(RevocationStore.markPublished(records.prefix(Self.batch).map(\.id), at: now), as: caller)
        } catch {
            logger.warning("an ending is announced to the other programs later", metadata: ["reason": "\(error)"])
        }
    }

    /// Throws when Redis is away; this program refuses the tokens all the same.
    func tell(_ records: [RevocationRecord]) async throws {
        for record in records {
            try await revocations.revoke([record.revoked], at: record.revokedAt, tokensExpire: record.tokensExpireAt)
        }
    }
}

/// Wakes the worker that tells of endings, so that it need not look all the time.
final class RevocationSignal: Sendable {
    let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func wake() { continuation.yield() }
}
