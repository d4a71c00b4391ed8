import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceLifecycle

/// Makes partitions ahead of time, removes what is past its retention, and erases organizations that are gone for good.
struct Upkeep: Service {
    let folds: Folds
    let retention: Retention
    let now: @Sendable () -> Date
    let logger: Logger
    private var database: Database { folds.database }

    static let pause = Duration.seconds(60)
    /// Seconds after which an organization's rows are looked through again.
    static let interval: TimeInterval = 6 * 3_600
    /// Seconds for which partitions are made ahead: three months.
    static let ahead: TimeInterval = 92 * 86_400
    static let tenantsAtOnce = 50
    /// Seconds after an objection is written down when no transaction that did not know of it is left: more than the one that wrote it and a
    /// statement after that may take.
    static let settling: TimeInterval = 90
    /// Seconds for which a partition stays that no plan keeps: by then each organization has noted what it no longer has.
    static let grace: TimeInterval = 86_400
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

    /// Partitions first: without them rows would land in the default one. Whatever fails is tried again in the next turn, and keeps nothing else
    /// from being done in this one.
    func turn() async throws {
        let time = now()
        try await step("partitions could not be made") {
            try await partitions(UpkeepStore.makePartition(from: time, to: time.addingTimeInterval(Self.ahead)), "partition made")
        }
        try await step("partitions could not be dropped") {
            let limit = retention.lastLimit(now: time).addingTimeInterval(-Self.grace)
            try await partitions(UpkeepStore.dropPartition(before: limit), "partition dropped")
        }
        try await step("people could not be taken out of their rows") {
            try await unname(waitingSince: time.addingTimeInterval(-Self.settling))
        }
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

    private func step(_ trouble: Logger.Message, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            try Task.checkCancellation()
            logger.warning(trouble, metadata: ["reason": "\(error)"])
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
        while try await folds.turn(as: caller, waits: true)?.hasMore == true { try Task.checkCancellation() }
        let isErased = organization.isErased
        let limit = isErased ? .distantFuture : retention.limit(plan: organization.plan, now: time)
        // Before they go: an answer in between then leaves out rows that are there, and does not count on some that are not.
        if !isErased { try await database.transaction(as: caller) { try OrganizationStore(tx: $0).noteKept(from: limit) } }
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

    /// Takes people out of their rows, those who wait longest first. Who fails goes behind the others.
    func unname(waitingSince: Date) async throws {
        let waiting = try await database.platform(PlatformWork("people to unname")) { tx in
            try tx.query(UpkeepStore.unnaming(waitingSince: waitingSince, limit: Self.tenantsAtOnce))
        }
        for one in waiting {
            let caller = Caller.service(.analytics, for: one.tenant)
            do {
                try await repeatedly(caller) { try PersonStore(tx: $0).unnameSome(one.person) }
                try await database.transaction(as: caller) { try PersonStore(tx: $0).markUnnamed(one.person) }
            } catch {
                try Task.checkCancellation()
                logger.warning(
                    "a person could not be taken out of all rows", metadata: ["tenant": "\(one.tenant)", "reason": "\(error)"])
                // If this fails too, they come first again.
                try? await database.transaction(as: caller) { try PersonStore(tx: $0).postpone(one.person) }
            }
        }
    }

    /// A transaction after the other while there is more, so that none takes long.
    private func repeatedly(_ caller: Caller, _ step: @escaping @Sendable (Transaction) throws -> Bool) async throws {
        while try await database.transaction(as: caller, step) { try Task.checkCancellation() }
    }
}
