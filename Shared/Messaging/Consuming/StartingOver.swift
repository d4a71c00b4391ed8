package import Postgres

/// Rebuilding a read model: the part of it that lies in the service's database.
package enum StartingOver {
    /// Forgets what the consumer group has handled, so that a replay takes effect. Returns how many events.
    package static func forget(consumer group: String, in database: Database) async throws -> Int {
        try await database.platform(PlatformWork("inbox reset")) { tx in
            try InboxPruning(tx: tx).forget(group)
        }
    }
}
