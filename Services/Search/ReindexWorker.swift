import Contracts
import Foundation
import Logging
import Metrics
import Postgres
import ServiceLifecycle

/// Works off reindexing runs, one batch in one transaction, so that a restart loses at most a batch of work and searches and
/// events go on in between. Several replicas share the runs. What fails for one organization does not keep another's from being done, and a
/// document that cannot be derived does not keep the others of its organization.
final class ReindexWorker: Service {
    /// How often it looks for runs that another replica was told of and did not finish.
    static let pause = Duration.seconds(5)
    /// Organizations taken in turn.
    static let tenantsInTurn = 10

    private let database: Database
    private let logger: Logger
    private let paces = ReindexPaces()
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
            try await emptyHidden()
            while !Task.isCancelled, try await step() {}
        } catch {
            guard !Task.isCancelled else { return }
            logger.warning("reindexing was interrupted", metadata: ["reason": "\(error)"])
        }
    }

    /// A batch for each organization that has a run. False when there is nothing to go on with now.
    private func step() async throws -> Bool {
        let tenants = try await database.platform(PlatformWork("reindexing")) { tx in
            try tx.query(ReindexStore.tenantsAtWork(limit: Self.tenantsInTurn))
        }
        var goesOn = false
        for tenant in tenants { goesOn = try await derive(tenant) || goesOn }
        return goesOn
    }

    /// A batch of an organization. False when it is not to be gone on with now: another replica is at it, or it has failed for a reason
    /// that passes. Throws when the database is away.
    private func derive(_ tenant: TenantID) async throws -> Bool {
        let caller = Caller.service(.search, for: tenant)
        let start = ContinuousClock.now
        let most = paces.documents(of: tenant)
        do {
            let derived = try await database.transaction(as: caller) { tx -> Int? in
                let runs = ReindexStore(tx)
                guard var run = try runs.lock(.texts) else { return nil }
                let ids = try DocumentStore(tx).next(after: run.position, limit: most, bytes: ReindexRun.batchBytes)
                do {
                    try DocumentStore(tx).derive(ids)
                } catch {
                    throw BatchFailure(ids: ids, cause: error)
                }
                run.advance(over: ids, at: tx.now)
                try runs.save(run)
                return ids.count
            }
            guard let derived else { return false }
            if derived == 0 { paces.end(tenant) } else { paces.took(ContinuousClock.now - start, for: derived, tenant) }
            return true
        } catch let failure as BatchFailure {
            guard !Task.isCancelled else { return false }
            return try await notDerived(failure, caller)
        } catch {
            guard !Task.isCancelled else { return false }
            logger.warning("an organization's index was not derived", metadata: ["tenantId": "\(tenant)", "reason": "\(error)"])
            // Others come before it now. When this fails, too, it is not for this organization that it does.
            try await database.transaction(as: caller) { tx in try ReindexStore(tx).touch() }
            return false
        }
    }

    /// After a failure there are fewer in the next batch, and one alone is left as it is. Says whether to go on with the organization now.
    private func notDerived(_ failure: BatchFailure, _ caller: Caller) async throws -> Bool {
        let isAlone = failure.ids.count == 1
        paces.failed(for: failure.ids.count, caller.tenant)
        let metadata: Logger.Metadata = [
            "tenantId": "\(caller.tenant)", "documents": "\(failure.ids.count)", "reason": "\(failure.cause)",
        ]
        guard failure.isOfDocuments, isAlone, let id = failure.ids.first else {
            logger.warning("documents could not be derived together", metadata: metadata)
            try await database.transaction(as: caller) { tx in try ReindexStore(tx).touch() }
            return failure.isOfDocuments
        }
        logger.error(
            "a document cannot be derived and is left as it is", metadata: metadata.merging(["documentId": "\(id)"]) { $1 })
        try await database.transaction(as: caller) { tx in
            let runs = ReindexStore(tx)
            guard var run = try runs.lock(.texts) else { return }
            run.skip(id)
            try runs.save(run)
        }
        Counter(label: "trionex_search_reindex_skipped_total").increment()
        return true
    }

    /// Why documents were not derived.
    private struct BatchFailure: Error {
        let ids: [DocumentID]
        let cause: any Error

        /// Fewer of them may go well: the statement was refused, or took too long. Otherwise the database is away, its migration is still
        /// to come, or somebody was in the way.
        var isOfDocuments: Bool {
            switch cause {
            case let failure as PostgresFailure:
                !(failure.isSerializationFailure || failure.isLockNotAvailable || failure.isMissingMigration)
            case let failure as DependencyFailure: failure.isStatementTimeOut
            default: false
            }
        }
    }

    /// Forgets the texts that the ends of rebuilds hid, when their time is over.
    private func emptyHidden() async throws {
        let (tenants, now) = try await database.platform(PlatformWork("hidden documents to empty")) { tx in
            (try tx.query(ReindexStore.tenantsToEmpty(at: tx.now, limit: Self.tenantsInTurn)), tx.now)
        }
        for tenant in tenants {
            do {
                try await Self.emptyHidden(of: tenant, at: now, in: database)
            } catch {
                guard !Task.isCancelled else { return }
                logger.warning("hidden texts were not forgotten", metadata: ["tenantId": "\(tenant)", "reason": "\(error)"])
            }
        }
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
