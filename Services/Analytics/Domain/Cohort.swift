import Contracts
import Foundation

/// Retention: of the people first seen in each day, week or month, how many were there again in those that followed.
///
/// Cohorts are whole buckets, so the bounds are moved outwards to their edges. The bucket in which somebody was first seen is their number 0.
struct CohortTable: Sendable {
    /// Cohorts of one answer, and buckets for which each is followed.
    static let maximumCohorts = 60
    static let maximumPeriods = 60
    static let standardPeriods = 12

    struct Cohort: Sendable, Equatable {
        let start: Date
        let people: Int
        /// Those who were there in the n-th bucket after it; as many as have begun.
        let returning: [Int]
    }

    struct Answer: Sendable {
        let cohorts: [Cohort]
        /// The standard error of those who came back, as a share of them, in a cohort of mean size of which half did; nil when all were looked at.
        let error: Double?
    }

    let period: Period
    let periods: Int
    /// Where the last bucket that counts ends.
    let end: Date
    let now: Date

    /// Without bounds, as many cohorts as periods, up to the one that is not over yet.
    init(from: Date?, to: Date?, granularity: Granularity, periods: Int, now: Date) throws(ValidationFailure) {
        guard granularity != .hour else {
            throw ValidationFailure("?granularity", "invalid-choice", "must be one of day, week, month")
        }
        guard (1...Self.maximumPeriods).contains(periods) else {
            throw ValidationFailure("?periods", "out-of-range", "must be from 1 to \(Self.maximumPeriods)")
        }
        let last = BucketCalendar.start(of: to.map { $0.addingTimeInterval(-0.001) } ?? now, granularity)
        let end = BucketCalendar.next(after: last, granularity)
        var start = from.map { BucketCalendar.start(of: $0, granularity) } ?? last
        if from == nil {
            for _ in 1..<max(2, periods) { start = BucketCalendar.start(of: start.addingTimeInterval(-1), granularity) }
        }
        try Period.check(from: from, to: to, start: start, end: end)
        let period = try Period(from: start, to: end, granularity: granularity, now: now)
        guard period.buckets.count <= Self.maximumCohorts else {
            throw ValidationFailure(
                "?granularity", "too-many-buckets", "an answer has at most \(Self.maximumCohorts) cohorts: choose a coarser granularity")
        }
        var horizon = period.to
        for _ in 0..<periods { horizon = BucketCalendar.next(after: horizon, granularity) }
        self.period = period
        self.periods = periods
        self.now = now
        self.end = min(horizon, BucketCalendar.next(after: BucketCalendar.start(of: now, granularity), granularity))
    }

    /// The table from the people of each cohort, and those of each who were there in each bucket.
    func cohorts(sizes: [Date: Int], returning: [(cohort: Date, bucket: Date, people: Int)]) -> [Cohort] {
        let counts = Dictionary(grouping: returning, by: \.cohort)
        return period.buckets.map { start in
            let own = Dictionary((counts[start] ?? []).map { ($0.bucket, $0.people) }, uniquingKeysWith: +)
            var row: [Int] = []
            var bucket = start
            while row.count <= periods, bucket <= now {
                row.append(own[bucket] ?? 0)
                bucket = BucketCalendar.next(after: bucket, period.granularity)
            }
            return Cohort(start: start, people: sizes[start] ?? 0, returning: row)
        }
    }

    /// The same from one in `sampling` people.
    func answer(
        sizes: [Date: Int], sampled: [(cohort: Date, bucket: Date, people: Int)], of people: Int, sampling: Int
    ) -> Answer {
        let scaled = sampled.map { row in
            (cohort: row.cohort, bucket: row.bucket, people: min(row.people * sampling, sizes[row.cohort] ?? 0))
        }
        let each = Double(people) / Double(max(1, period.buckets.count))
        let error = each > 0 ? ((1 - 1 / Double(sampling)) / each).squareRoot() : 1
        return Answer(cohorts: cohorts(sizes: sizes, returning: scaled), error: (error * 10_000).rounded() / 10_000)
    }
}
