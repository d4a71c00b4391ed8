import Foundation

/// What page views are ranked by.
enum PageSubject: Sendable {
    case path, referrer
}

/// The views of one page, or those that came from one host.
struct PageFigures: Sendable, Equatable {
    /// Empty where there is none.
    let name: String
    let views: Int
    /// Different people and visits with an event or a view of it; nil where there is no name, since most events have none.
    let uniqueUsers: Int?
    let sessions: Int?
    /// Over the views that say how long they were.
    let averageSeconds: Double?
    let bounces: Int
}

/// Pages, or hosts, by the views of them.
struct PageRanking: Sendable {
    /// Which page of the ranking: those with fewer views than the last one shown, or as many and a later name.
    struct Position: Sendable {
        let views: Int
        let name: String
    }

    /// What it is about: a little longer than what was asked for, when it comes from roll-ups.
    let period: Period
    let rows: [PageFigures]
    let isEstimated: Bool
    /// Nil when all of the period is in it.
    let keptFrom: Date?
}
