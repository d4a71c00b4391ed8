import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Tells the other programs of ended sessions when it could not be done at once, and forgets what is long over.
struct SessionHousekeeping: Service {
    let database: Database
    let revocations: Revocations
    let accessLifetime: TimeInterval
    let now: @Sendable () -> Date
    let logger: Logger
    /// Rows removed by one statement.
    var pruningBatch = 5_000

    static let pause = Duration.seconds(1)
    /// One in so many rounds also prunes.
    static let roundsPerPruning = 600
    static let batch = 500
    /// How long an expired session is kept.
    static let retention: TimeInterval = 86_400

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var round = 0
            var isAway = false
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.pause)
                if Task.isCancelled { return }
                round += 1
                do {
                    try await publishEnded()
                    if round % Self.roundsPerPruning == 0 { try await prune() }
                    isAway = false
                } catch {
                    if !isAway { logger.warning("ended sessions wait to be announced", metadata: ["reason": "\(error)"]) }
                    isAway = true
                }
            }
        }
    }

    private func publishEnded() async throws {
        let ended = try await database.platform(PlatformWork("ended sessions to announce")) { tx in
            try PlatformSessionStore(tx: tx).unpublished(limit: Self.batch)
        }
        guard let latest = ended.map(\.revokedAt).max() else { return }
        let ids = ended.map(\.id)
        try await revocations.revoke(
            ids.map { .session($0) }, at: latest, tokensExpire: latest.addingTimeInterval(max(accessLifetime, Impersonation.longest)))
        try await database.platform(PlatformWork("ended sessions announced")) { tx in
            try PlatformSessionStore(tx: tx).markPublished(ids)
        }
    }

    func prune() async throws {
        let sessionsBefore = now().addingTimeInterval(-Self.retention), failuresBefore = now().addingTimeInterval(-LockOut.memory)
        let batch = pruningBatch
        try await inBatches {
            try await database.platform(PlatformWork("expired sessions")) { tx in
                try PlatformSessionStore(tx: tx).prune(before: sessionsBefore, limit: batch)
            }
        }
        try await inBatches {
            try await database.execute(SignInFailureStore.prune(before: failuresBefore, limit: batch), as: AccountStore.caller)
        }
    }

    /// Until one removes less than a whole batch: however many there are, none is left for the next round, and no statement is long.
    private func inBatches(_ remove: () async throws -> Int) async throws {
        var removed: Int
        repeat { removed = try await remove() } while removed == pruningBatch && !Task.isCancelled
    }
}
