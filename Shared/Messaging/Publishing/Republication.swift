package import Contracts
package import Foundation
package import Postgres

/// Publishing again what was published before: after brokers have lost something, or for a consumer that came late.
///
/// The events keep their ids, so whoever has handled one drops it. The service's relays publish them beside what is new, as fast as
/// that leaves room for and not faster than their limit. What is new of the same key waits behind them, so the order of a key is kept.
package enum Republication {
    /// What is published again.
    package struct Selection: Sendable {
        /// From this time on, inclusive, by the events' own time.
        package var since: Date
        /// Up to this time, exclusive; nil for all since.
        package var until: Date?
        /// Names of topics; empty for all.
        package var topics: [String]
        /// Empty for all organizations.
        package var tenants: [TenantID]

        package init(since: Date, until: Date? = nil, topics: [String] = [], tenants: [TenantID] = []) {
            self.since = since
            self.until = until
            self.topics = topics
            self.tenants = tenants
        }
    }

    /// `waiting` counts no further.
    package static let countLimit = 1_000_000
    /// A slice of time that took longer than this is followed by a shorter one: each statement has seconds.
    private static let sliceTarget: Duration = .milliseconds(500)
    private static let firstSlice: TimeInterval = 600
    private static let longestSlice: TimeInterval = 86_400
    /// Before this nothing is kept as a rule: one slice.
    private static let farPast: TimeInterval = 60 * 86_400

    /// Makes what is selected wait in the outbox once more, as far as it is still kept: all of it or, when this throws, nothing.
    /// Answers how many events. What has not been published yet is left as it is.
    package static func request(_ selection: Selection, in database: Database) async throws -> Int {
        let wanted = OutboxHistory.Wanted(topics: selection.topics, tenants: selection.tenants.map(\.uuid))
        return try await database.platform(PlatformWork("outbox republication")) { tx in
            let history = OutboxHistory(tx: tx)
            var (start, length, count) = (selection.since, firstSlice, 0)
            // Clocks differ: what seems to be of the future is in the last slice.
            let (end, present) = (selection.until ?? .distantFuture, tx.now)
            while start < end {
                let next = max(start.addingTimeInterval(length), present.addingTimeInterval(-farPast))
                let stop = start < present ? min(next, end) : end
                let began = ContinuousClock.now
                count += try history.publishAgain(wanted, from: start, until: stop)
                length = ContinuousClock.now - began > sliceTarget ? max(1, length / 4) : min(length * 2, longestSlice)
                start = stop
            }
            return count
        }
    }

    /// Everything announced since then.
    package static func request(since time: Date, in database: Database) async throws -> Int {
        try await request(Selection(since: time), in: database)
    }

    /// How many events still wait to be published again, counted up to `countLimit`.
    package static func waiting(in database: Database) async throws -> Int {
        try await database.platform(PlatformWork("outbox republication")) { tx in
            try OutboxHistory(tx: tx).waitingAgain(atMost: countLimit)
        }
    }
}
