import Contracts
import Foundation
import Postgres

/// What happened on the platform, over time.
struct FactFigureStore {
    let tx: Transaction
    let kept: Kept

    /// How many facts of these kinds in each bucket. Counts add up, so roll-ups give them exactly; a period that does not begin and end
    /// with full hours is counted from the facts themselves, or, where those are no longer kept, moved outwards.
    func counts(_ asked: Period, _ kinds: [FactKind]) throws -> Timeline<FactSums> {
        let period = try kept.fitted(asked, now: tx.now)
        let source =
            if let span = period.rollups(now: tx.now), span.covers(period) {
                Self.rolled(span, kinds, columns: "bucket, kind, facts, amount", where: "label = '*'")
            } else {
                Self.raw(period, kinds, columns: "occurred_at AS bucket, kind, 1 AS facts, coalesce(amount, 0) AS amount")
            }
        let rows = try tx.query(
            Query(
                """
                SELECT date_trunc(\(period.granularity.rawValue)::text, bucket, 'UTC') AS bucket, kind, sum(facts)::bigint AS facts,
                    sum(amount)::bigint AS amount
                FROM (\(fragment: source)) AS facts GROUP BY 1, 2
                """
            ) { row in
                Row(bucket: try row("bucket"), kind: try row("kind"), count: FactSum(facts: try row("facts"), amount: try row("amount")))
            })
        var timeline = Timeline(period: period, totals: FactSums(), buckets: [:])
        for row in rows {
            timeline.totals.add(row.kind, row.count)
            timeline.buckets[row.bucket, default: FactSums()].add(row.kind, row.count)
        }
        return timeline
    }

    private struct Row: Sendable {
        let bucket: Date
        let kind: FactKind
        let count: FactSum
    }

    /// Labels of one answer.
    static let maximumLabels = 100

    /// The labels of one kind, the most frequent first, of what `Kept.valuesFrom` says.
    func labels(_ asked: Period, _ kind: FactKind) throws -> [FactLabel] {
        let period = try kept.fitted(asked, now: tx.now)
        let source =
            if let span = period.rollups(now: tx.now), span.covers(period), !kept.prefersRows(period) {
                Self.rolled(span, [kind], columns: "label, facts, amount", where: "label <> '*'")
            } else {
                Self.raw(period, [kind], columns: "coalesce(label, '') AS label, 1 AS facts, coalesce(amount, 0) AS amount")
            }
        return try tx.query(
            Query(
                """
                SELECT nullif(label, '') AS label, sum(facts)::bigint AS facts, sum(amount)::bigint AS amount
                FROM (\(fragment: source)) AS facts GROUP BY 1
                ORDER BY sum(facts) DESC, nullif(label, '') COLLATE "C" NULLS LAST LIMIT \(Self.maximumLabels)
                """
            ) { row in
                FactLabel(label: try row("label"), facts: try row("facts"), amount: try row("amount"))
            })
    }

    // MARK: - The assistant

    /// What answers cost and how they were liked: from the facts themselves, which say more than the roll-ups keep. Where those of the period
    /// are not all there, the roll-ups say how many there were, and the rest is of what is left.
    func assistant(_ asked: Period) throws -> Timeline<AssistantFigures> {
        guard !kept.hasRows(asked) else { return try rawAssistant(asked) }
        let counts = try counts(asked, [.conversation, .answer, .rating])
        var timeline = try rawAssistant(counts.period)
        timeline.totals.count(counts.totals)
        for (bucket, sums) in counts.buckets { timeline.buckets[bucket, default: AssistantFigures()].count(sums) }
        return timeline
    }

    private func rawAssistant(_ period: Period) throws -> Timeline<AssistantFigures> {
        let source = Self.raw(
            period, [.conversation, .answer, .rating],
            columns: """
                date_trunc(\(period.granularity.rawValue)::text, occurred_at, 'UTC') AS bucket, kind, user_id, amount,
                (details ->> 'promptTokens')::bigint AS prompt, (details ->> 'completionTokens')::bigint AS completion,
                (details ->> 'citations')::bigint AS citations, (details ->> 'milliseconds')::bigint AS milliseconds
                """)
        let rows = try tx.query(
            Query(
                """
                SELECT bucket, count(*) FILTER (WHERE kind = 'conversation') AS conversations, count(*) FILTER (WHERE kind = 'answer') AS answers,
                    count(DISTINCT user_id) FILTER (WHERE kind = 'answer') AS users,
                    coalesce(sum(prompt), 0)::bigint AS prompt, coalesce(sum(completion), 0)::bigint AS completion,
                    coalesce(sum(citations), 0)::bigint AS citations, avg(milliseconds)::float8 AS average,
                    percentile_cont(0.95) WITHIN GROUP (ORDER BY milliseconds::float8) AS slow,
                    count(*) FILTER (WHERE kind = 'rating') AS ratings, avg(amount) FILTER (WHERE kind = 'rating')::float8 AS rating,
                    count(*) FILTER (WHERE kind = 'rating' AND amount >= \(AssistantFigures.satisfied)) AS satisfied
                FROM (\(fragment: source)) AS facts
                GROUP BY GROUPING SETS ((bucket), ())
                """
            ) { row in
                let satisfied: Int = try row("satisfied"), ratings: Int = try row("ratings")
                return (
                    bucket: try row("bucket") as Date?,
                    value: AssistantFigures(
                        conversations: try row("conversations"), answers: try row("answers"), users: try row("users"),
                        promptTokens: try row("prompt"), completionTokens: try row("completion"), citations: try row("citations"),
                        averageMilliseconds: try row("average"), p95Milliseconds: try row("slow"), ratings: ratings,
                        averageRating: try row("rating"), satisfaction: ratings == 0 ? nil : Double(satisfied) / Double(ratings))
                )
            })
        return .of(period, rows, none: AssistantFigures())
    }

    // MARK: - Where they stand

    static func rolled(_ span: RollupSpan, _ kinds: [FactKind], columns: SQL, where condition: SQL) -> SQL {
        func part(_ unit: SQL, _ range: Range<Date>) -> SQL {
            """
            SELECT \(fragment: columns) FROM fact_rollups WHERE unit = \(fragment: unit) AND kind = ANY(\(kinds))
                AND bucket >= \(range.lowerBound) AND bucket < \(range.upperBound) AND \(fragment: condition)
            """
        }
        var parts: [SQL] = []
        if !span.head.isEmpty { parts.append(part("'hour'", span.head)) }
        if !span.days.isEmpty { parts.append(part("'day'", span.days)) }
        if !span.tail.isEmpty { parts.append(part("'hour'", span.tail)) }
        return parts.joined(separator: " UNION ALL ")
    }

    private static func raw(_ period: Period, _ kinds: [FactKind], columns: SQL) -> SQL {
        """
        SELECT \(fragment: columns) FROM facts
        WHERE kind = ANY(\(kinds)) AND occurred_at >= \(period.from) AND occurred_at < \(period.to)
        """
    }
}

extension AssistantFigures {
    fileprivate mutating func count(_ facts: FactSums) {
        conversations = facts.count(.conversation)
        answers = facts.count(.answer)
        ratings = facts.count(.rating)
    }
}
