import Contracts
import Foundation
import Postgres

/// Answers from the rows and roll-ups in PostgreSQL, each question in one transaction.
struct PostgresEngine: AnalyticsEngine {
    let answers: Answers

    // MARK: - Over time

    func overview(
        _ period: Period, facts kinds: [FactKind], as caller: Caller
    ) async throws -> (activity: Timeline<Activity>, facts: Timeline<FactSums>) {
        try await answers.readFolded(as: caller) { tx, exactness in try Self.counted(period, kinds, tx, exactness) }
    }

    func users(
        _ period: Period, facts kinds: [FactKind], as caller: Caller
    ) async throws -> (activity: Timeline<Activity>, facts: Timeline<FactSums>, new: [Date: Int]) {
        try await answers.readFolded(as: caller) { tx, exactness in
            let (activity, facts) = try Self.counted(period, kinds, tx, exactness)
            return (activity, facts, try CohortStore(tx: tx).sizes(activity.period))
        }
    }

    func content(
        _ period: Period, facts kinds: [FactKind], as caller: Caller
    ) async throws -> (activity: Timeline<Activity>, facts: Timeline<FactSums>, categories: [FactLabel], keptFrom: Date?) {
        try await answers.readFolded(as: caller) { tx, exactness in
            let (activity, facts) = try Self.counted(period, kinds, tx, exactness)
            let categories = try FactFigureStore(tx: tx, kept: exactness.kept).labels(activity.period, .publication)
            return (activity, facts, categories, exactness.kept.valuesFrom(activity.period))
        }
    }

    /// The facts are of the time that the activity turned out to be about.
    private static func counted(
        _ period: Period, _ kinds: [FactKind], _ tx: Transaction, _ exactness: Exactness
    ) throws -> (activity: Timeline<Activity>, facts: Timeline<FactSums>) {
        let activity = try ActivityStore(tx: tx, exactness: exactness).activity(period)
        return (activity, try FactFigureStore(tx: tx, kept: exactness.kept).counts(activity.period, kinds))
    }

    func assistant(
        _ period: Period, as caller: Caller
    ) async throws -> (figures: Timeline<AssistantFigures>, models: [FactLabel], ratings: [FactLabel], keptFrom: Date?) {
        try await answers.readFolded(as: caller) { tx, exactness in
            let store = FactFigureStore(tx: tx, kept: exactness.kept)
            let figures = try store.assistant(period)
            let models = try store.labels(figures.period, .answer), ratings = try store.labels(figures.period, .rating)
            return (figures, models, ratings, exactness.kept.rowsFrom(period))
        }
    }

    func keyFigures(
        _ period: Period, before: Period, as caller: Caller
    ) async throws -> (now: KPIAnswer, before: KPIAnswer, keptFrom: Date?) {
        try await answers.readFolded(as: caller) { tx, exactness in
            let store = KPIStore(tx: tx, exactness: exactness)
            let now = try store.answer(period, whole: false), previous = try store.answer(before, whole: true)
            return (now, previous, exactness.kept.rowsFrom(period))
        }
    }

    // MARK: - Ranked

    func ranking(
        _ subject: PageSubject, _ period: Period, after position: PageRanking.Position?, limit: Int, as caller: Caller
    ) async throws -> PageRanking {
        try await answers.readFolded(as: caller) { tx, exactness in
            try PageStore(tx: tx, exactness: exactness).ranking(subject, period, after: position, limit: limit)
        }
    }

    // MARK: - Behaviour

    func sessions(_ period: Period, as caller: Caller) async throws -> (sessions: SessionAnswer, keptFrom: Date?) {
        try await answers.readFolded(as: caller) { tx, exactness in
            let sessions = try SessionStore(tx: tx).sessions(period, sampling: exactness.sampling(period, tx))
            return (sessions, exactness.kept.rowsFrom(period))
        }
    }

    func funnel(_ funnel: Funnel, as caller: Caller) async throws -> (counts: [FunnelCount], keptFrom: Date?) {
        try await answers.read(as: caller) { tx, exactness in
            (try FunnelStore(tx: tx).counts(funnel), exactness.kept.rowsFrom(funnel.period))
        }
    }

    func cohorts(
        _ table: CohortTable, where filters: [Filter], as caller: Caller
    ) async throws -> (answer: CohortTable.Answer, keptFrom: Date?) {
        try await answers.readFolded(as: caller) { tx, exactness in
            (try CohortStore(tx: tx).answer(table, where: filters, exactness), exactness.kept.rowsFrom(table.period))
        }
    }

    // MARK: - Experiments

    func flags(_ period: Period, as caller: Caller) async throws -> (flags: [ExperimentFlag], keptFrom: Date?) {
        try await answers.read(as: caller) { tx, exactness in
            (try ExperimentStore(tx: tx).flags(period), exactness.kept.rowsFrom(period))
        }
    }

    func experiment(
        _ period: Period, flag: String, goal: [Filter], window: Int, as caller: Caller
    ) async throws -> (variants: [VariantCount], mixed: Int, keptFrom: Date?) {
        try await answers.read(as: caller) { tx, exactness in
            let (variants, mixed) = try ExperimentStore(tx: tx).counts(period, flag: flag, goal: goal, window: window)
            return (variants, mixed, exactness.kept.rowsFrom(period))
        }
    }

    // MARK: - Tables

    /// From the roll-ups where they know enough, else from the raw rows. Counts are exact in both.
    func answer(_ question: Question, as caller: Caller) async throws -> QuestionAnswer {
        try await answers.readFolded(as: caller) { tx, exactness in
            try QuestionReader(tx: tx, exactness: exactness).answer(question)
        }
    }

    func report(_ type: ReportType, _ period: Period, as caller: Caller) async throws -> Report {
        try await answers.readFolded(as: caller) { tx, exactness in
            try ReportStore(tx: tx, exactness: exactness).report(type, period)
        }
    }
}
