import Contracts
import Foundation
import Postgres

/// Answers custom questions from whichever rows are fit for them.
struct QuestionReader {
    let tx: Transaction
    let exactness: Exactness

    func answer(_ asked: Question) throws -> QuestionAnswer {
        let kept = exactness.kept
        if let rolled = RolledQuestion(fitted(asked), now: tx.now), try suffices(rolled),
            let rows = try RolledQuestionStore(tx: tx).rows(rolled)
        {
            let keptFrom = rolled.dimension == .everything ? nil : kept.valuesFrom(rolled.question.period)
            return QuestionAnswer(question: rolled.question, rows: rows, isEstimated: rolled.isEstimated, keptFrom: keptFrom)
        }
        return QuestionAnswer(
            question: asked, rows: try QuestionStore(tx: tx).rows(asked), isEstimated: false, keptFrom: kept.rowsFrom(asked.period))
    }

    /// Where rows are missing, of the whole roll-ups that make up the period, if there are any so fine.
    private func fitted(_ asked: Question) -> Question {
        let period = asked.period, isByHour = asked.granularity == .hour
        guard !exactness.kept.hasRows(period), let span = RollupSpan(from: period.from, to: period.to, byHour: isByHour, now: tx.now),
            let widened = try? span.widened(period, now: tx.now)
        else { return asked }
        return asked.about(widened)
    }

    /// Estimates are for where the rows are too many. So is the rest of a day with more values than roll-ups count by themselves; and a
    /// filter that names a value cannot be answered from it at all, as long as there are rows to be asked.
    private func suffices(_ rolled: RolledQuestion) throws -> Bool {
        let period = rolled.question.period
        if rolled.isEstimated, try exactness.allowsRaw(period, tx) { return false }
        guard rolled.dimension != .everything else { return true }
        if exactness.kept.prefersRows(period) { return false }
        guard try RolledQuestionStore(tx: tx).hasRest(rolled) else { return true }
        return try rolled.namesValues ? !exactness.kept.hasRows(period) : !exactness.allowsRaw(period, tx)
    }
}

/// Answers custom questions from roll-ups.
struct RolledQuestionStore {
    let tx: Transaction

    /// Rows of roll-ups that are put together for one answer; an answer of more is left to the raw rows.
    static let maximumRows = 100_000

    /// Whether values were put together on a day of it.
    func hasRest(_ rolled: RolledQuestion) throws -> Bool {
        let rest = RollupSource.rows(rolled.span, rolled.dimension, columns: "1", where: "value = \(RollupBound.rest)")
        return try tx.first(Query("SELECT EXISTS (\(fragment: rest)) AS has_rest", column: "has_rest")) ?? false
    }

    /// Nil when there would be too many.
    func rows(_ rolled: RolledQuestion) throws -> [[JSONValue]]? {
        let question = rolled.question
        let wantsEvents = rolled.isEstimated || question.measures.contains(.events)
        let wantsViews = rolled.isEstimated || question.measures.contains(.pageViews)
        var conditions = question.filters.map(Self.condition)
        conditions.append(
            wantsEvents && wantsViews ? "events + page_views > 0" : wantsEvents ? "events > 0" : "page_views > 0")
        let bucket: SQL =
            if let granularity = question.granularity {
                "date_trunc(\(granularity.rawValue)::text, bucket, 'UTC')"
            } else {
                "NULL::timestamptz"
            }
        let value: SQL = question.dimensions.isEmpty ? "NULL::text" : "nullif(value, '')"
        let sketches: SQL = rolled.isEstimated ? "users, sessions" : "NULL::bytea AS users, NULL::bytea AS sessions"
        let source = RollupSource.rows(
            rolled.span, rolled.dimension, columns: "bucket, value, events, page_views, \(fragment: sketches)",
            where: conditions.joined(separator: " AND "))
        // Sketches are merged here; counts are added up there.
        let sql: SQL =
            if rolled.isEstimated {
                """
                SELECT \(fragment: bucket) AS start, \(fragment: value) AS name, events, page_views, users, sessions
                FROM (\(fragment: source)) AS rows LIMIT \(Self.maximumRows + 1)
                """
            } else {
                """
                SELECT \(fragment: bucket) AS start, \(fragment: value) AS name, sum(events)::bigint AS events,
                    sum(page_views)::bigint AS page_views, NULL::bytea AS users, NULL::bytea AS sessions
                FROM (\(fragment: source)) AS rows GROUP BY 1, 2 LIMIT \(Self.maximumRows + 1)
                """
            }
        let parts = try tx.query(
            Query(sql) { row in
                Part(
                    key: Key(bucket: try row("start"), value: try row("name")),
                    activity: RolledActivity(
                        events: try row("events"), pageViews: try row("page_views"), users: try RollupSource.sketch(row("users")),
                        sessions: try RollupSource.sketch(row("sessions"))))
            })
        guard parts.count <= Self.maximumRows else { return nil }
        var groups: [Key: RolledActivity] = [:]
        // Without any grouping there is a row, whatever there is to count.
        if question.granularity == nil, question.dimensions.isEmpty { groups[Key(bucket: nil, value: nil)] = RolledActivity() }
        for part in parts { groups[part.key, default: RolledActivity()].add(part.activity) }
        return rolled.rows(groups.map { .init(bucket: $0.key.bucket, value: $0.key.value, activity: $0.value.activity) })
    }

    private struct Key: Hashable, Sendable {
        let bucket: Date?
        let value: String?
    }

    private struct Part: Sendable {
        let key: Key
        let activity: RolledActivity
    }

    /// Conditions on the dimension's value; '' stands for none.
    private static func condition(_ filter: Filter) -> SQL {
        func texts(_ values: [FilterValue]) -> [String] { values.compactMap { if case .text(let text) = $0 { text } else { nil } } }
        switch filter.test {
        case .equal(let values): return "value <> '' AND value = ANY(\(texts(values)))"
        case .notEqual(let values): return "(value = '' OR value <> ALL(\(texts(values))))"
        case .exists(true): return "value <> ''"
        case .exists(false): return "value = ''"
        case .compare, .contains, .startsWith: return "false"
        }
    }
}
