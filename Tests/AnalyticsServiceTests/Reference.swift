import Contracts
import Foundation

@testable import AnalyticsService

/// Every answer once more, slowly and in the plainest way: loops over all rows in memory. Nothing here is shared with the service but
/// the beginnings of buckets, which are tested by themselves.
struct Reference {
    let rows: [RawRow]

    /// The rows that count, in a time.
    func rows(_ from: Date, _ to: Date) -> [RawRow] { rows.filter { !$0.isBot && from <= $0.time && $0.time < to } }

    // MARK: - Questions

    /// A field of a row, by the name that it has in questions; null where there is none.
    static func value(_ field: String, _ row: RawRow) -> JSONValue {
        func text(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }
        switch field {
        case "kind": return .string(row.isView ? "pageView" : "event")
        case "eventName": return text(row.name)
        case "eventCategory": return text(row.category)
        case "url": return text(row.url)
        case "path": return text(row.path)
        case "referrer": return text(row.referrer)
        case "referrerHost": return text(row.referrerHost)
        case "userId": return text(row.user)
        case "sessionId": return text(row.session)
        case "browser": return "Firefox"
        case "durationSeconds": return row.duration.map(JSONValue.integer) ?? .null
        case "bounce": return row.isView ? .bool(row.bounce) : .null
        default:
            let name = String(field.dropFirst("properties.".count))
            if let own = row.properties[name] { return own }
            var value = JSONValue.object(row.properties)
            for step in name.split(separator: ".") { value = value[String(step)] }
            return value
        }
    }

    static func meets(_ filter: JSONValue, _ row: RawRow) -> Bool {
        let (value, wanted) = (value(filter["field"].string ?? "", row), filter["value"])
        func equal(_ one: JSONValue) -> Bool {
            if let left = value.double, let right = one.double { return left == right }
            return value == one
        }
        func compared(_ test: (Double, Double) -> Bool, _ texts: ([UInt32], [UInt32]) -> Bool) -> Bool {
            if let left = value.double, let right = wanted.double { return test(left, right) }
            if let left = value.string, let right = wanted.string {
                return texts(left.unicodeScalars.map(\.value), right.unicodeScalars.map(\.value))
            }
            return false
        }
        switch filter["op"].string {
        case "eq": return equal(wanted)
        case "ne": return !equal(wanted)
        case "in": return wanted.array.contains(where: equal)
        case "notIn": return !wanted.array.contains(where: equal)
        case "gt": return compared(>) { $1.lexicographicallyPrecedes($0) }
        case "gte": return compared(>=) { !$0.lexicographicallyPrecedes($1) }
        case "lt": return compared(<) { $0.lexicographicallyPrecedes($1) }
        case "lte": return compared(<=) { !$1.lexicographicallyPrecedes($0) }
        case "contains": return value.string?.contains(wanted.string ?? "") == true
        case "startsWith": return value.string?.hasPrefix(wanted.string ?? "") == true
        case "exists": return (value != .null) == wanted.bool
        default: return false
        }
    }

    /// The rows of the answer to a question, in no order.
    func answer(_ question: JSONValue, _ from: Date, _ to: Date) -> [[JSONValue]] {
        let measures = question["measures"].array.compactMap(\.string), dimensions = question["dimensions"].array.compactMap(\.string)
        let granularity = question["granularity"].string.flatMap(Granularity.init)
        let wantsViews = measures.contains { !$0.contains("properties.") && $0 != "events" && !$0.contains("eventName") }
        let wantsEvents = measures.contains { $0 != "pageViews" && !$0.contains("durationSeconds") }
        var groups: [[JSONValue]: [RawRow]] = [:]
        if granularity == nil, dimensions.isEmpty { groups[[]] = [] }
        for row in rows(from, to) where row.isView ? wantsViews : wantsEvents {
            guard question["filters"].array.allSatisfy({ Self.meets($0, row) }) else { continue }
            var key: [JSONValue] = []
            if let granularity { key.append(.string(Timestamp.text(BucketCalendar.start(of: row.time, granularity)))) }
            for dimension in dimensions {
                let value = Self.value(dimension, row)
                // Objects and lists are no groups.
                switch value {
                case .object, .array: key.append(.null)
                default: key.append(value)
                }
            }
            groups[key, default: []].append(row)
        }
        return groups.map { key, rows in key + measures.map { Self.measure($0, rows) } }
    }

    private static func measure(_ name: String, _ rows: [RawRow]) -> JSONValue {
        switch name {
        case "events": return .integer(rows.count { !$0.isView })
        case "pageViews": return .integer(rows.count { $0.isView })
        case "uniqueUsers": return .integer(Set(rows.compactMap(\.user)).count)
        case "sessions": return .integer(Set(rows.compactMap(\.session)).count)
        default: break
        }
        let field = String(name.drop { $0 != "(" }.dropFirst().dropLast())
        let values = rows.map { value(field, $0) }
        if name.hasPrefix("distinct(") {
            return .integer(
                Set(
                    values.filter { value in
                        switch value {
                        case .null, .object, .array: false
                        default: true
                        }
                    }
                ).count)
        }
        let numbers = values.compactMap { $0.string == nil ? $0.double : nil }.sorted()
        guard !numbers.isEmpty else { return .null }
        switch name.prefix(while: { $0 != "(" }) {
        case "sum": return .number(numbers.reduce(0, +))
        case "average": return .number(numbers.reduce(0, +) / Double(numbers.count))
        case "minimum": return .number(numbers[0])
        case "maximum": return .number(numbers[numbers.count - 1])
        case "median": return .number(Self.percentile(numbers, 0.5))
        default: return .number(Self.percentile(numbers, 0.95))
        }
    }

