import Contracts
import Foundation
import Postgres

/// Reads what the key figures of a period are calculated from.
struct KPIStore {
    let tx: Transaction
    let exactness: Exactness

    /// Of a period whose rows are not all there, what only they tell is of those that are left, or not told at all if it is to be `whole`.
    func answer(_ asked: Period, whole: Bool) throws -> KPIAnswer {
        let activity = try ActivityStore(tx: tx, exactness: exactness).activity(asked)
        let period = activity.period
        let figures = KPIFigures(
            activity: activity.totals, newUsers: try CohortStore(tx: tx).sizes(period).values.reduce(0, +),
            dailyUsers: period.buckets.map { activity.buckets[$0]?.uniqueUsers ?? 0 },
            facts: try FactFigureStore(tx: tx, kept: exactness.kept).counts(period, KPIFigures.kinds).totals,
            rows: whole && !exactness.kept.hasRows(asked) ? nil : try rows(asked, activity))
        return KPIAnswer(period: period, figures: figures, isEstimated: activity.isEstimated)
    }

    private func rows(_ period: Period, _ activity: Timeline<Activity>) throws -> KPIFigures.Rows {
        KPIFigures.Rows(
            // Visits of so many rows are not put together one by one: their number is estimated, and their lengths are not known.
            sessions: activity.isEstimated
                ? SessionFigures(sessions: activity.totals.sessions) : try SessionStore(tx: tx).sessions(period).totals,
            assistant: try FactFigureStore(tx: tx, kept: exactness.kept).assistant(period).totals,
            revenue: try BusinessStore(tx: tx).revenue(period).filter { $0.bucket == nil }.map(\.figures))
    }
}
