import Contracts
import Foundation
import Postgres

/// People by when they were first seen, and whether they came back.
struct CohortStore {
    let tx: Transaction

    /// People of a sample, about.
    static let maximumSample = 5_000

    /// The whole table; of so many rows that it would take too long, from some of the people.
    func answer(_ table: CohortTable, where filters: [Filter], _ exactness: Exactness) throws -> CohortTable.Answer {
        let sizes = try sizes(table.period)
        let whole = try Period(from: table.period.from, to: table.end, granularity: .month, now: tx.now)
        var sampling = try exactness.sampling(whole, tx)
        guard sampling > 1 else {
            let returning = try returning(table.period, until: table.end, where: filters)
            return CohortTable.Answer(cohorts: table.cohorts(sizes: sizes, returning: returning), error: nil)
        }
        sampling = max(sampling, sizes.values.reduce(0, +) / Self.maximumSample)
        let sample = try sample(table.period, sampling: sampling)
        let returning = try returning(table.period, until: table.end, where: filters, of: sample)
        return table.answer(sizes: sizes, sampled: returning, of: sample.count, sampling: sampling)
    }

    /// How many people there are in each cohort.
    func sizes(_ period: Period) throws -> [Date: Int] {
        let rows = try tx.query(
            Query(
                """
                SELECT date_trunc(\(period.granularity.rawValue)::text, first_seen_at, 'UTC') AS cohort, count(*) AS people
                FROM people WHERE first_seen_at >= \(period.from) AND first_seen_at < \(period.to) GROUP BY 1
                """
            ) { row in
                Count(cohort: try row("cohort"), bucket: nil, people: try row("people"))
            })
        return Dictionary(rows.map { ($0.cohort, $0.people) }, uniquingKeysWith: +)
    }

    /// Of the people of all cohorts those whose hash chooses them, one in `sampling`.
    func sample(_ period: Period, sampling: Int) throws -> [UUID] {
        try tx.query(
            Query(
                """
                SELECT user_id FROM people WHERE first_seen_at >= \(period.from) AND first_seen_at < \(period.to)
                    AND (hashtextextended(user_id::text, 0) & 9223372036854775807) % \(sampling) = 0
                """, column: "user_id"))
    }

    /// How many of each cohort did something (what the conditions say) in each bucket of time before `end`. With a sample it is about
    /// those people alone, whose rows are found one by one.
    func returning(
        _ period: Period, until end: Date, where filters: [Filter], of sample: [UUID]? = nil
    ) throws -> [(cohort: Date, bucket: Date, people: Int)] {
        let unit = period.granularity.rawValue
        let known = Filter(field: .known(.userId), test: sample.map { .equal($0.map(FilterValue.uuid)) } ?? .exists(true))
        // Each person once in each bucket before they are joined: a person has many rows.
        let active = OccurrenceSource.rows(from: period.from, to: end, where: filters + [known]) { _ in
            "user_id, date_trunc(\(unit)::text, occurred_at, 'UTC') AS bucket"
        }
        let rows = try tx.query(
            Query(
                """
                SELECT date_trunc(\(unit)::text, people.first_seen_at, 'UTC') AS cohort, bucket, count(*) AS people
                FROM (SELECT user_id, bucket FROM (\(fragment: active)) AS rows GROUP BY user_id, bucket) AS active
                JOIN people ON people.user_id = active.user_id
                WHERE people.first_seen_at >= \(period.from) AND people.first_seen_at < \(period.to)
                GROUP BY 1, 2
                """
            ) { row in
                Count(cohort: try row("cohort"), bucket: try row("bucket"), people: try row("people"))
            })
        return rows.compactMap { row in row.bucket.map { (row.cohort, $0, row.people) } }
    }

    private struct Count: Sendable {
        let cohort: Date
        let bucket: Date?
        let people: Int
    }
}
