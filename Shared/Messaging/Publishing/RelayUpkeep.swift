import Contracts
import Logging
import Postgres
import ServiceLifecycle
import Synchronization

/// What one relay of a service does now and then for all: the one that works on the first shard.
extension OutboxRelay {
    private var isFirst: Bool { state.withLock { $0.schedule.shards.contains(0) } }

    /// Beside the publishing, because the figures matter most while that waits for the brokers.
    func measureUntilCancelled() async {
        while (try? await Task.sleep(for: limits.metricsInterval)) != nil {
            guard isFirst else { continue }
            do {
                let backlog = try await database.platform(PlatformWork("outbox relay")) { tx in
                    try OutboxQueue(tx: tx).backlog(atMost: Limits.depthCounted)
                }
                MessagingMetrics.backlog(service.rawValue, depth: backlog.depth, oldestSeconds: backlog.oldestSeconds)
            } catch {
                if !Task.isCancelled { logger.debug("outbox is not measured", metadata: ["reason": "\(FailureReason.text(error))"]) }
            }
        }
    }

    func keepHouseUntilCancelled() async {
        // By then the shards are dealt out.
        var pause = min(limits.leaseRetry, limits.pruneInterval)
        while (try? await Task.sleep(for: pause)) != nil {
            guard isFirst, !Task.isShuttingDownGracefully else { continue }
            pause = limits.pruneInterval
            do {
                try await turnDays()
                try await pruneInbox()
            } catch {
                if !Task.isCancelled { logger.warning("outbox is not pruned", metadata: ["reason": "\(FailureReason.text(error))"]) }
            }
        }
    }

    private func turnDays() async throws {
        let limits = limits
        try await database.platform(PlatformWork("outbox pruning")) { tx in
            _ = try OutboxHistory(tx: tx).turnDays(ahead: Limits.daysAhead, retention: limits.retention)
            try OutboxShards(tx: tx).forgetDead()
        }
        try await database.platform(PlatformWork("inbox pruning")) { tx in
            try OutboxHistory(tx: tx).turnInboxDays(ahead: Limits.daysAhead, retention: limits.inboxRetention)
        }
    }

    /// What lies in no day of its own, in small transactions, so that nobody waits for it.
    private func pruneInbox() async throws {
        let limits = limits
        var deleted = limits.pruneBatch
        while deleted == limits.pruneBatch, !Task.isCancelled, !Task.isShuttingDownGracefully {
            deleted = try await database.platform(PlatformWork("inbox pruning")) { tx in
                try InboxPruning(tx: tx).prune(olderThan: limits.inboxRetention, most: limits.pruneBatch)
            }
        }
    }
}
