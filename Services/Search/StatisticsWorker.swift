import Contracts
import Foundation
import Logging
import Postgres
import ServiceLifecycle

/// Keeps up what ranking knows of organizations whose documents have changed: learns words that were left to it, and counts them anew,
/// one organization in one transaction. Ranking needs the counts roughly: one of an hour ago ranks like a fresh one, so counting is bounded in
/// its share of time and never in anybody's way.
struct StatisticsWorker: Service {
    static let pause = Duration.seconds(2)
    /// Organizations taken in turn.
    static let tenantsInTurn = 20
    /// Documents learned in one transaction.
    static let batch = 200

    let database: Database
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: Self.pause)) != nil {
                do {
                    try await learnAll()
                    try await countAll()
                } catch {
                    guard !Task.isCancelled else { return }
                    logger.warning("counting words was interrupted", metadata: ["reason": "\(error)"])
                }
            }
        }
    }

    private func learnAll() async throws {
        let tenants = try await database.platform(PlatformWork("words to learn")) { tx in
            try tx.query(VocabularyStore.tenantsToRead(limit: Self.tenantsInTurn))
        }
        for tenant in tenants {
            _ = try await database.transaction(as: .service(.search, for: tenant)) { tx in
                try VocabularyStore(tx).learnLeft(limit: Self.batch)
            }
        }
    }

    private func countAll() async throws {
        let tenants = try await database.platform(PlatformWork("words to count")) { tx in
            try tx.query(VocabularyStore.tenantsToCount(at: tx.now, limit: Self.tenantsInTurn))
        }
        for tenant in tenants { try await count(tenant) }
    }

    /// What changes while it counts is stale again, and counted another time.
    func count(_ tenant: TenantID) async throws {
        let caller = Caller.service(.search, for: tenant)
        let started = ContinuousClock.now
        let begun = try await database.transaction(as: caller) { tx in try VocabularyStore(tx).begin(at: tx.now) }
        guard begun else { return }
        try await database.transaction(as: caller) { tx in
            let vocabulary = VocabularyStore(tx)
            try vocabulary.count(DocumentType.allCases.map(\.needs.description))
            try vocabulary.end(after: ContinuousClock.now - started, at: tx.now)
        }
    }
}
