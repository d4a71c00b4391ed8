import Foundation

/// One visit: the rows with one `sessionId`; for a person's rows without one, those that follow each other within half an hour.
/// Rows with neither belong to no visit.
///
/// It counts in the bucket in which it began, whole. Rows up to a day on either side of the period are looked at, so a
/// visit that began before the period is not counted in it, and one that goes on after it has its full length.
enum SessionRule {
    /// Seconds without a row after which a person without session ids has come back for another visit.
    static let gap: TimeInterval = 1_800
    /// Seconds on either side of the period.
    static let reach: TimeInterval = BucketCalendar.daySeconds
    /// Entry and exit pages of one answer.
    static let pages = 10

    /// The standard errors of figures from one in `sampling` visits, as shares of the figures; those that nothing is known of are left out.
    static func errors(
        sampling: Int, looked: Int, viewing: Int, bounces: Int, average: Double?, spread: Double?
    ) -> [String: Double] {
        let left = 1 - 1 / Double(sampling)
        var errors: [String: Double] = [:]
        if looked > 0 { errors["sessions"] = (left / Double(looked)).squareRoot() }
        if bounces > 0, viewing > 0 {
            errors["bounces"] = (left / Double(bounces)).squareRoot()
            errors["bounceRate"] = (left * (1 - Double(bounces) / Double(viewing)) / Double(bounces)).squareRoot()
        }
        if let average, let spread, average > 0 { errors["averageSeconds"] = spread / average * (left / Double(looked)).squareRoot() }
        return errors.mapValues { ($0 * 10_000).rounded() / 10_000 }
    }
}

/// Visits of a bucket, or of the whole period.
struct SessionFigures: Codable, Sendable, Equatable {
    var sessions = 0
    /// Of one page view and nothing else.
    var bounces = 0
    /// Of the visits that had a page view at all; nil when there is none.
    var bounceRate: Double?
    /// From the first row to the last, with what the last view of a page is said to have taken.
    var averageSeconds: Double?
    var medianSeconds: Double?
    var pageViewsPerSession: Double?
    var eventsPerSession: Double?
}

/// A page with how many visits began, or ended, there.
struct SessionPage: Codable, Sendable, Equatable {
    let path: String
    let sessions: Int
}

/// Visits of a period, whole and by buckets, and the pages where most of them began and ended.
struct SessionAnswer: Sendable {
    var totals = SessionFigures()
    /// By where they begin; those in which no visit began are not in it.
    var buckets: [Date: SessionFigures] = [:]
    var entryPages: [SessionPage] = []
    var exitPages: [SessionPage] = []
    /// The standard errors of the totals, as shares of them, when only some of the visits were looked at.
    var errors: [String: Double]?
}
