package import Foundation
package import Postgres

/// Publishing again what was published before: after brokers have lost something, or for a consumer that came late.
package enum Republication {
    /// Makes everything announced since then wait in the outbox again, as far as it is still kept; the relay publishes it with the same
    /// ids, so whoever has handled it drops it. Returns how many events.
    package static func request(since time: Date, in database: Database) async throws -> Int {
        try await database.platform(PlatformWork("outbox republication")) { tx in
            try OutboxQueue(tx: tx).republish(since: time)
        }
    }
}
