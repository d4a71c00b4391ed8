import Contracts
import Foundation
import Logging
import Postgres
import ServiceLifecycle

/// Works off reindexing runs, one batch in one transaction, so that a restart loses at most a batch of work and searches and
/// events go on in between. Several replicas share the runs.
final class ReindexWorker: Service {
    /// How often it looks for runs that another replica was told of and did not finish.
    static let pause = Duration.seconds(5)
    /// Organizations taken in turn.
    static let tenantsInTurn = 10

    private let database: Database
    private let logger: Logger
    private let (wakes, wakeUp) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    init(database: Database, logger: Logger) {
        self.database = database
        self.logger = logger
    }

    /// There is a new run.
    func wake() { wakeUp.yield() }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    while (try? await Task.sleep(for: Self.pause)) != nil { self.wake() }
                }
                for await _ in self.wakes { await self.workOff() }
                group.cancelAll()
            }
        }
    }

    /// Until nothing is left to do, or the database does not answer: the next look goes on from there.
    private func workOff() async {
        do {
            while !Task.isCancelled, try await step() {}
            try await emptyHidden()
        } catch {
            guard !Task.isCancelled else { return }
            logger.warning("reindexing was interrupted", metadata: ["reason": "\(error)"])
        }
    }

    /// A batch for each organization that has a run. False when no batch was done.
    private func step() async throws -> Bool {
        let tenants = try await database.platform(PlatformWork("reindexing")) { tx in
            try tx.query(ReindexStore.tenantsAtWork(limit: Self.tenantsInTurn))
        }
        var worked = false
        for tenant in tenants {
            let done = try await database.transaction(as: .service(.search, for: tenant)) { tx in
                let runs = ReindexStore(tx)
                guard var run = try runs.lock(.texts) else { return false }
                run.advance(over: try DocumentStore(tx).derive(after: run.position, limit: ReindexRun.batch), at: tx.now)
                try runs.save(run)
                return true
            }
            worked = worked || done
        }
        return worked
    }

    /// Forgets the texts that the ends of rebuilds hid, when their time is over.
    private func emptyHidden() async throws {
        let (tenants, now) = try await database.platform(PlatformWork("hidden documents to empty")) { tx in
            (try tx.query(ReindexStore.tenantsToEmpty(at: tx.now, limit: Self.tenantsInTurn)), tx.now)
        }
        for tenant in tenants { try await Self.emptyHidden(of: tenant, at: now, in: database) }
    }

    /// One organization's, a batch in one transaction.
    static func emptyHidden(of tenant: TenantID, at now: Date, in database: Database) async throws {
        let end = now.addingTimeInterval(-(ReindexRun.keepsHidden / .seconds(1)))
        var isDone = false
        while !isDone, !Task.isCancelled {
            isDone = try await database.transaction(as: .service(.search, for: tenant)) { tx in
                guard try DocumentStore(tx).emptyHidden(until: end, limit: ReindexRun.batch) < ReindexRun.batch else { return false }
                try ReindexStore(tx).markEmptied(until: end)
                return true
            }
        }
    }
}
