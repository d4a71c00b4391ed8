import Contracts
import Foundation

/// How long a bucket of the roll-ups is.
enum RollupUnit: String, Sendable, CaseIterable {
    case minute, hour, day

    func bucket(_ time: Date) -> Date {
        let seconds: Double =
            switch self {
            case .minute: 60
            case .hour: 3_600
            case .day: 86_400
            }
        return Date(timeIntervalSince1970: (time.timeIntervalSince1970 / seconds).rounded(.down) * seconds)
    }
}

/// By what activity is counted, beside everything together.
enum RollupDimension: String, Sendable, CaseIterable {
    case everything = ""
    case eventName, eventCategory, page, referrer, country, device, browser, os

    /// Minutes are for what happens just now, and would be many.
    var hasMinutes: Bool { self == .everything || self == .eventName }
}

/// One bucket of one value of one dimension.
struct ActivityKey: Hashable, Sendable {
    let unit: RollupUnit
    let dimension: RollupDimension
    let bucket: Date
    let value: String

    /// Characters of a value: longer ones that begin alike are counted together.
    static let valueLength = 255
}

/// What is added to a bucket.
struct ActivityCount: Sendable {
    var events = 0
    var pageViews = 0
    var bots = 0
    var bounces = 0
    var durationSeconds = 0
    var timedViews = 0
    var users = Sketch()
    var sessions = Sketch()
}

struct FactKey: Hashable, Sendable {
    let unit: RollupUnit
    let kind: FactKind
    let bucket: Date
    let label: String

    /// All labels together.
    static let everyLabel = "*"
}

struct FactCount: Sendable {
    var facts = 0
    var amount = 0
    var users = Sketch()
}

/// One raw row, as far as roll-ups look at it.
struct Occurred: Sendable {
    let isView: Bool
    let occurredAt: Date
    let userID: UserID?
    let sessionKey: String?
    let isBot: Bool
    let eventName: String?
    let eventCategory: String?
    let path: String?
    let referrerHost: String?
    let country: String?
    let device: String?
    let browser: String?
    let os: String?
    let durationSeconds: Int?
    let isBounce: Bool

    func value(_ dimension: RollupDimension) -> String {
        switch dimension {
        case .everything: ""
        case .eventName: eventName ?? ""
        case .eventCategory: eventCategory ?? ""
        case .page: path ?? ""
        case .referrer: referrerHost ?? ""
        case .country: country ?? ""
        case .device: device ?? ""
        case .browser: browser ?? ""
        case .os: os ?? ""
        }
    }
}

/// New rows, counted into the buckets that they belong to.
struct RollupBatch: Sendable {
    /// Days for which minutes are kept: a late row of an older minute is in its hour and its day alone.
    static let minuteDays = 7
    /// Days for which hours are kept.
    static let hourDays = 400
    /// Days for which days are kept by event name, page, label and the like: those are as many as senders make up. The whole stays.
    static let valueDays = 1_125

    /// By minute and by hour; days are made of hours once all rows are in, so that each row is counted once for each dimension.
    private var counted: [ActivityKey: ActivityCount] = [:]
    private var countedFacts: [FactKey: FactCount] = [:]
    private(set) var firstSeen: [UserID: Date] = [:]
    private let minutesFrom: Date
    private let hoursFrom: Date

    init(now: Date) {
        minutesFrom = now.addingTimeInterval(-Double(Self.minuteDays) * 86_400)
        hoursFrom = now.addingTimeInterval(-Double(Self.hourDays) * 86_400)
    }

    mutating func add(_ row: Occurred) {
        if !row.isBot, let user = row.userID { firstSeen[user] = min(firstSeen[user] ?? row.occurredAt, row.occurredAt) }
        let hour = RollupUnit.hour.bucket(row.occurredAt)
        let minute = row.occurredAt < minutesFrom ? nil : RollupUnit.minute.bucket(row.occurredAt)
        for dimension in RollupDimension.allCases {
            // A page view has no name and no category; what bots made up would only take the places of what people did.
            if row.isView, dimension == .eventName || dimension == .eventCategory { continue }
            if row.isBot, dimension != .everything { continue }
            let value = Self.bounded(row.value(dimension))
            counted[ActivityKey(unit: .hour, dimension: dimension, bucket: hour, value: value), default: ActivityCount()].add(row)
            if let minute, dimension.hasMinutes {
                counted[ActivityKey(unit: .minute, dimension: dimension, bucket: minute, value: value), default: ActivityCount()].add(row)
            }
        }
    }

    mutating func add(_ kind: FactKind, at time: Date, user: UserID?, label: String?, amount: Int?) {
        let hour = RollupUnit.hour.bucket(time)
        for label in [FactKey.everyLabel, label ?? ""] {
            countedFacts[FactKey(unit: .hour, kind: kind, bucket: hour, label: label), default: FactCount()].add(user: user, amount: amount)
        }
    }

    var activity: [ActivityKey: ActivityCount] {
        var result: [ActivityKey: ActivityCount] = [:]
        for (key, count) in counted {
            if key.unit == .hour { result[key.day, default: ActivityCount()].add(count) }
            if key.unit == .minute || key.bucket >= hoursFrom { result[key] = count }
        }
        return result
    }

    var facts: [FactKey: FactCount] {
        var result: [FactKey: FactCount] = [:]
        for (key, count) in countedFacts {
            result[key.day, default: FactCount()].add(count)
            if key.bucket >= hoursFrom { result[key] = count }
        }
        return result
    }

    private static func bounded(_ value: String) -> String {
        value.utf8.count <= ActivityKey.valueLength ? value : String(value.unicodeScalars.prefix(ActivityKey.valueLength))
    }
}

extension ActivityKey {
    fileprivate var day: ActivityKey { ActivityKey(unit: .day, dimension: dimension, bucket: RollupUnit.day.bucket(bucket), value: value) }
}

extension FactKey {
    fileprivate var day: FactKey { FactKey(unit: .day, kind: kind, bucket: RollupUnit.day.bucket(bucket), label: label) }
}

extension ActivityCount {
    fileprivate mutating func add(_ row: Occurred) {
        guard !row.isBot else {
            bots += 1
            return
        }
        if row.isView {
            pageViews += 1
            if row.isBounce { bounces += 1 }
            if let seconds = row.durationSeconds {
                durationSeconds += seconds
                timedViews += 1
            }
        } else {
            events += 1
        }
        if let user = row.userID { users.insert(user.uuid) }
        if let session = row.sessionKey { sessions.insert(session) }
    }

    mutating func add(_ other: ActivityCount) {
        events += other.events
        pageViews += other.pageViews
        bots += other.bots
        bounces += other.bounces
        durationSeconds += other.durationSeconds
        timedViews += other.timedViews
        users.merge(other.users)
        sessions.merge(other.sessions)
    }
}

extension FactCount {
    fileprivate mutating func add(user: UserID?, amount: Int?) {
        facts += 1
        self.amount += amount ?? 0
        if let user { users.insert(user.uuid) }
    }

    mutating func add(_ other: FactCount) {
        facts += other.facts
        amount += other.amount
        users.merge(other.users)
    }
}
