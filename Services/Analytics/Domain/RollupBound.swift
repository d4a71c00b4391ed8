import Contracts
import Foundation

/// How many different values of one dimension are counted by themselves on one day of one organization.
///
/// Names, paths and hosts are what senders make up, and a page's key is public by design: each new one would be rows that are kept for
/// years. Those beyond the bound are counted together, as `rest`. The whole ('' and '*') is counted apart, so no total depends on it.
struct RollupBound: Sendable, Equatable {
    static let standardValues = 2_000
    static let standard = RollupBound(values: standardValues)
    /// The value that stands for all those beyond the bound. Who sends this very value is counted with them.
    static let rest = "…"

    let values: Int

    /// The values that go to the rest: of those that are new on their day, the most frequent ones take the places that are left.
    ///
    /// - Parameters:
    ///   - fresh: values that are not counted by themselves yet, and how often each is there.
    ///   - taken: how many are, on each day of each dimension; none where nothing is said.
    func beyond(_ fresh: [DayValue: Int], taken: [DayDimension: Int]) -> Set<DayValue> {
        var beyond: Set<DayValue> = []
        for (place, values) in Dictionary(grouping: fresh, by: \.key.place) {
            let free = max(0, self.values - taken[place, default: 0])
            guard values.count > free else { continue }
            let ranked = values.sorted { ($1.value, $0.key.value) < ($0.value, $1.key.value) }
            beyond.formUnion(ranked.dropFirst(free).map(\.key))
        }
        return beyond
    }

    /// The same counts, with those of these values put together as the rest of their bucket.
    static func together<Key: RollupKey>(_ counts: [Key: Key.Count], _ beyond: Set<DayValue>) -> [Key: Key.Count] {
        var result: [Key: Key.Count] = [:]
        for (key, count) in counts {
            let isBeyond = key.dayValue.map(beyond.contains) ?? false
            result[isBeyond ? key.rest : key, default: Key.Count()].add(count)
        }
        return result
    }
}

/// Where values are counted against the bound: a dimension of activity, or a kind of facts, on a day.
struct DayDimension: Hashable, Sendable {
    let dimension: String
    let day: Date
}

struct DayValue: Hashable, Sendable {
    let place: DayDimension
    let value: String
}

/// What a row of the roll-ups is known by.
protocol RollupKey: Hashable, Sendable {
    associatedtype Count: RollupCount

    var unit: RollupUnit { get }
    /// Nil for what the bound does not touch: everything together, what has no value, and the rest itself.
    var dayValue: DayValue? { get }
    /// The row of the same bucket in which the rest is counted.
    var rest: Self { get }
}

/// What a row of the roll-ups counts.
protocol RollupCount: Sendable {
    init()
    /// By what values are ranked for the places that are left.
    var weight: Int { get }
    mutating func add(_ other: Self)
}

extension ActivityKey: RollupKey {
    typealias Count = ActivityCount

    var dayValue: DayValue? {
        guard dimension != .everything, !value.isEmpty, value != RollupBound.rest else { return nil }
        return DayValue(place: DayDimension(dimension: dimension.rawValue, day: RollupUnit.day.bucket(bucket)), value: value)
    }

    var rest: ActivityKey { ActivityKey(unit: unit, dimension: dimension, bucket: bucket, value: RollupBound.rest) }
}

extension FactKey: RollupKey {
    typealias Count = FactCount

    var dayValue: DayValue? {
        guard label != Self.everyLabel, !label.isEmpty, label != RollupBound.rest else { return nil }
        return DayValue(place: DayDimension(dimension: "fact \(kind.rawValue)", day: RollupUnit.day.bucket(bucket)), value: label)
    }

    var rest: FactKey { FactKey(unit: unit, kind: kind, bucket: bucket, label: RollupBound.rest) }
}

extension ActivityCount: RollupCount {
    var weight: Int { events + pageViews }
}

extension FactCount: RollupCount {
    var weight: Int { facts }
}
