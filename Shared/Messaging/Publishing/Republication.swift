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
            var count = 0
            try slices(from: selection.since, until: selection.until ?? .distantFuture, present: tx.now) { start, stop in
                count += try history.publishAgain(wanted, from: start, until: stop)
                return true
            }
            return count
        }
    }

    /// Those of the named topics and organizations of which the outbox keeps nothing, of whatever time: most often they were mistyped.
    package static func absent(_ selection: Selection, in database: Database) async throws -> (topics: [String], tenants: [TenantID]) {
        let named = (topics: Set(selection.topics), tenants: Set(selection.tenants.map(\.uuid)))
        let absent = try await database.platform(PlatformWork("outbox republication")) { tx in
            let history = OutboxHistory(tx: tx)
            var (topics, tenants) = named
            try slices(from: .distantPast, until: .distantFuture, present: tx.now) { start, stop in
                let kept = try history.kept(.init(topics: Array(topics), tenants: Array(tenants)), from: start, until: stop)
                topics.subtract(kept.topics)
                tenants.subtract(kept.tenants)
                return !topics.isEmpty || !tenants.isEmpty
            }
            return (topics: topics, tenants: tenants)
        }
        return (absent.topics.sorted(), absent.tenants.map { TenantID($0) }.sorted { "\($0)" < "\($1)" })
    }

    /// One span of time after the other, each as long as its statement takes about `sliceTarget`, until `body` says that it is enough.
    private static func slices(
        from first: Date, until end: Date, present: Date, _ body: (_ start: Date, _ stop: Date) throws -> Bool
    ) rethrows {
        var (start, length) = (first, firstSlice)
        while start < end {
            let next = max(start.addingTimeInterval(length), present.addingTimeInterval(-farPast))
            // Clocks differ: what seems to be of the future is in the last slice.
            let stop = start < present ? min(next, end) : end
            let began = ContinuousClock.now
            guard try body(start, stop) else { return }
            length = ContinuousClock.now - began > sliceTarget ? max(1, length / 4) : min(length * 2, longestSlice)
            start = stop
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
