import Contracts
import Foundation
import Postgres

/// Puts reports together from the stores that answer their parts.
struct ReportStore {
    let tx: Transaction
    let exactness: Exactness

    func report(_ type: ReportType, _ period: Period) throws -> Report {
        switch type {
        case .activity, .users, .content: try series(type, period)
        case .assistant, .satisfaction: try assistant(type, period)
        case .sessions: try sessions(period)
        case .revenue: try revenue(period)
        case .pages, .referrers: try ranking(type, period)
        // Page views have no name and no category: their people would be a row without one.
        case .events:
            try ranked(
                type, period, by: .known(.eventName), [.events, .uniqueUsers, .sessions],
                where: Filter(field: .known(.eventName), test: .exists(true)))
        case .categories:
            try ranked(
                type, period, by: .known(.eventCategory), [.events, .uniqueUsers, .sessions],
                where: Filter(field: .known(.kind), test: .equal([.text("event")])))
        case .countries: try ranked(type, period, by: .known(.country), [.pageViews, .events, .uniqueUsers, .sessions])
        case .devices: try devices(period)
        case .features: try features(period)
        case .retention: try retention(period)
        }
    }

    // MARK: - Over time

    private func series(_ type: ReportType, _ period: Period) throws -> Report {
        let activity = try ActivityStore(tx: tx, exactness: exactness).activity(period)
        let period = activity.period
        let store = FactFigureStore(tx: tx, kept: exactness.kept)
        switch type {
        case .users:
            let facts = try store.counts(period, UserFigures.kinds), new = try CohortStore(tx: tx).sizes(period)
            let columns = [
                "start", "activeUsers", "newUsers", "returningUsers", "sessions", "registrations", "signIns", "failedSignIns",
                "verifiedEmails",
                "invitations", "membersAdded", "membersRemoved",
            ]
            let rows = period.buckets.map { start -> [JSONValue] in
                let f = UserFigures(activity.buckets[start] ?? Activity(), new: new[start] ?? 0, facts.buckets[start] ?? FactSums())
                return [
                    .time(start), .integer(f.activeUsers), .integer(f.newUsers), .integer(f.returningUsers), .integer(f.sessions),
                    .integer(f.registrations), .integer(f.signIns), .integer(f.failedSignIns), .integer(f.verifiedEmails),
                    .integer(f.invitations), .integer(f.membersAdded), .integer(f.membersRemoved),
                ]
            }
            return Report(
                type, period, Table(columns: columns, rows: rows),
                approximate: Estimate.of(["activeUsers", "returningUsers", "sessions"], when: activity.isEstimated))
        case .content:
            let facts = try store.counts(period, ContentFigures.kinds)
            let columns = ["start", "drafts", "publications", "unpublications", "deletions", "uploads", "uploadedBytes", "pageViews"]
            let rows = period.buckets.map { start -> [JSONValue] in
                let f = ContentFigures(activity.buckets[start] ?? Activity(), facts.buckets[start] ?? FactSums())
                return [
                    .time(start), .integer(f.drafts), .integer(f.publications), .integer(f.unpublications), .integer(f.deletions),
                    .integer(f.uploads), .integer(f.uploadedBytes), .integer(f.pageViews),
                ]
            }
            return Report(type, period, Table(columns: columns, rows: rows))
        default:
            let facts = try store.counts(period, OverviewFigures.kinds)
            let columns = [
                "start", "events", "pageViews", "uniqueUsers", "sessions", "registrations", "signIns", "publications", "uploads", "answers",
                "ratings", "notifications",
            ]
            let rows = period.buckets.map { start -> [JSONValue] in
                let f = OverviewFigures(activity.buckets[start] ?? Activity(), facts.buckets[start] ?? FactSums())
                return [
                    .time(start), .integer(f.events), .integer(f.pageViews), .integer(f.uniqueUsers), .integer(f.sessions),
                    .integer(f.registrations), .integer(f.signIns), .integer(f.publications), .integer(f.uploads), .integer(f.answers),
                    .integer(f.ratings), .integer(f.notifications),
                ]
            }
            return Report(
                type, period, Table(columns: columns, rows: rows),
                approximate: Estimate.of(["uniqueUsers", "sessions"], when: activity.isEstimated))
        }
    }

