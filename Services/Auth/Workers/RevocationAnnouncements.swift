import Foundation
import Logging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Tells the other programs of endings that could not be told at once, and forgets those that no living token can be of.
struct RevocationAnnouncements: Service {
    let ledger: RevocationLedger
    let now: @Sendable () -> Date

    static let pause = Duration.seconds(1)
    /// One in so many rounds also prunes.
    static let roundsPerPruning = 600
    static let pruningBatch = 5_000
    /// How long an ending is kept after its last token.
    static let retention: TimeInterval = 86_400

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    // What was just written, at once.
                    for await _ in ledger.signal.stream { try? await publish() }
                }
                group.addTask { await repeatedly() }
            }
        }
    }

    private func repeatedly() async {
        var round = 0
        var isAway = false
        while !Task.isCancelled {
            round += 1
            do {
                try await publish()
                if round % Self.roundsPerPruning == 0 { try await prune() }
                isAway = false
            } catch {
                if !isAway { ledger.logger.warning("endings wait to be announced", metadata: ["reason": "\(error)"]) }
                isAway = true
            }
            try? await Task.sleep(for: Self.pause)
        }
    }

    func publish() async throws {
        var told: Int
        repeat {
            let records = try await ledger.database.platform(PlatformWork("endings to announce")) { tx in
                try PlatformRevocationStore(tx: tx).unpublished(limit: RevocationLedger.batch)
            }
            told = records.count
            guard told > 0 else { return }
            try await ledger.tell(records)
            let ids = records.map(\.id)
            try await ledger.database.platform(PlatformWork("endings announced")) { tx in
                try PlatformRevocationStore(tx: tx).markPublished(ids)
            }
        } while told == RevocationLedger.batch && !Task.isCancelled
    }

    func prune() async throws {
        let before = now().addingTimeInterval(-Self.retention)
        var removed: Int
        repeat {
            removed = try await ledger.database.platform(PlatformWork("endings long over")) { tx in
                try PlatformRevocationStore(tx: tx).prune(before: before, limit: Self.pruningBatch)
            }
        } while removed == Self.pruningBatch && !Task.isCancelled
    }
}
