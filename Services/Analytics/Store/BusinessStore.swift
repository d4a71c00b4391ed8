import Contracts
import Foundation
import Postgres

/// Sales, and what is used.
struct BusinessStore {
    let tx: Transaction

    // MARK: - Revenue

    struct RevenueRow: Sendable {
        /// Nil for the whole period.
        let bucket: Date?
        let figures: RevenueFigures
    }

    /// By bucket and currency, and by currency for the whole period.
    func revenue(_ period: Period) throws -> [RevenueRow] {
        let amount = OccurrenceSource.number(try Self.property(Revenue.amountProperty), of: .event)
        let currency: SQL = "event_properties ->> \(Revenue.currencyProperty)::text"
        let names = Filter(field: .known(.eventName), test: .equal([.text(Revenue.orderEvent), .text(Revenue.refundEvent)]))
        let source = OccurrenceSource.rows([.event], from: period.from, to: period.to, where: [names]) { _ in
            """
            date_trunc(\(period.granularity.rawValue)::text, occurred_at, 'UTC') AS bucket, event_name = \(Revenue.orderEvent) AS is_order,
            \(fragment: amount) AS amount, upper(\(fragment: currency)) AS currency, user_id
            """
        }
        return try tx.query(
            Query(
                """
                SELECT bucket, currency, count(*) FILTER (WHERE is_order) AS orders, count(*) FILTER (WHERE NOT is_order) AS refunds,
                    sum(CASE WHEN is_order THEN amount ELSE -amount END)::bigint AS amount,
                    count(DISTINCT user_id) FILTER (WHERE is_order) AS customers
                FROM (\(fragment: source)) AS sales
                WHERE currency ~ '^[A-Z]{3}$' AND amount = trunc(amount) AND amount BETWEEN 0 AND \(Self.largestAmount)
                GROUP BY GROUPING SETS ((bucket, currency), (currency))
                ORDER BY bucket NULLS FIRST, count(*) DESC, currency COLLATE "C"
                """
            ) { row in
                RevenueRow(
                    bucket: try row("bucket"),
                    figures: RevenueFigures(
                        currency: try row("currency"), orders: try row("orders"), refunds: try row("refunds"), amount: try row("amount"),
                        customers: try row("customers")))
            })
    }

    /// A larger sale is a mistake: a billion of units with two decimals.
    private static let largestAmount = 100_000_000_000

    private static func property(_ name: String) throws -> Field { .property(try PropertyPath(name)) }

    // MARK: - Features

    /// What people did, the most used first, and how many different people did anything at all.
    struct Features: Sendable {
        let features: [FeatureUse]
        let people: Int
        var isEstimated = false
    }

    /// Of a period that is `fitted` to what is kept.
    func features(_ period: Period, _ exactness: Exactness) throws -> Features {
        guard let span = RollupSpan(from: period.from, to: period.to, byHour: false, now: tx.now), span.covers(period),
            !exactness.kept.prefersRows(period), try !exactness.allowsRaw(period, tx)
        else { return try countedFeatures(period) }
        return try rolledFeatures(span)
    }

    func countedFeatures(_ period: Period) throws -> Features {
        let reported = OccurrenceSource.rows(from: period.from, to: period.to) { kind in
            kind == .event ? "'event' AS source, event_name::text AS feature, user_id" : "NULL, NULL, user_id"
        }
        let rows = try tx.query(
            Query(
                """
                WITH uses AS MATERIALIZED (
                    \(fragment: reported)
                    UNION ALL
                    SELECT 'platform', kind, user_id FROM facts
                    WHERE kind = ANY(\(FeatureUse.platform)) AND occurred_at >= \(period.from) AND occurred_at < \(period.to)
                )
                SELECT NULL AS source, NULL AS feature, 0 AS uses, count(DISTINCT user_id) AS users FROM uses
                UNION ALL (
                    SELECT source, feature, count(*), count(DISTINCT user_id) FROM uses WHERE feature IS NOT NULL
                    GROUP BY source, feature
                    ORDER BY count(DISTINCT user_id) DESC, count(*) DESC, feature COLLATE "C", source LIMIT \(FeatureUse.maximum)
                )
                """
            ) { row in
                FeatureRow(source: try row("source"), feature: try row("feature"), uses: try row("uses"), users: try row("users"))
            })
        let features = rows.compactMap { row -> FeatureUse? in
            guard let source = row.source, let feature = row.feature else { return nil }
            return FeatureUse(source: source, feature: feature, uses: row.uses, users: row.users)
        }
        return Features(features: features, people: rows.first { $0.source == nil }?.users ?? 0)
    }

    private struct FeatureRow: Sendable {
        let source: String?
        let feature: String?
        let uses: Int
        let users: Int
    }

    /// The same from roll-ups: uses are counted, people estimated.
    func rolledFeatures(_ span: RollupSpan) throws -> Features {
        let everything = RollupSource.rows(
            span, .everything, columns: "NULL AS source, NULL AS feature, 0::bigint AS uses, users", where: "users IS NOT NULL")
        let events = RollupSource.rows(
            span, .eventName, columns: "'event' AS source, value AS feature, events AS uses, users", where: "events > 0")
        let facts = FactFigureStore.rolled(
            span, FeatureUse.platform, columns: "'platform' AS source, kind AS feature, facts AS uses, users", where: "label = '*'")
        let rows = try tx.query(
            Query([everything, events, facts].joined(separator: " UNION ALL ")) { row in
                RolledFeature(
                    source: try row("source"), feature: try row("feature"), uses: try row("uses"),
                    users: try RollupSource.sketch(row("users")))
            })
        var people = Sketch(), uses: [[String]: (uses: Int, users: Sketch)] = [:]
        for row in rows {
            people.merge(row.users)
            guard let source = row.source, let feature = row.feature else { continue }
            uses[[source, feature], default: (0, Sketch())].uses += row.uses
            uses[[source, feature], default: (0, Sketch())].users.merge(row.users)
        }
        let features = uses.map { FeatureUse(source: $0.key[0], feature: $0.key[1], uses: $0.value.uses, users: $0.value.users.estimate) }
        let ranked = features.sorted { ($1.users, $1.uses, $0.feature, $0.source) < ($0.users, $0.uses, $1.feature, $1.source) }
        return Features(features: Array(ranked.prefix(FeatureUse.maximum)), people: people.estimate, isEstimated: true)
    }

    private struct RolledFeature: Sendable {
        let source: String?
        let feature: String?
        let uses: Int
        let users: Sketch
    }
}
