import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceLifecycle

/// Makes partitions ahead of time, removes what is past its retention, and erases organizations that are gone for good.
struct Upkeep: Service {
    let database: Database
    let retention: Retention
    let bound: RollupBound
    let now: @Sendable () -> Date
    let logger: Logger

    static let pause = Duration.seconds(60)
    /// Seconds after which an organization's rows are looked through again.
    static let interval: TimeInterval = 6 * 3_600
    /// Seconds for which partitions are made ahead: three months.
    static let ahead: TimeInterval = 92 * 86_400
    static let tenantsAtOnce = 50
    /// Seconds after an objection when no transaction that did not know of it is left: more than a statement may take.
    static let settling: TimeInterval = 30
    /// Rows removed in one transaction, of each table.
    static let rowsAtOnce = 5_000

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await turn()
                } catch {
                    if Task.isCancelled { return }
                    logger.warning("analytics could not look after its tables", metadata: ["reason": "\(error)"])
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Partitions first: without them rows would land in the default one.
    func turn() async throws {
        let time = now()
        try await partitions(UpkeepStore.makePartition(from: time, to: time.addingTimeInterval(Self.ahead)), "partition made")
        try await partitions(UpkeepStore.dropPartition(before: retention.lastLimit(now: time)), "partition dropped")
        try await unname(objectedBefore: time.addingTimeInterval(-Self.settling))
        while !Task.isCancelled {
            let due = try await database.platform(PlatformWork("organizations to prune")) { tx in
                try tx.query(
                    UpkeepStore.due(prunedBefore: time.addingTimeInterval(-Self.interval), now: time, limit: Self.tenantsAtOnce))
            }
            var done = 0
            for organization in due {
                do {
                    try await look(after: organization, at: time)
                    done += 1
                } catch {
                    try Task.checkCancellation()
                    logger.warning(
                        "an organization's old events could not be removed",
                        metadata: ["tenant": "\(organization.tenant)", "reason": "\(error)"])
                }
            }
            // Those that failed come first again; without any that did not, the next turn is soon enough.
            guard due.count == Self.tenantsAtOnce, done > 0 else { return }
        }
    }

    /// One after the other, each in a transaction of its own, until there is none left to do.
    private func partitions(_ query: Query<String?>, _ message: Logger.Message) async throws {
        while let name = try await database.platform(PlatformWork("partitions of raw events"), { try $0.first(query) ?? nil }) {
            logger.info(message, metadata: ["partition": "\(name)"])
        }
    }

    /// Removes what is past; all of it when the organization is gone. Salts first: nothing else may keep visitors from being nobody's.
    func look(after organization: UpkeepStore.Due, at time: Date) async throws {
        let caller = Caller.service(.analytics, for: organization.tenant)
        try await database.transaction(as: caller) { try OrganizationStore(tx: $0).forgetSalts(now: time) }
        // Rows that wait are counted before they may go.
        try await repeatedly(caller) { try RollupFold(tx: $0, bound: bound).fold().hasMore }
        let isErased = organization.isErased
        let limit = isErased ? .distantFuture : retention.limit(plan: organization.plan, now: time)
        let arrival = isErased ? .distantFuture : time.addingTimeInterval(-Double(OrganizationStore.idDays) * 86_400)
        try await repeatedly(caller) {
            try OrganizationStore(tx: $0).prune(before: limit, idsReceivedBefore: arrival, rows: Self.rowsAtOnce)
        }
        try await repeatedly(caller) {
            let store = OrganizationStore(tx: $0)
            return try isErased ? store.eraseRollups(rows: Self.rowsAtOnce) : store.pruneRollups(now: time, rows: Self.rowsAtOnce)
        }
        try await database.transaction(as: caller) { tx in
            let store = OrganizationStore(tx: tx)
            if isErased { try store.eraseRest() } else { try store.markPruned(at: time) }
        }
    }

    /// Takes people out of their rows, those who wait longest first.
    func unname(objectedBefore: Date) async throws {
        let waiting = try await database.platform(PlatformWork("people to unname")) { tx in
            try tx.query(UpkeepStore.unnaming(objectedBefore: objectedBefore, limit: Self.tenantsAtOnce))
        }
        for one in waiting {
            let caller = Caller.service(.analytics, for: one.tenant)
            try await repeatedly(caller) { try PersonStore(tx: $0).unnameSome(one.person) }
            try await database.transaction(as: caller) { try PersonStore(tx: $0).markUnnamed(one.person) }
        }
    }

    /// A transaction after the other while there is more, so that none takes long.
    private func repeatedly(_ caller: Caller, _ step: @escaping @Sendable (Transaction) throws -> Bool) async throws {
        while try await database.transaction(as: caller, step) { try Task.checkCancellation() }
    }
}
