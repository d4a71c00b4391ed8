import Contracts
import Foundation

/// A custom question that the roll-ups can answer: without calculations, by one dimension at most, with conditions on that dimension alone.
///
/// Counts are the same as those of the raw rows. People and visits are estimates, so those are asked of the roll-ups
/// only where the rows are too many.
struct RolledQuestion: Sendable {
    let question: Question
    let span: RollupSpan
    let dimension: RollupDimension

    /// Whether people or visits are to be counted, which the roll-ups estimate.
    var isEstimated: Bool { question.measures.contains(.uniqueUsers) || question.measures.contains(.sessions) }

    /// Whether it is about values of its dimension by name, which those that were put together cannot tell.
    var namesValues: Bool {
        question.filters.contains { filter in
            switch filter.test {
            case .equal, .notEqual: true
            default: false
            }
        }
    }

    /// Nil when the roll-ups do not know enough.
    init?(_ question: Question, now: Date) {
        guard let span = RollupSpan(from: question.period.from, to: question.period.to, byHour: question.granularity == .hour, now: now),
            span.covers(question.period), question.measures.allSatisfy({ $0.field == nil })
        else { return nil }
        let fields = Set(question.dimensions + question.filters.map(\.field))
        guard fields.count <= 1 else { return nil }
        let dimension: RollupDimension
        if let field = fields.first {
            guard let known = Self.dimension(field), question.filters.allSatisfy(Self.isShort) else { return nil }
            dimension = known
        } else {
            dimension = .everything
        }
        if dimension == .eventName || dimension == .eventCategory {
            // Page views have neither, and are not in these roll-ups: they may not be in the answer either.
            let hasOnlyEvents = question.measures == [.events] || question.filters.contains(where: Self.isPositive)
            guard hasOnlyEvents else { return nil }
        }
        self.question = question
        self.span = span
        self.dimension = dimension
    }

    private static func dimension(_ field: Field) -> RollupDimension? {
        switch field {
        case .known(.eventName): .eventName
        case .known(.eventCategory): .eventCategory
        case .known(.path): .page
        case .known(.referrerHost): .referrer
        case .known(.country): .country
        case .known(.deviceType): .device
        case .known(.browser): .browser
        case .known(.os): .os
        default: nil
        }
    }

    /// Roll-ups keep the beginning of a long value, which is enough for its equal only if that is short.
    private static func isShort(_ filter: Filter) -> Bool {
        func fits(_ value: FilterValue) -> Bool {
            if case .text(let text) = value { return text.unicodeScalars.count < ActivityKey.valueLength }
            return false
        }
        switch filter.test {
        case .equal(let values), .notEqual(let values): return values.allSatisfy(fits)
        case .exists: return true
        case .compare, .contains, .startsWith: return false
        }
    }

    /// Whether only rows that have the field meet it.
    private static func isPositive(_ filter: Filter) -> Bool {
        switch filter.test {
        case .equal, .exists(true): true
        default: false
        }
    }

    // MARK: - The answer

    /// One group with all that can be measured of it.
    struct Group: Sendable {
        let bucket: Date?
        let value: String?
        let activity: Activity
    }

    /// The rows of the answer, in its order and one more than its limit at most.
    func rows(_ groups: [Group]) -> [[JSONValue]] {
        let rows = groups.map { group -> [JSONValue] in
            (group.bucket.map { [.time($0)] } ?? []) + (question.dimensions.isEmpty ? [] : [.text(group.value)])
                + question.measures.map { measure in
                    switch measure {
                    case .events: .integer(group.activity.events)
                    case .pageViews: .integer(group.activity.pageViews)
                    case .uniqueUsers: .integer(group.activity.uniqueUsers)
                    case .sessions: .integer(group.activity.sessions)
                    case .calculated: .null
                    }
                }
        }
        return Array(rows.sorted(by: precedes).prefix(question.limit + 1))
    }

    private func precedes(_ left: [JSONValue], _ right: [JSONValue]) -> Bool {
        for order in question.sort {
            let (one, other) = (left[order.column], right[order.column])
            if one == other { continue }
            // What is not there comes last, whichever way.
            if one.isNull || other.isNull { return other.isNull }
            if let one = one.int, let other = other.int { return order.descending ? one > other : one < other }
            let (a, b) = ((one.string ?? "").unicodeScalars, (other.string ?? "").unicodeScalars)
            return order.descending ? b.lexicographicallyPrecedes(a) : a.lexicographicallyPrecedes(b)
        }
        return false
    }
}
