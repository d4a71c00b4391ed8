import Contracts
import Foundation

/// What happens just now in one organization.
struct RealtimeView: Codable, Sendable, Equatable {
    /// Minutes that are looked at, the one that is not over among them; people of the last of them are there now.
    static let minutes = 30
    static let presentMinutes = 5
    /// Names of events.
    static let names = 10

    struct Minute: Codable, Sendable, Equatable {
        let start: Date
        var events = 0
        var pageViews = 0
        var uniqueUsers = 0
    }

    struct Name: Codable, Sendable, Equatable {
        let eventName: String
        let events: Int
    }

    /// Different people in the last five minutes, and in the last thirty.
    let activeUsers: Int
    let uniqueUsers: Int
    let events: Int
    let pageViews: Int
    /// Oldest first, each minute of the thirty.
    let series: [Minute]
    /// The most frequent events of the thirty minutes.
    let topEvents: [Name]

    /// Puts the minutes of the roll-ups together; `rows` are of the whole and of single events.
    init(now: Date, rows: [RealtimeMinute]) {
        let last = RollupUnit.minute.bucket(now)
        let starts = (0..<Self.minutes).reversed().map { last.addingTimeInterval(-60 * Double($0)) }
        var present = Sketch(), everybody = Sketch()
        var minutes: [Date: Minute] = [:]
        var names: [String: Int] = [:]
        let presentFrom = last.addingTimeInterval(-60 * Double(Self.presentMinutes - 1))
        for row in rows {
            if let name = row.eventName {
                names[name, default: 0] += row.events
                continue
            }
            minutes[row.start] = Minute(
                start: row.start, events: row.events, pageViews: row.pageViews, uniqueUsers: row.users.estimate)
            everybody.merge(row.users)
            if row.start >= presentFrom { present.merge(row.users) }
        }
        series = starts.map { minutes[$0] ?? Minute(start: $0) }
        events = series.reduce(0) { $0 + $1.events }
        pageViews = series.reduce(0) { $0 + $1.pageViews }
        activeUsers = present.estimate
        uniqueUsers = everybody.estimate
        topEvents = names.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(Self.names).map {
            Name(eventName: $0.key, events: $0.value)
        }
    }
}

/// A minute of everything, or of the events of one name.
struct RealtimeMinute: Sendable {
    let start: Date
    let eventName: String?
    let events: Int
    let pageViews: Int
    let users: Sketch
}
