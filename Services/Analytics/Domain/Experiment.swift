import Contracts
import Foundation

/// How the variants of a flag did, from what was reported of its evaluations.
///
/// An exposure is an event in the form that OpenFeature's telemetry hooks give to an evaluation (OpenTelemetry's semantic conventions
/// for feature flags): named `feature_flag.evaluation`, with the properties `feature_flag.key` and `feature_flag.result.variant`.
enum Exposure {
    static let eventName = "feature_flag.evaluation"
    static let keyProperty = "feature_flag.key"
    static let variantProperty = "feature_flag.result.variant"
    /// Characters of a flag's name.
    static let maximumKeyLength = 255
}

/// A flag that was evaluated in the period: how many people in how many variants.
struct ExperimentFlag: Sendable, Equatable {
    let key: String
    let variants: [String]
    let exposed: Int
}

/// People who saw one variant only, and how many of them did afterwards what was hoped for.
struct VariantCount: Sendable, Equatable {
    let variant: String
    let exposed: Int
    let converted: Int
}

/// One variant, compared with the control.
struct VariantResult: Sendable, Equatable {
    let count: VariantCount
    let rate: Double
    /// Where the true rate lies with 95 % confidence (Wilson's score interval, which holds for small numbers and rates near 0 and 1 too).
    let interval: ClosedRange<Double>
    /// Nil for the control itself.
    let comparison: VariantComparison?
}

struct VariantComparison: Sendable, Equatable {
    /// The rate less that of the control, in absolute terms, with its 95 % confidence interval (Newcombe's method 10).
    let difference: Double
    let interval: ClosedRange<Double>
    /// The difference as a share of the control's rate; nil where that is 0.
    let lift: Double?
    /// How often chance alone makes a difference at least as large (two-sided test of two proportions, pooled),
    /// corrected for the number of variants that are compared (Holm). Nil where there is nothing to test.
    let pValue: Double?

    /// Below it a difference is called significant.
    static let level = 0.05
    var isSignificant: Bool { pValue.map { $0 < Self.level } ?? false }
}

enum ExperimentStatistics {
    /// The 97.5 % quantile of the normal distribution.
    static let z = 1.959963984540054

    /// The results in the order of the counts. The control is the variant of that name, else the first.
    static func results(_ counts: [VariantCount], control name: String?) -> [VariantResult] {
        guard let control = counts.first(where: { $0.variant == name }) ?? counts.first else { return [] }
        let others = counts.filter { $0 != control }
        let corrected = holm(others.map { pValue($0, control) })
        let pValues = Dictionary(uniqueKeysWithValues: zip(others.map(\.variant), corrected))
        return counts.map { count in
            VariantResult(
                count: count, rate: rate(count), interval: wilson(count.converted, of: count.exposed),
                comparison: count == control ? nil : comparison(count, control, pValues[count.variant] ?? nil))
        }
    }

    static func rate(_ count: VariantCount) -> Double {
        count.exposed == 0 ? 0 : Double(count.converted) / Double(count.exposed)
    }

    private static func comparison(_ count: VariantCount, _ control: VariantCount, _ pValue: Double?) -> VariantComparison {
        let (own, base) = (rate(count), rate(control))
        let (left, right) = (wilson(count.converted, of: count.exposed), wilson(control.converted, of: control.exposed))
        let difference = own - base
        let down = ((own - left.lowerBound) * (own - left.lowerBound) + (right.upperBound - base) * (right.upperBound - base)).squareRoot()
        let up = ((left.upperBound - own) * (left.upperBound - own) + (base - right.lowerBound) * (base - right.lowerBound)).squareRoot()
        return VariantComparison(
            difference: difference, interval: max(-1, difference - down)...min(1, difference + up),
            lift: base == 0 ? nil : difference / base, pValue: pValue)
    }

    /// Wilson (1927): of nothing, anything may be true.
    static func wilson(_ successes: Int, of total: Int) -> ClosedRange<Double> {
        guard total > 0 else { return 0...1 }
        let (n, p) = (Double(total), Double(successes) / Double(total))
        let square = z * z
        let centre = (p + square / (2 * n)) / (1 + square / n)
        let half = z / (1 + square / n) * (p * (1 - p) / n + square / (4 * n * n)).squareRoot()
        // At the ends the two are equal but for rounding.
        let low = successes == 0 ? 0 : max(0, centre - half)
        let high = successes == total ? 1 : min(1, centre + half)
        return low...high
    }

    /// Two-sided; nil where one of the groups is empty, or nobody or everybody of both converted.
    static func pValue(_ left: VariantCount, _ right: VariantCount) -> Double? {
        guard left.exposed > 0, right.exposed > 0 else { return nil }
        let (a, b) = (Double(left.exposed), Double(right.exposed))
        let pooled = Double(left.converted + right.converted) / (a + b)
        let variance = pooled * (1 - pooled) * (1 / a + 1 / b)
        guard variance > 0 else { return nil }
        return erfc(abs(rate(left) - rate(right)) / variance.squareRoot() / 2.0.squareRoot())
    }

    /// Holm (1979): the smallest is held against the level divided by the number of tests, the next by one less, and so on;
    /// written as corrected p-values.
    static func holm(_ values: [Double?]) -> [Double?] {
        let ranked = values.indices.filter { values[$0] != nil }.sorted { (values[$0] ?? 1) < (values[$1] ?? 1) }
        var corrected = values
        var largest = 0.0
        for (rank, index) in ranked.enumerated() {
            largest = max(largest, min(1, (values[index] ?? 1) * Double(ranked.count - rank)))
            corrected[index] = largest
        }
        return corrected
    }
}
