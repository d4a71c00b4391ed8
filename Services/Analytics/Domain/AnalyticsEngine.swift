import Contracts
import Foundation

/// What answers questions about what was reported: `PostgresEngine`, or whatever else keeps the rows.
///
/// Each method is one question about the caller's organization alone. Bots are in no answer. What was reported before the question is in
/// it, unless so much came in that some of it still waits to be counted.
///
/// - **Exact**: counts, sums and averages always are, over the rows that are kept. Different people and visits may be estimates, with the
///   standard error `Estimate.distinct`; figures from a sample have errors of their own. The value that is returned says so.
/// - **Period**: where an answer has a period, it may be a little longer than the one asked for, because what was counted beforehand
///   has coarser edges. All that is returned is then about that period.
/// - **`keptFrom`**: from when on the rows are there that the answer, or the part of it that is named here, is made of. Nil when they are
///   there for all of the period.
/// - **Errors**: `AnswerFailure.tooExpensive` when it takes longer than an answer may, `AnswerFailure.tooMany` when too many others of the
///   organization wait, and `ValidationFailure` (`no-longer-kept`) for hours of a time of which only days are left.
///
/// Two things are read past it, because they are streams and no answers: the export, which hands over raw rows as fast as the client takes
/// them, and what happens just now, which `RealtimeHub` reads once for everybody who watches.
protocol AnalyticsEngine: Sendable {
    // MARK: - Over time

    /// What was reported, and how many facts of these kinds there were, in the period and in each of its buckets. People and visits are
    /// estimates where `activity` says so, everything else is exact.
    func overview(
        _ period: Period, facts kinds: [FactKind], as caller: Caller
    ) async throws -> (activity: Timeline<Activity>, facts: Timeline<FactSums>)

    /// The same, and how many people were first seen in each bucket, which is exact; buckets in which nobody was are not in `new`.
    func users(
        _ period: Period, facts kinds: [FactKind], as caller: Caller
    ) async throws -> (activity: Timeline<Activity>, facts: Timeline<FactSums>, new: [Date: Int])

    /// The same as `overview`, and publications by category, the most frequent first. They are exact, but for categories that a day had
    /// beyond the bound of its values (`RollupBound.rest`). `keptFrom` is about the categories.
    func content(
        _ period: Period, facts kinds: [FactKind], as caller: Caller
    ) async throws -> (activity: Timeline<Activity>, facts: Timeline<FactSums>, categories: [FactLabel], keptFrom: Date?)

    /// What the assistant did, its answers by model, and its ratings by what was given, the most frequent first. All exact. `keptFrom` is
    /// about what is not a number of conversations, answers or ratings.
    func assistant(
        _ period: Period, as caller: Caller
    ) async throws -> (figures: Timeline<AssistantFigures>, models: [FactLabel], ratings: [FactLabel], keptFrom: Date?)

    /// Key figures of a period and of the one before, which has no `rows` unless all of them are kept. People are estimates where the
    /// answers say so; so is then the number of visits, and nothing else is known of those. The rest is exact. `keptFrom` is about the
    /// `rows` of the period itself.
    func keyFigures(
        _ period: Period, before: Period, as caller: Caller
    ) async throws -> (now: KPIAnswer, before: KPIAnswer, keptFrom: Date?)

    // MARK: - Ranked

    /// The pages that were looked at most, or the hosts that most views came from: those after `position`, and one more than `limit`, so
    /// that it is known whether there are more. People and visits are estimates where the answer says so, everything else is exact.
    func ranking(
        _ subject: PageSubject, _ period: Period, after position: PageRanking.Position?, limit: Int, as caller: Caller
    ) async throws -> PageRanking

    // MARK: - Behaviour

    /// The visits that began in the period: all of them, and exact, or a sample whose `errors` say how far off it may be.
    func sessions(_ period: Period, as caller: Caller) async throws -> (sessions: SessionAnswer, keptFrom: Date?)

    /// A count for each step, exact.
    func funnel(_ funnel: Funnel, as caller: Caller) async throws -> (counts: [FunnelCount], keptFrom: Date?)

    /// The people of each cohort, exact, and those of them who came back: who have a row that meets the filters. These are all of them, or
    /// come from a sample whose `error` says how far off it may be. `keptFrom` is about who came back.
    func cohorts(
        _ table: CohortTable, where filters: [Filter], as caller: Caller
    ) async throws -> (answer: CohortTable.Answer, keptFrom: Date?)

    // MARK: - Experiments

    /// The flags that were evaluated in the period, those that most people saw first. Exact.
    func flags(_ period: Period, as caller: Caller) async throws -> (flags: [ExperimentFlag], keptFrom: Date?)

    /// For each variant of the flag, by name, the people who saw it and no other, and those of them who met the goal when they first saw it
    /// or at most `window` seconds later; `mixed` are the people who saw several. Exact.
    func experiment(
        _ period: Period, flag: String, goal: [Filter], window: Int, as caller: Caller
    ) async throws -> (variants: [VariantCount], mixed: Int, keptFrom: Date?)

    // MARK: - Tables

    /// A custom question, with one row more than its limit if there are more. People and visits are estimates where the answer says so,
    /// everything else is exact.
    func answer(_ question: Question, as caller: Caller) async throws -> QuestionAnswer

    /// A report as a table. It names the columns that are no exact figures, with their standard errors.
    func report(_ type: ReportType, _ period: Period, as caller: Caller) async throws -> Report
}
