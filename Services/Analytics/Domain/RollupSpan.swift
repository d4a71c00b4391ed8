import Contracts
import Foundation

/// Which roll-ups make up a time: its whole days, and the hours before and after them.
///
/// Roll-ups know nothing of less than an hour, and nothing of less than a day where hours are no longer kept, so the bounds are moved
/// outwards; the period of the answer says so.
struct RollupSpan: Sendable, Equatable {
    let head: Range<Date>
    let days: Range<Date>
    let tail: Range<Date>

    var from: Date { head.lowerBound }
    var to: Date { tail.upperBound }

    /// Nil when the answer is to be by hours (`byHour`) of a time of which only days are kept.
    init?(from: Date, to: Date, byHour: Bool, now: Date) {
        let hoursFrom = Kept.first(of: RollupBatch.hourDays, now: now)
        func unit(_ time: Date) -> Granularity { time < hoursFrom ? .day : .hour }
        if byHour, from < hoursFrom { return nil }
        let first = BucketCalendar.start(of: from, unit(from)), last = Self.end(to, unit(to))
        let dayStart = Self.end(first, .day), dayEnd = BucketCalendar.start(of: last, .day)
        if byHour || dayStart >= dayEnd {
            (head, days, tail) = (first..<last, last..<last, last..<last)
        } else {
            (head, days, tail) = (first..<dayStart, dayStart..<dayEnd, dayEnd..<last)
        }
    }

    /// The next beginning of a bucket, or the time itself if it is one.
    private static func end(_ time: Date, _ unit: Granularity) -> Date {
        let start = BucketCalendar.start(of: time, unit)
        return start == time ? time : BucketCalendar.next(after: start, unit)
    }

    /// Whether nothing had to be moved.
    func covers(_ period: Period) -> Bool { from == period.from && to == period.to }

    /// The period with the bounds of this span, which was made for it.
    func widened(_ period: Period, now: Date) throws(ValidationFailure) -> Period {
        covers(period) ? period : try Period(from: from, to: to, granularity: period.granularity, now: now)
    }
}

extension Period {
    /// Nil when there are no roll-ups as fine as the buckets of the period.
    func rollups(now: Date) -> RollupSpan? { RollupSpan(from: from, to: to, byHour: granularity == .hour, now: now) }

    /// The same time for an answer that is not by buckets: the coarsest ones ask for nothing fine.
    func unbucketed(now: Date) throws(ValidationFailure) -> Period { try Period(from: from, to: to, granularity: .month, now: now) }

    /// The bucket in which something that happened, or a smaller bucket that began, at this time counts.
    func bucket(of time: Date) -> Date { BucketCalendar.start(of: time, granularity) }
}
