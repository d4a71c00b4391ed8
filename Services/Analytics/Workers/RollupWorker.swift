import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceLifecycle

/// Folds what was collected into the roll-ups, within about a second.
///
/// Each organization has one transaction a turn, whatever waits for it, so that one with a million rows does not keep another's from being
/// counted. Replicas share the work: the fold locks its organization, and who comes second goes on with the next.
struct RollupWorker: Service {
    let folds: Folds
    let logger: Logger
    private var database: Database { folds.database }

    /// Between two looks at what waits. Polled, since a NOTIFY in each call's transaction would make all commits wait in one line.
    static let pause = Duration.milliseconds(500)
    /// After a failure.
    static let pauseAfterFailure = Duration.seconds(5)
    /// Organizations of one look.
    static let tenantsAtOnce = 200

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    // While there is more than one turn's work, there is no pause.
                    if try await !turn() { try await Task.sleep(for: Self.pause) }
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("collected events could not be folded into the roll-ups", metadata: ["reason": "\(error)"])
                    try? await Task.sleep(for: Self.pauseAfterFailure)
                }
            }
        }
    }

    /// One transaction for each organization that waits; whether any of them has more.
    func turn() async throws -> Bool {
        var last = TenantID.platform
        var hasMore = false
        while !Task.isCancelled {
            let from = last
            let waiting = try await database.platform(PlatformWork("organizations with events to fold")) { tx in
                try tx.query(UpkeepStore.waiting(after: from, limit: Self.tenantsAtOnce))
            }
            for tenant in waiting { hasMore = try await fold(tenant) || hasMore }
            guard waiting.count == Self.tenantsAtOnce, let end = waiting.last else { return hasMore }
            last = end
        }
        return hasMore
    }

    /// Whether there is more. One organization's trouble is not the others': it waits for the next turn.
    private func fold(_ tenant: TenantID) async throws -> Bool {
        let start = ContinuousClock.now
        do {
            guard let folded = try await folds.turn(as: .service(.analytics, for: tenant), waits: false), folded.rows > 0 else {
                return false
            }
            Counter(label: "trionex_analytics_folded_total").increment(by: folded.rows)
            Metrics.Timer(label: "trionex_analytics_fold_duration_seconds").record(duration: ContinuousClock.now - start)
            return folded.hasMore
        } catch let error as CancellationError {
            throw error
        } catch {
            logger.warning(
                "collected events could not be folded into the roll-ups", metadata: ["tenant": "\(tenant)", "reason": "\(error)"])
            return false
        }
    }
}
