import Contracts
import Foundation
import ServiceKit

/// What people do one after the other, and whether they come back.
struct BehaviourRoutes {
    let engine: any AnalyticsEngine

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("funnels", "How far people come in a funnel of events and pages", may: "analytics:read", funnel)
            Endpoint.post("funnels", "A funnel whose steps have conditions", may: "analytics:read", funnelWithConditions)
            Endpoint.get("cohorts", "Who came back, by when they were first seen", may: "analytics:read", cohorts)
            Endpoint.get("sessions", "Visits: number, length, bounces, entry and exit pages", may: "analytics:read", sessions)
        }
    }

    // MARK: - Funnels

    func funnel(_ request: CallerRequest, _ query: FunnelQuery) async throws -> FunnelView {
        try await answer(request, try query.funnel(now: request.now))
    }

    func funnelWithConditions(_ request: CallerRequest, _ draft: FunnelDraft) async throws -> FunnelView {
        try await answer(request, try draft.funnel(now: request.now))
    }

    private func answer(_ request: CallerRequest, _ funnel: Funnel) async throws -> FunnelView {
        let (counts, keptFrom) = try await engine.funnel(funnel, as: request.caller)
        return FunnelView(funnel, counts, keptFrom: keptFrom)
    }

    // MARK: - Cohorts

    func cohorts(_ request: CallerRequest, _ query: CohortQuery) async throws -> CohortsView {
        let table = try CohortTable(
            from: query.from?.date, to: query.to?.date, granularity: query.granularity ?? .week,
            periods: query.periods ?? CohortTable.standardPeriods, now: request.now)
        let filters = query.event.map { Funnel.Step(event: $0.rawValue).filters } ?? []
        let (answer, keptFrom) = try await engine.cohorts(table, where: filters, as: request.caller)
        return CohortsView(table, answer, keptFrom: keptFrom)
    }

    // MARK: - Sessions

    func sessions(_ request: CallerRequest, _ query: OverviewQuery) async throws -> SessionsView {
        let period = try query.period(now: request.now)
        let (sessions, keptFrom) = try await engine.sessions(period, as: request.caller)
        return SessionsView(period, sessions, keptFrom: keptFrom)
    }
}

/// `?steps=/pricing,signup.completed,order.completed`: names of events, or paths of pages where they begin with a slash.
struct FunnelQuery: Decodable, Sendable {
    let steps: [EventName]
    let from: Moment?
    let to: Moment?
    let windowSeconds: Int?
    let by: FunnelSubject?

    func funnel(now: Date) throws -> Funnel {
        var problems: [FieldError] = []
        if !Funnel.steps.contains(steps.count) { problems.append(FunnelDraft.stepCount("?steps")) }
        let window = windowSeconds ?? Funnel.standardWindow
        if !Funnel.windows.contains(window) { problems.append(FunnelDraft.windowLength("?windowSeconds")) }
        guard problems.isEmpty else { throw ValidationFailure(problems) }
        let period = try Period(from: from?.date, to: to?.date, granularity: .month, now: now)
        let steps = steps.map(\.rawValue).map { $0.hasPrefix("/") ? Funnel.Step(page: $0) : Funnel.Step(event: $0) }
        return Funnel(period: period, steps: steps, window: window, by: by ?? .user)
    }
}

/// How far people came. Shares are between 0 and 1; those of the first step are 1, or 0 when nobody began.
struct FunnelView: View {
    struct Step: Codable, Sendable {
        let name: String
        let reached: Int
        let shareOfFirst: Double
        let shareOfPrevious: Double
        /// People of the step before who went no further.
        let droppedOff: Int
        let medianSecondsFromStart: Double?
        let medianSecondsFromPrevious: Double?
    }

    let from: Date
    let to: Date
    let by: FunnelSubject
    let windowSeconds: Int
    /// The share of those who began that came to the end.
    let conversion: Double
    let steps: [Step]
    /// What was before is no longer kept, and in no figure; left out when all of the period is there.
    let keptFrom: Date?

    init(_ funnel: Funnel, _ counts: [FunnelCount], keptFrom: Date?) {
        self.keptFrom = keptFrom
        from = funnel.period.from
        to = funnel.period.to
        by = funnel.by
        windowSeconds = funnel.window
        func share(_ part: Int, _ whole: Int) -> Double { whole == 0 ? 0 : Double(part) / Double(whole) }
        let first = counts.first?.reached ?? 0
        conversion = share(counts.last?.reached ?? 0, first)
        steps = zip(funnel.steps, counts).enumerated().map { index, pair in
            let (step, count) = pair
            let before = index == 0 ? count.reached : counts[index - 1].reached
            return Step(
                name: step.name, reached: count.reached, shareOfFirst: share(count.reached, first),
                shareOfPrevious: share(count.reached, before), droppedOff: before - count.reached,
                medianSecondsFromStart: count.medianSecondsFromStart, medianSecondsFromPrevious: count.medianSecondsFromPrevious)
        }
    }
}

struct CohortQuery: Decodable, Sendable {
    let from: Moment?
    let to: Moment?
    /// `day`, `week` or `month`.
    let granularity: Granularity?
    /// Buckets for which each cohort is followed.
    let periods: Int?
    /// What coming back means: this event; without it anything.
    let event: EventName?
}

struct CohortsView: View {
    struct Cohort: Codable, Sendable {
        let start: Date
        let people: Int
        /// People of the cohort who were there in its own bucket, in the one after it, and so on; as many as have begun.
        let returning: [Int]
        /// The same as shares of `people`.
        let shares: [Double]
    }

    let from: Date
    let to: Date
    let granularity: Granularity
    let cohorts: [Cohort]
    /// `returning` and `shares` when they are of some of the people only; else left out.
    let approximate: [String: Double]?
    /// Who came back before is no longer known, and not in `returning` and `shares`; left out when all of the period is there.
    let keptFrom: Date?

    init(_ table: CohortTable, _ answer: CohortTable.Answer, keptFrom: Date?) {
        self.keptFrom = keptFrom
        from = table.period.from
        to = table.period.to
        granularity = table.period.granularity
        approximate = answer.error.map { ["returning": $0, "shares": $0] }
        cohorts = answer.cohorts.map { cohort in
            Cohort(
                start: cohort.start, people: cohort.people, returning: cohort.returning,
                shares: cohort.returning.map { cohort.people == 0 ? 0 : Double($0) / Double(cohort.people) })
        }
    }
}

/// Visits of a period, whole and by buckets, and the pages where most of them began and ended.
struct SessionsView: View {
    let from: Date
    let to: Date
    let granularity: Granularity
    let totals: SessionFigures
    let series: [Dated<SessionFigures>]
    let entryPages: [SessionPage]
    let exitPages: [SessionPage]
    /// The standard errors of the totals, as shares of them, when there were so many visits that only some were looked at; else left out.
    let approximate: [String: Double]?
    /// What was before is no longer kept, and in no figure; left out when all of the period is there.
    let keptFrom: Date?

    init(_ period: Period, _ answer: SessionAnswer, keptFrom: Date?) {
        self.keptFrom = keptFrom
        from = period.from
        to = period.to
        granularity = period.granularity
        totals = answer.totals
        series = period.buckets.map { Dated($0, answer.buckets[$0] ?? SessionFigures()) }
        entryPages = answer.entryPages
        exitPages = answer.exitPages
        approximate = answer.errors
    }
}
