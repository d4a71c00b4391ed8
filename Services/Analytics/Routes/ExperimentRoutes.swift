import Contracts
import Foundation
import ServiceKit

/// How the variants of flags did.
struct ExperimentRoutes {
    let engine: any AnalyticsEngine

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("experiments", "Flags that people saw, or one of them by its variants", may: "analytics:read", experiments)
        }
    }

    /// Without `flag` the flags that were reported; with `flag` and `goal` how many people of each variant reached the goal.
    func experiments(_ request: CallerRequest, _ query: ExperimentQuery) async throws -> ExperimentsView {
        let period = try Period(from: query.from?.date, to: query.to?.date, granularity: .month, now: request.now)
        let window = query.windowSeconds ?? Funnel.standardWindow
        var problems: [FieldError] = []
        if !Funnel.windows.contains(window) { problems.append(FunnelDraft.windowLength("?windowSeconds")) }
        if query.flag == nil, query.goal != nil { problems.append(Self.missing("?flag")) }
        if query.flag != nil, query.goal == nil { problems.append(Self.missing("?goal")) }
        guard problems.isEmpty else { throw ValidationFailure(problems) }
        guard let flag = query.flag?.rawValue, let goal = query.goal?.rawValue else {
            let (flags, keptFrom) = try await engine.flags(period, as: request.caller)
            return ExperimentsView(period, flags: flags, keptFrom: keptFrom)
        }
        let step = goal.hasPrefix("/") ? Funnel.Step(page: goal) : Funnel.Step(event: goal)
        let (variants, mixed, keptFrom) = try await engine.experiment(
            period, flag: flag, goal: step.filters, window: window, as: request.caller)
        let results = ExperimentStatistics.results(variants, control: query.control?.rawValue)
        return ExperimentsView(period, flag: flag, goal: goal, window: window, results, mixed: mixed, keptFrom: keptFrom)
    }

    private static func missing(_ pointer: String) -> FieldError {
        FieldError(pointer: pointer, code: "missing", detail: "is required, because flag and goal belong together")
    }
}

struct ExperimentQuery: Decodable, Sendable {
    let flag: EventName?
    /// What is hoped for: the name of an event, or the path of a page.
    let goal: EventName?
    /// The variant that the others are compared with; without it the first by name.
    let control: EventName?
    /// Seconds after somebody first saw the variant in which reaching the goal counts; a week when nothing is said.
    let windowSeconds: Int?
    let from: Moment?
    let to: Moment?
}

struct ExperimentsView: View {
    struct Flag: Codable, Sendable {
        let flag: String
        let variants: [String]
        let exposed: Int
    }

    struct Variant: Codable, Sendable {
        let variant: String
        /// People who saw this variant and no other.
        let exposed: Int
        let converted: Int
        let rate: Double
        /// The 95 % confidence interval of the rate (Wilson).
        let rateFrom: Double
        let rateTo: Double
        /// Left out for the control.
        let comparison: Comparison?
    }

    struct Comparison: Codable, Sendable {
        /// The rate less the control's, with its 95 % confidence interval (Newcombe).
        let difference: Double
        let differenceFrom: Double
        let differenceTo: Double
        let lift: Double?
        /// Of a two-sided test of two proportions, corrected for the number of variants (Holm).
        let pValue: Double?
        /// Whether the p-value is below 0.05.
        let significant: Bool
    }

    let from: Date
    let to: Date
    /// The flags that were reported in the period; left out when one was asked for.
    let flags: [Flag]?
    let flag: String?
    let goal: String?
    let windowSeconds: Int?
    let variants: [Variant]?
    /// People who saw more than one variant; they are in none.
    let mixed: Int?
    /// What was before is no longer kept, and in no figure; left out when all of the period is there.
    let keptFrom: Date?

    init(_ period: Period, flags: [ExperimentFlag], keptFrom: Date?) {
        self.keptFrom = keptFrom
        from = period.from
        to = period.to
        self.flags = flags.map { Flag(flag: $0.key, variants: $0.variants, exposed: $0.exposed) }
        flag = nil
        goal = nil
        windowSeconds = nil
        variants = nil
        mixed = nil
    }

    init(_ period: Period, flag: String, goal: String, window: Int, _ results: [VariantResult], mixed: Int, keptFrom: Date?) {
        self.keptFrom = keptFrom
        from = period.from
        to = period.to
        flags = nil
        self.flag = flag
        self.goal = goal
        windowSeconds = window
        self.mixed = mixed
        variants = results.map { result in
            Variant(
                variant: result.count.variant, exposed: result.count.exposed, converted: result.count.converted, rate: result.rate,
                rateFrom: result.interval.lowerBound, rateTo: result.interval.upperBound,
                comparison: result.comparison.map {
                    Comparison(
                        difference: $0.difference, differenceFrom: $0.interval.lowerBound, differenceTo: $0.interval.upperBound,
                        lift: $0.lift, pValue: $0.pValue, significant: $0.isSignificant)
                })
        }
    }
}
