import Foundation

/// How long raw rows are kept, by the organization's plan. Roll-ups, which name nobody, stay.
struct Retention: Sendable, Equatable {
    /// Days that can be asked for: a day to a hundred years.
    static let days = 1...36_500
    /// Thirteen months and more let a month be compared with that of the year before.
    static let standard = "starter=395,professional=760,business=1095,enterprise=2555,*=395"

    /// Nothing is removed within a century: for a start that is refused anyway.
    static let untouched = Retention(byPlan: [:], others: days.upperBound)

    private let byPlan: [String: Int]
    private let others: Int

    private init(byPlan: [String: Int], others: Int) {
        self.byPlan = byPlan
        self.others = others
    }

    /// `starter=90,enterprise=1825,*=395`: days by plan, and `*` for every other. Nil when it is not written so.
    init?(_ text: String) {
        var byPlan: [String: Int] = [:]
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
            guard pair.count == 2, !pair[0].isEmpty, let days = Int(pair[1]), Self.days.contains(days), byPlan[pair[0]] == nil else {
                return nil
            }
            byPlan[pair[0]] = days
        }
        guard let others = byPlan.removeValue(forKey: "*") else { return nil }
        self.byPlan = byPlan
        self.others = others
    }

    /// Rows of before are removed.
    func limit(plan: String?, now: Date) -> Date {
        now.addingTimeInterval(-Double(plan.flatMap { byPlan[$0] } ?? others) * 86_400)
    }

    /// Before this no plan keeps anything, so whole partitions go.
    func lastLimit(now: Date) -> Date {
        now.addingTimeInterval(-Double(max(others, byPlan.values.max() ?? 0)) * 86_400)
    }
}
