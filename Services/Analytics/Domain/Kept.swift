import Contracts
import Foundation

/// How far back reaches what is stored of an organization.
///
/// Raw rows go by its plan, roll-ups by hour and by value after fixed times; days of the whole stay. So counts are there for ever, and what only
/// rows tell is there from `rows` on: an answer about earlier times says so.
struct Kept: Sendable, Equatable {
    /// Raw rows of before may have been removed.
    let rows: Date
    /// Roll-ups by hour, and days by event name, page, label and the like.
    let hours: Date
    let values: Date

    /// Nothing has been removed yet.
    static let everything = Kept(rows: .distantPast, hours: .distantPast, values: .distantPast)

    private init(rows: Date, hours: Date, values: Date) {
        self.rows = rows
        self.hours = hours
        self.values = values
    }

    /// `rows` is nil while nothing was removed.
    init(rows: Date?, now: Date) {
        self.init(
            rows: rows ?? .distantPast, hours: Self.first(of: RollupBatch.hourDays, now: now),
            values: Self.first(of: RollupBatch.valueDays, now: now))
    }

    /// Where the first whole day begins of the roll-ups that are kept for so many days.
    static func first(of days: Int, now: Date) -> Date {
        BucketCalendar.start(of: now.addingTimeInterval(-Double(days - 1) * BucketCalendar.daySeconds), .day)
    }

    /// Whether all rows of the period are there.
    func hasRows(_ period: Period) -> Bool { period.from >= rows }

    /// For an answer's `keptFrom` where it comes from the rows: nil when all of them are there.
    func rowsFrom(_ period: Period) -> Date? { hasRows(period) ? nil : rows }

    /// Whether the rows reach further back than the roll-ups by value, and the period needs that.
    func prefersRows(_ period: Period) -> Bool { period.from < values && rows < values }

    /// For an answer's `keptFrom` where it is by value: from the rows, or from the roll-ups where those reach further back.
    func valuesFrom(_ period: Period) -> Date? {
        let first = min(rows, values)
        return period.from < first ? first : nil
    }

    /// The period as its counts can be answered: as it is while its rows are there, else moved outwards to the roll-ups that make it up.
    /// Refused when it is by hours of a time of which only days are left.
    func fitted(_ period: Period, now: Date) throws(ValidationFailure) -> Period {
        if hasRows(period) { return period }
        guard let span = period.rollups(now: now) else {
            throw ValidationFailure(
                "?granularity", "no-longer-kept",
                "hours are kept from \(Timestamp.text(min(rows, hours))) on: choose a coarser granularity or a later beginning")
        }
        return try span.widened(period, now: now)
    }
}
