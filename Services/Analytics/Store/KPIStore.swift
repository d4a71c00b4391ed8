import Contracts
import Foundation
import Postgres

/// Reads what the key figures of a period are calculated from.
struct KPIStore {
    let tx: Transaction
    let exactness: Exactness

    func figures(_ period: Period) throws -> (figures: KPIFigures, isEstimated: Bool) {
        let activity = try ActivityStore(tx: tx, exactness: exactness).activity(period)
        let facts = FactFigureStore(tx: tx)
        // Visits of so many rows are not put together one by one: their number is estimated, and their lengths are not known.
        let sessions =
            activity.isEstimated
            ? SessionFigures(sessions: activity.totals.sessions) : try SessionStore(tx: tx).sessions(period).totals
        let figures = KPIFigures(
            activity: activity.totals, newUsers: try CohortStore(tx: tx).sizes(period).values.reduce(0, +),
            dailyUsers: period.buckets.map { activity.buckets[$0]?.uniqueUsers ?? 0 },
            sessions: sessions, facts: try facts.counts(period, KPIFigures.kinds).totals,
            assistant: try facts.assistant(period).totals,
            revenue: try BusinessStore(tx: tx).revenue(period).filter { $0.bucket == nil }.map(\.figures))
        return (figures, activity.isEstimated)
    }
}