    /// Between the two nearest, in proportion.
    static func percentile(_ sorted: [Double], _ share: Double) -> Double {
        let place = share * Double(sorted.count - 1), low = Int(place)
        guard low + 1 < sorted.count else { return sorted[low] }
        return sorted[low] + (sorted[low + 1] - sorted[low]) * (place - Double(low))
    }

    // MARK: - Funnels

    struct Step {
        let fits: (RawRow) -> Bool
    }

    /// How many reached each step, and the medians since the first and the previous step: tries every way back from every event.
    func funnel(_ steps: [Step], _ from: Date, _ to: Date, window: TimeInterval, by subject: (RawRow) -> String?) -> [(
        reached: Int, start: Double?, previous: Double?
    )] {
        let late = rows(from, to.addingTimeInterval(window))
        var times = [[(start: Double, previous: Double)]](repeating: [], count: steps.count)
        for (_, own) in Dictionary(grouping: late.filter { subject($0) != nil }, by: { subject($0) ?? "" }) {
            let events = own.filter { row in steps.contains { $0.fits(row) } }.sorted { left, right in
                let (a, b) = (steps.firstIndex { $0.fits(left) } ?? 0, steps.firstIndex { $0.fits(right) } ?? 0)
                return (left.time, a, left.id.uuidString) < (right.time, b, right.id.uuidString)
            }
            for step in steps.indices {
                // The first event that completes the step, and from it always back to the nearest event of the step before.
                let arrivals = events.indices.compactMap { last -> (start: Double, previous: Double)? in
                    guard steps[step].fits(events[last]) else { return nil }
                    var place = last, times = [events[last].time]
                    for earlier in (0..<step).reversed() {
                        guard
                            let found = events[..<place].lastIndex(where: { steps[earlier].fits($0) && (earlier > 0 || $0.time < to) })
                        else { return nil }
                        place = found
                        times.append(events[found].time)
                    }
                    guard step > 0 || events[last].time < to, let first = times.last else { return nil }
                    let whole = times[0].timeIntervalSince(first)
                    guard whole <= window else { return nil }
                    return (whole, times.count > 1 ? times[0].timeIntervalSince(times[1]) : 0)
                }
                if let first = arrivals.first { times[step].append(first) }
            }
        }
        return times.enumerated().map { index, times in
            guard index > 0, !times.isEmpty else { return (times.count, nil, nil) }
            return (
                times.count, Self.percentile(times.map(\.start).sorted(), 0.5), Self.percentile(times.map(\.previous).sorted(), 0.5)
            )
        }
    }

    // MARK: - Visits

    struct Visit {
        let rows: [RawRow]
        var began: Date { rows[0].time }
        var ended: Date { rows.map { $0.time.addingTimeInterval(Double($0.duration ?? 0)) }.max() ?? began }
        var views: [RawRow] { rows.filter(\.isView) }
        var isBounce: Bool { rows.count == 1 && rows[0].isView }
    }

    /// Those that began in the period.
    func visits(_ from: Date, _ to: Date) -> [Visit] {
        let near = rows(from.addingTimeInterval(-86_400), to.addingTimeInterval(86_400))
            .sorted { ($0.time, $0.id.uuidString) < ($1.time, $1.id.uuidString) }
        var visits = Dictionary(grouping: near.filter { $0.session != nil }) { $0.session ?? "" }.values.map(Visit.init)
        for (_, own) in Dictionary(grouping: near.filter { $0.session == nil && $0.user != nil }, by: { $0.user ?? "" }) {
            var open: [RawRow] = []
            for row in own {
                if let last = open.last, row.time.timeIntervalSince(last.time) > 1_800 {
                    visits.append(Visit(rows: open))
                    open = []
                }
                open.append(row)
            }
            visits.append(Visit(rows: open))
        }
        return visits.filter { from <= $0.began && $0.began < to }
    }

    // MARK: - Cohorts

    /// When each person was first seen, over all rows.
    var firstSeen: [String: Date] {
        var first: [String: Date] = [:]
        for row in rows where !row.isBot {
            guard let user = row.user else { continue }
            first[user] = min(first[user] ?? row.time, row.time)
        }
        return first
    }
}

extension JSONValue {
    /// The same value; numbers may differ in the last digits, or by as much of them as is said.
    func isNearly(_ other: JSONValue, within error: Double = 1e-9) -> Bool {
        if let left = double, let right = other.double { return abs(left - right) <= error * max(1, abs(left), abs(right)) }
        return self == other
    }
}

/// Whether two answers have the same rows, in any order.
func sameRows(_ left: [[JSONValue]], _ right: [[JSONValue]], within error: Double = 1e-9) -> Bool {
    func sorted(_ rows: [[JSONValue]]) -> [[JSONValue]] {
        // By what is not a number first: those may differ a little.
        rows.sorted { one, other in
            func key(_ row: [JSONValue]) -> String {
                row.map { $0.string ?? ($0.double.map { String(format: "%.6f", $0) } ?? "\($0)") }.joined(separator: "|")
            }
            return key(one) < key(other)
        }
    }
    guard left.count == right.count else { return false }
    return zip(sorted(left), sorted(right)).allSatisfy { one, other in
        one.count == other.count && zip(one, other).allSatisfy { $0.isNearly($1, within: error) }
    }
}
