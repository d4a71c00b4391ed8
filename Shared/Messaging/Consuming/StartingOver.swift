package import Contracts
package import Postgres

/// Rebuilding a read model: the part of it that lies in the service's database.
package enum StartingOver {
    /// Rows of the inbox looked at in one transaction: far from what a statement may take.
    package static let rowsAtOnce = 20_000

    /// Forgets what the consumer group has handled, of all organizations or of one, so that a replay takes effect. Returns how many events.
    ///
    /// In transactions that are each short, however much there is. After a failure some are forgotten and some are not: to be called again.
    /// - Parameters:
    ///   - rows: Rows of the inbox looked at in one transaction.
    ///   - progress: Called after each transaction with how many have been forgotten.
    package static func forget(
        consumer group: String, of tenant: TenantID? = nil, in database: Database, looking rows: Int = rowsAtOnce,
        progress: @Sendable (Int) -> Void = { _ in }
    ) async throws -> Int {
        var forgotten = 0
        var place = tenant.map { InboxPlace(tenant: $0, consumer: group, event: .zero) } ?? .beginning
        while true {
            let from = place
            let step = try await database.platform(PlatformWork("inbox reset")) { tx in
                try InboxPruning(tx: tx).forget(group, of: tenant, from: from, looking: rows)
            }
            forgotten += step.forgotten
            progress(forgotten)
            guard let next = step.next else { return forgotten }
            place = next
        }
    }
}