    private func assistant(_ type: ReportType, _ period: Period) throws -> Report {
        let figures = try FactFigureStore(tx: tx, kept: exactness.kept).assistant(period)
        let keptFrom = exactness.kept.rowsFrom(period), period = figures.period
        if type == .satisfaction {
            let rows = period.buckets.map { start -> [JSONValue] in
                let f = figures.buckets[start] ?? AssistantFigures()
                return [.time(start), .integer(f.ratings), .figure(f.averageRating), .figure(f.satisfaction)]
            }
            return Report(
                type, period, Table(columns: ["start", "ratings", "averageRating", "satisfaction"], rows: rows), keptFrom: keptFrom)
        }
        let columns = [
            "start", "conversations", "answers", "users", "promptTokens", "completionTokens", "citations", "averageMilliseconds",
            "p95Milliseconds", "ratings", "averageRating", "satisfaction",
        ]
        let rows = period.buckets.map { start -> [JSONValue] in
            let f = figures.buckets[start] ?? AssistantFigures(), isGone = isGone(start, period)
            func ofRows(_ count: Int) -> JSONValue { isGone ? .null : .integer(count) }
            return [
                .time(start), .integer(f.conversations), .integer(f.answers), ofRows(f.users), ofRows(f.promptTokens),
                ofRows(f.completionTokens), ofRows(f.citations), .figure(f.averageMilliseconds), .figure(f.p95Milliseconds),
                .integer(f.ratings), .figure(f.averageRating), .figure(f.satisfaction),
            ]
        }
        return Report(type, period, Table(columns: columns, rows: rows), keptFrom: keptFrom)
    }

    /// Whether no row of the bucket is kept.
    private func isGone(_ bucket: Date, _ period: Period) -> Bool {
        BucketCalendar.next(after: bucket, period.granularity) <= exactness.kept.rows
    }

    private func sessions(_ period: Period) throws -> Report {
        let answer = try SessionStore(tx: tx).sessions(period, sampling: exactness.sampling(period, tx))
        let rows = period.buckets.filter { !isGone($0, period) }.map { start -> [JSONValue] in
            let f = answer.buckets[start] ?? SessionFigures()
            return [
                .time(start), .integer(f.sessions), .integer(f.bounces), .figure(f.bounceRate), .figure(f.averageSeconds),
                .figure(f.medianSeconds), .figure(f.pageViewsPerSession), .figure(f.eventsPerSession),
            ]
        }
        let columns = [
            "start", "sessions", "bounces", "bounceRate", "averageSeconds", "medianSeconds", "pageViewsPerSession", "eventsPerSession",
        ]
        return Report(
            .sessions, period, Table(columns: columns, rows: rows), approximate: answer.errors, keptFrom: exactness.kept.rowsFrom(period))
    }

    private func revenue(_ period: Period) throws -> Report {
        let rows = try BusinessStore(tx: tx).revenue(period).compactMap { row -> [JSONValue]? in
            let f = row.figures
            return row.bucket.map {
                [.time($0), .string(f.currency), .integer(f.orders), .integer(f.refunds), .integer(f.amount), .integer(f.customers)]
            }
        }
        return Report(
            .revenue, period, Table(columns: ["start", "currency", "orders", "refunds", "amount", "customers"], rows: rows),
            keptFrom: exactness.kept.rowsFrom(period))
    }

    // MARK: - Ranked

