import Contracts
import Foundation
import Postgres

/// What was reported of flags and their variants.
struct ExperimentStore {
    let tx: Transaction

    /// Flags of one answer.
    static let maximumFlags = 100
    /// Variants of one flag: more are a mistake in what is reported.
    static let maximumVariants = 50

    func flags(_ period: Period) throws -> [ExperimentFlag] {
        try tx.query(
            Query(
                """
                SELECT flag, array_agg(DISTINCT variant COLLATE "C") AS variants, count(DISTINCT user_id) AS exposed
                FROM (\(fragment: exposures(period, flag: nil))) AS exposures
                GROUP BY flag ORDER BY count(DISTINCT user_id) DESC, flag COLLATE "C" LIMIT \(Self.maximumFlags)
                """
            ) { row in
                let variants: [String] = try row("variants")
                return ExperimentFlag(
                    key: try row("flag"), variants: Array(variants.prefix(Self.maximumVariants)), exposed: try row("exposed"))
            })
    }

    /// For each variant the people who saw it and no other, and those of them who did what `goal` says at the moment they first saw it or
    /// at most `window` seconds later. People who saw several variants are counted apart.
    func counts(_ period: Period, flag: String, goal: [Filter], window: Int) throws -> (variants: [VariantCount], mixed: Int) {
        let end = period.to.addingTimeInterval(Double(window))
        let goals = OccurrenceSource.rows(from: period.from, to: end, where: goal) { _ in "user_id, occurred_at" }
        let rows = try tx.query(
            Query(
                """
                WITH people AS MATERIALIZED (
                    SELECT user_id, min(variant COLLATE "C") AS variant, count(DISTINCT variant) AS variants, min(occurred_at) AS first_at
                    FROM (\(fragment: exposures(period, flag: flag))) AS exposures GROUP BY user_id
                ), converted AS (
                    SELECT DISTINCT people.user_id FROM people JOIN (\(fragment: goals)) AS goals ON goals.user_id = people.user_id
                        AND goals.occurred_at >= people.first_at
                        AND goals.occurred_at <= people.first_at + make_interval(secs => \(Double(window)))
                )
                SELECT CASE WHEN variants = 1 THEN variant END AS variant, count(*) AS exposed, count(converted.user_id) AS converted
                FROM people LEFT JOIN converted USING (user_id)
                GROUP BY 1 ORDER BY 1 NULLS LAST LIMIT \(Self.maximumVariants + 1)
                """
            ) { row in
                Row(variant: try row("variant"), exposed: try row("exposed"), converted: try row("converted"))
            })
        let variants = rows.compactMap { row in
            row.variant.map { VariantCount(variant: $0, exposed: row.exposed, converted: row.converted) }
        }
        return (variants, rows.first { $0.variant == nil }?.exposed ?? 0)
    }

    private struct Row: Sendable {
        let variant: String?
        let exposed: Int
        let converted: Int
    }

    /// Evaluations of known people that say which variant it was.
    private func exposures(_ period: Period, flag: String?) -> SQL {
        let key = "event_properties ->> \(Exposure.keyProperty)::text" as SQL
        let variant = "event_properties ->> \(Exposure.variantProperty)::text" as SQL
        var sql: SQL =
            """
            SELECT user_id, occurred_at, \(fragment: key) AS flag, \(fragment: variant) AS variant FROM analytics_events
            WHERE event_name = \(Exposure.eventName) AND occurred_at >= \(period.from) AND occurred_at < \(period.to)
                AND NOT is_bot AND user_id IS NOT NULL AND \(fragment: key) IS NOT NULL AND \(fragment: variant) IS NOT NULL
            """
        if let flag { sql += " AND \(fragment: key) = \(flag)" }
        return sql
    }
}
