import Contracts
import Foundation

/// What customers reported, counted.
struct Activity: Sendable, Equatable {
    let events: Int
    let pageViews: Int
    /// Distinct people in events and page views together.
    let uniqueUsers: Int
    /// Distinct sessions in events and page views together.
    let sessions: Int

    static let none = Activity(events: 0, pageViews: 0, uniqueUsers: 0, sessions: 0)
}

/// Everything that is counted, for one bucket or for all.
struct Figures: Sendable, Equatable {
    let activity: Activity
    let facts: [FactKind: Int]

    func count(_ kind: FactKind) -> Int { facts[kind] ?? 0 }
}

/// The figures of a period: empty buckets are there too.
struct Overview: Sendable {
    let period: Period
    let totals: Figures
    let series: [(start: Date, figures: Figures)]

    /// `activity` has one row for each bucket that is not empty, and one without a bucket for the whole, because distinct counts
    /// cannot be added up.
    init(_ period: Period, activity: [(bucket: Date?, activity: Activity)], facts: [(bucket: Date, kind: FactKind, count: Int)]) {
        var byBucket: [Date: Activity] = [:]
        var whole = Activity.none
        for row in activity {
            if let bucket = row.bucket { byBucket[bucket] = row.activity } else { whole = row.activity }
        }
        var factsByBucket: [Date: [FactKind: Int]] = [:]
        var allFacts: [FactKind: Int] = [:]
        for row in facts {
            factsByBucket[row.bucket, default: [:]][row.kind, default: 0] += row.count
            allFacts[row.kind, default: 0] += row.count
        }
        self.period = period
        totals = Figures(activity: whole, facts: allFacts)
        series = period.buckets.map { bucket in
            (bucket, Figures(activity: byBucket[bucket] ?? .none, facts: factsByBucket[bucket] ?? [:]))
        }
    }
}