    private func ranking(_ type: ReportType, _ period: Period) throws -> Report {
        let subject: PageSubject = type == .pages ? .path : .referrer
        let ranking = try PageStore(tx: tx, exactness: exactness).ranking(
            subject, period.unbucketed(now: tx.now), after: nil, limit: ReportType.ranked)
        let rows = ranking.rows.prefix(ReportType.ranked).map { page -> [JSONValue] in
            [
                .text(page.name.isEmpty && subject == .referrer ? nil : page.name), .integer(page.views),
                page.uniqueUsers.map(JSONValue.integer) ?? .null, page.sessions.map(JSONValue.integer) ?? .null,
                .figure(page.averageSeconds), .integer(page.bounces),
            ]
        }
        let columns = [subject == .path ? "path" : "host", "views", "uniqueUsers", "sessions", "averageSeconds", "bounces"]
        return Report(
            type, ranking.period, Table(columns: columns, rows: Array(rows)),
            approximate: Estimate.of(["uniqueUsers", "sessions"], when: ranking.isEstimated), keptFrom: ranking.keptFrom)
    }

    private func ranked(
        _ type: ReportType, _ period: Period, by fields: Field..., measures: [Measure], where filters: [Filter] = []
    ) throws -> Report {
        let question = Question(
            period: period, granularity: nil, measures: measures, dimensions: fields, filters: filters,
            sort: [.init(column: fields.count, descending: true)] + fields.indices.map { .init(column: $0, descending: false) },
            limit: ReportType.ranked)
        let answer = try QuestionReader(tx: tx, exactness: exactness).answer(question)
        return Report(
            type, answer.question.period, Table(columns: question.columns, rows: Array(answer.rows.prefix(ReportType.ranked))),
            approximate: Estimate.of(["uniqueUsers", "sessions"], when: answer.isEstimated), keptFrom: answer.keptFrom)
    }

    private func ranked(
        _ type: ReportType, _ period: Period, by field: Field, _ measures: [Measure], where filters: Filter...
    ) throws -> Report {
        try ranked(type, period, by: field, measures: measures, where: filters)
    }

    private func devices(_ period: Period) throws -> Report {
        try ranked(
            .devices, period, by: .known(.deviceType), .known(.browser), .known(.os),
            measures: [.pageViews, .events, .uniqueUsers, .sessions])
    }

    private func features(_ asked: Period) throws -> Report {
        let period = try exactness.kept.fitted(asked.unbucketed(now: tx.now), now: tx.now)
        let answer = try BusinessStore(tx: tx).features(period, exactness)
        let rows = answer.features.map { feature -> [JSONValue] in
            [
                .string(feature.source), .string(feature.feature), .integer(feature.uses), .integer(feature.users),
                .figure(answer.people == 0 ? nil : Double(feature.users) / Double(answer.people)),
            ]
        }
        return Report(
            .features, period, Table(columns: ["source", "feature", "uses", "users", "adoption"], rows: rows),
            approximate: Estimate.of(["users", "adoption"], when: answer.isEstimated), keptFrom: exactness.kept.valuesFrom(period))
    }

    /// A row for each cohort and each bucket in which its people may have come back.
    private func retention(_ period: Period) throws -> Report {
        let granularity = period.granularity == .hour ? Granularity.day : period.granularity
        let table = try CohortTable(
            from: period.from, to: period.to, granularity: granularity, periods: CohortTable.standardPeriods, now: tx.now)
        let answer = try CohortStore(tx: tx).answer(table, where: [], exactness)
        let rows = answer.cohorts.flatMap { cohort -> [[JSONValue]] in
            var bucket = cohort.start
            return cohort.returning.enumerated().map { number, people -> [JSONValue] in
                defer { bucket = BucketCalendar.next(after: bucket, granularity) }
                let returning = isGone(bucket, table.period) ? JSONValue.null : .integer(people)
                return [.time(cohort.start), .integer(cohort.people), .integer(number), returning]
            }
        }
        return Report(
            .retention, table.period, Table(columns: ["cohort", "people", "period", "returning"], rows: rows),
            approximate: answer.error.map { ["returning": $0] }, keptFrom: exactness.kept.rowsFrom(table.period))
    }
}
