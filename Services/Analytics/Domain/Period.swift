import Contracts
import Foundation

/// How long a bucket of a series is. Buckets begin at full hours, midnights, Mondays and firsts of the month, in UTC.
enum Granularity: String, Codable, Sendable, CaseIterable {
    case hour, day, week, month
}

/// The time a report is about: from (included) to (excluded), and the buckets it is shown in.
struct Period: Sendable, Equatable {
    /// Buckets in one answer.
    static let maximumBuckets = 2_000
    /// Days that are reported on when nothing is said.
    static let defaultDays = 30

    let from: Date
    let to: Date
    let granularity: Granularity
    /// Where each bucket begins. The first may begin before `from`; it counts only what lies within the period.
    let buckets: [Date]

    /// Without `to` it ends with the day (or hour) that is not over yet, so that what happens now is in it; without `from`
    /// it begins 30 days before its end.
    init(from: Date?, to: Date?, granularity: Granularity, now: Date) throws(ValidationFailure) {
        let unit: Granularity = granularity == .hour ? .hour : .day
        let end = to ?? BucketCalendar.next(after: BucketCalendar.start(of: now, unit), unit)
        let start = from ?? end.addingTimeInterval(-Double(Self.defaultDays) * BucketCalendar.daySeconds)
        try Self.check(from: from, to: to, start: start, end: end)
        var buckets: [Date] = []
        var bucket = BucketCalendar.start(of: start, granularity)
        while bucket < end {
            guard buckets.count < Self.maximumBuckets else {
                throw ValidationFailure(
                    "?granularity", "too-many-buckets",
                    "an answer has at most \(Self.maximumBuckets) buckets: choose a coarser granularity or a shorter period")
            }
            buckets.append(bucket)
            bucket = BucketCalendar.next(after: bucket, granularity)
        }
        self.from = start
        self.to = end
        self.granularity = granularity
        self.buckets = buckets
    }

    /// Blames what was said: `start` and `end` are the bounds with what was left out filled in, and a beginning that was follows the end.
    static func check(from: Date?, to: Date?, start: Date, end: Date) throws(ValidationFailure) {
        func problem(_ pointer: String, _ detail: String) -> FieldError {
            FieldError(pointer: pointer, code: "out-of-range", detail: detail)
        }
        guard start < end else {
            guard to != nil else {
                throw ValidationFailure([problem("?from", "must be earlier than to, which is \(Timestamp.text(end)) when it is left out")])
            }
            throw ValidationFailure([problem("?from", "must be earlier than to"), problem("?to", "must be later than from")])
        }
        let years = "must be in the years 2000 to 2199"
        let startsOutside = !BucketCalendar.covers(start)
        var problems: [FieldError] = []
        if startsOutside, from != nil { problems.append(problem("?from", years)) }
        if !BucketCalendar.covers(end) {
            problems.append(problem("?to", years))
        } else if startsOutside, from == nil {
            problems.append(problem("?to", "without from it must leave room for the time before it: from the year 2000 on"))
        }
        guard problems.isEmpty else { throw ValidationFailure(problems) }
    }
}

/// Where buckets begin, as PostgreSQL's `date_trunc(…, 'UTC')` has it: days of 86,400 seconds, weeks from Monday (ISO 8601).
enum BucketCalendar {
    static let daySeconds: TimeInterval = 86_400
    private static let hourSeconds: TimeInterval = 3_600
    private static let weekSeconds: TimeInterval = 7 * daySeconds
    /// 1970-01-05 was the first Monday after the epoch.
    private static let firstMonday: TimeInterval = 4 * daySeconds

    /// Years that reports are made for.
    static func covers(_ time: Date) -> Bool {
        time >= OccurrenceWindow.earliest && time.timeIntervalSince1970 <= 7_258_118_400
    }

    static func start(of time: Date, _ granularity: Granularity) -> Date {
        let seconds = time.timeIntervalSince1970
        switch granularity {
        case .hour: return Date(timeIntervalSince1970: (seconds / hourSeconds).rounded(.down) * hourSeconds)
        case .day: return Date(timeIntervalSince1970: (seconds / daySeconds).rounded(.down) * daySeconds)
        case .week:
            let weeks = ((seconds - firstMonday) / weekSeconds).rounded(.down)
            return Date(timeIntervalSince1970: weeks * weekSeconds + firstMonday)
        case .month: return calendar.date(from: calendar.dateComponents([.year, .month], from: time)) ?? time
        }
    }

    /// The bucket after one that begins at `start`.
    static func next(after start: Date, _ granularity: Granularity) -> Date {
        switch granularity {
        case .hour: start.addingTimeInterval(hourSeconds)
        case .day: start.addingTimeInterval(daySeconds)
        case .week: start.addingTimeInterval(weekSeconds)
        case .month: calendar.date(byAdding: .month, value: 1, to: start) ?? start.addingTimeInterval(31 * daySeconds)
        }
    }

    private static let calendar: Calendar = {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        return calendar
    }()
}

/// A time in a query: RFC 3339, or a date alone for its first moment in UTC.
struct Moment: Decodable, Sendable, Described {
    let date: Date
    static var schema: Schema { .string(format: "date-time") }
    static var placeholder: Moment { Moment(date: Date(timeIntervalSince1970: 0)) }

    private init(date: Date) { self.date = date }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let date = Timestamp.date(text) ?? Timestamp.date(text + "T00:00:00Z") else {
            let problem = TextProblem("invalid-time", "must be a time as in RFC 3339, such as 2026-01-15T10:30:00Z, or a date")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
        self.date = date
    }
}
