import Contracts
import Foundation
import Postgres

/// How far people came in a funnel, in one statement: one sort, and one linear pass for each step.
///
/// For each step, going through a person's events in their order, the latest beginning from which the step can be reached is carried
/// along: a later beginning leaves more of the window than an earlier one, so the latest is the only one that matters. This
/// is what column stores call `windowFunnel`, written with window functions.
struct FunnelStore {
    let tx: Transaction

    /// One count for each step.
    func counts(_ funnel: Funnel) throws -> [FunnelCount] {
        let figures = try tx.first(Self.query(funnel)) ?? []
        return funnel.steps.indices.map { index in
            FunnelCount(
                reached: figures[3 * index].int ?? 0,
                medianSecondsFromStart: index == 0 ? nil : figures[3 * index + 1].double,
                medianSecondsFromPrevious: index == 0 ? nil : figures[3 * index + 2].double)
        }
    }

    /// Whether a row fits the step; when the latest attempt that comes so far began; when it made the step before; who reached the step.
    private static let fits: [SQL] = ["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10"]
    private static let begins: [SQL] = ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10"]
    private static let previous: [SQL] = ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10"]
    private static let reached: [SQL] = ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10"]

    static func query(_ funnel: Funnel) -> Query<[JSONValue]> {
        var level: SQL =
            """
            SELECT *, CASE WHEN f1 AND at < \(funnel.period.to) THEN at END AS b1, NULL::timestamptz AS p1
            FROM (\(fragment: hits(funnel))) AS hits
            """
        for index in funnel.steps.indices.dropFirst() {
            let (fit, begin, before) = (fits[index], begins[index - 1], previous[index])
            level = """
                SELECT *,
                    CASE WHEN \(fragment: fit) AND at - max(\(fragment: begin)) OVER path <= make_interval(secs => \(Double(funnel.window)))
                        THEN max(\(fragment: begin)) OVER path END AS \(fragment: begins[index]),
                    CASE WHEN \(fragment: fit) THEN max(CASE WHEN \(fragment: begin) IS NOT NULL THEN at END) OVER path END
                        AS \(fragment: before)
                FROM (\(fragment: level)) AS \(fragment: reached[index])
                WINDOW path AS (PARTITION BY person ORDER BY at, first_fit, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                """
        }
        let people = funnel.steps.indices.map { index -> SQL in
            """
            min(ARRAY[extract(epoch FROM at), extract(epoch FROM at - \(fragment: begins[index])),
                extract(epoch FROM at - \(fragment: previous[index]))]::float8[])
                FILTER (WHERE \(fragment: begins[index]) IS NOT NULL) AS \(fragment: reached[index])
            """
        }
        let figures = funnel.steps.indices.map { index -> SQL in
            let name = reached[index]
            return """
                count(\(fragment: name)), percentile_cont(0.5) WITHIN GROUP (ORDER BY \(fragment: name)[2]),
                percentile_cont(0.5) WITHIN GROUP (ORDER BY \(fragment: name)[3])
                """
        }
        return Query(
            """
            SELECT jsonb_build_array(\(fragment: figures.joined(separator: ", "))) AS figures
            FROM (SELECT person, \(fragment: people.joined(separator: ", ")) FROM (\(fragment: level)) AS steps GROUP BY person) AS people
            """
        ) { row in
            let figures: JSONB<[JSONValue]> = try row("figures")
            return figures.value
        }
    }

    /// The rows that fit any step, of those who can be followed.
    private static func hits(_ funnel: Funnel) -> SQL {
        let end = funnel.period.to.addingTimeInterval(Double(funnel.window))
        let subject = Filter(field: .known(funnel.by == .user ? .userId : .sessionId), test: .exists(true))
        let lists = funnel.steps.map { $0.filters + [subject] }
        return OccurrenceSource.rows(from: funnel.period.from, to: end, whereAny: lists) { kind in
            let flags = zip(fits, lists).map { name, filters -> SQL in
                "coalesce(\(fragment: OccurrenceSource.all(filters, of: kind)), false) AS \(fragment: name)"
            }
            let cases = lists.enumerated().map { index, filters -> SQL in
                "WHEN \(fragment: OccurrenceSource.all(filters, of: kind)) THEN \(Int32(index))"
            }
            let person: SQL = funnel.by == .user ? "user_id" : "session_id"
            return """
                \(fragment: person) AS person, occurred_at AS at, id, CASE \(fragment: cases.joined(separator: " ")) END AS first_fit,
                \(fragment: flags.joined(separator: ", "))
                """
        }
    }
}
