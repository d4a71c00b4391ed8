import Contracts
import Foundation
import Logging
import Postgres
import ServiceLifecycle

/// Forgets codes that nobody redeemed, clients' sign-ins that are over, and assertions that have expired.
struct OpenIDHousekeeping: Service {
    let database: Database
    let now: @Sendable () -> Date
    let logger: Logger

    static let pause = Duration.seconds(600)
    static let batch = 5_000
    /// How long what is over is kept, so that a token shown again is still known for what it was.
    static let retention: TimeInterval = 86_400

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.pause)
                if Task.isCancelled { return }
                do {
                    try await prune()
                } catch {
                    logger.warning("what clients have left behind could not be removed", metadata: ["reason": "\(error)"])
                }
            }
        }
    }

    func prune() async throws {
        let now = now(), before = now.addingTimeInterval(-Self.retention)
        try await inBatches {
            try await database.platform(PlatformWork("clients' sign-ins that are over")) { tx in
                try PlatformOpenIDStore(tx: tx).pruneAuthorizations(before: before, limit: Self.batch)
            }
        }
        try await inBatches {
            try await database.platform(PlatformWork("clients' expired assertions")) { tx in
                try PlatformOpenIDStore(tx: tx).pruneAssertions(before: now, limit: Self.batch)
            }
        }
    }

    private func inBatches(_ remove: () async throws -> Int) async throws {
        var removed: Int
        repeat { removed = try await remove() } while removed == Self.batch && !Task.isCancelled
    }
}
