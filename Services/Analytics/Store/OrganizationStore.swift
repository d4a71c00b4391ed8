import Contracts
import Foundation
import Postgres

/// The row of `organizations`, and what goes with an organization.
struct OrganizationStore {
    /// Days for which an id is known after it came, whatever its event's time.
    static let idDays = 35

    let tx: Transaction

    /// From now on its old rows are removed, the first time an interval from now.
    func note() throws {
        try tx.execute(
            """
            INSERT INTO organizations (tenant_id, pruned_at) VALUES (\(tx.caller.tenant), \(tx.now)) ON CONFLICT (tenant_id) DO NOTHING
            """)
    }

    /// The latest word counts, in whatever order words come.
    func setPlan(_ plan: String, at time: Date) throws {
        try tx.execute(
            """
            INSERT INTO organizations (tenant_id, plan, plan_at, pruned_at) VALUES (\(tx.caller.tenant), \(plan), \(time), \(tx.now))
            ON CONFLICT (tenant_id) DO UPDATE SET plan = excluded.plan, plan_at = excluded.plan_at
            WHERE organizations.plan_at IS NULL OR organizations.plan_at <= excluded.plan_at
            """)
    }

    func setErasure(after time: Date?) throws {
        try tx.execute(
            """
            INSERT INTO organizations (tenant_id, erase_after, pruned_at) VALUES (\(tx.caller.tenant), \(time as Date?), \(tx.now))
            ON CONFLICT (tenant_id) DO UPDATE SET erase_after = excluded.erase_after
            """)
    }

    /// Removes raw rows from before the limit, at most `rows` of each table; returns whether there may be more.
    ///
    /// Rows that wait for the roll-ups are folded first, so what is counted here is in them.
    /// Ids are known for `idDays` after they came, so that repeating an old backfill counts nothing twice; of an erased organization none are.
    func prune(before limit: Date, idsReceivedBefore arrival: Date, rows: Int) throws -> Bool {
        let removed = [
            try tx.execute(
                """
                DELETE FROM analytics_events WHERE (tenant_id, occurred_at, id) IN (
                    SELECT tenant_id, occurred_at, id FROM analytics_events WHERE occurred_at < \(limit) ORDER BY occurred_at LIMIT \(rows))
                AND occurred_at < \(limit)
                """),
            try tx.execute(
                """
                DELETE FROM page_views WHERE (tenant_id, occurred_at, id) IN (
                    SELECT tenant_id, occurred_at, id FROM page_views WHERE occurred_at < \(limit) ORDER BY occurred_at LIMIT \(rows))
                AND occurred_at < \(limit)
                """),
            try tx.execute(
                """
                DELETE FROM facts WHERE (tenant_id, occurred_at, event_id) IN (
                    SELECT tenant_id, occurred_at, event_id FROM facts WHERE occurred_at < \(limit) ORDER BY occurred_at LIMIT \(rows))
                AND occurred_at < \(limit)
                """),
            try tx.execute(
                """
                DELETE FROM collected_ids WHERE (tenant_id, id, kind) IN (
                    SELECT tenant_id, id, kind FROM collected_ids WHERE occurred_at < \(limit) AND received_at < \(arrival) LIMIT \(rows))
                """),
        ]
        return removed.contains(rows)
    }

    /// Minutes and hours that are no longer asked for, and days by anything but the whole after some years; whether there may be more.
    func pruneRollups(now: Date, rows: Int) throws -> Bool {
        func before(_ days: Int) -> Date { now.addingTimeInterval(-Double(days) * 86_400) }
        let past: [SQL] = [
            "unit = 'minute' AND dimension IN ('', 'eventName') AND bucket < \(before(RollupBatch.minuteDays))",
            "unit = 'hour' AND bucket < \(before(RollupBatch.hourDays))",
            "unit = 'day' AND dimension <> '' AND bucket < \(before(RollupBatch.valueDays))",
        ]
        var removed = try past.map { condition in
            try tx.execute(
                """
                DELETE FROM activity_rollups WHERE (tenant_id, unit, dimension, bucket, value) IN (
                    SELECT tenant_id, unit, dimension, bucket, value FROM activity_rollups WHERE \(fragment: condition) LIMIT \(rows))
                """)
        }
        let pastFacts: [SQL] = [
            "unit = 'hour' AND bucket < \(before(RollupBatch.hourDays))",
            "unit = 'day' AND label <> \(FactKey.everyLabel) AND bucket < \(before(RollupBatch.valueDays))",
        ]
        removed += try pastFacts.map { condition in
            try tx.execute(
                """
                DELETE FROM fact_rollups WHERE (tenant_id, unit, kind, bucket, label) IN (
                    SELECT tenant_id, unit, kind, bucket, label FROM fact_rollups WHERE \(fragment: condition) LIMIT \(rows))
                """)
        }
        removed.append(
            try tx.execute(
                """
                DELETE FROM rollup_values WHERE (tenant_id, dimension, day) IN (
                    SELECT tenant_id, dimension, day FROM rollup_values WHERE day < \(before(RollupBatch.valueDays)) LIMIT \(rows))
                """))
        return removed.contains(rows)
    }

    /// Of which time what is stored is all there.
    func kept() throws -> Kept {
        let rows = try tx.first(
            Query<Date?>("SELECT kept_from FROM organizations WHERE tenant_id = \(tx.caller.tenant)", column: "kept_from"))
        return Kept(rows: rows ?? nil, now: tx.now)
    }

    /// From now on raw rows from before the limit need not be there. Nothing to note where nothing of before was ever counted: all there is
    /// is kept.
    func noteKept(from limit: Date) throws {
        try tx.execute(
            """
            UPDATE organizations SET kept_from = \(limit)
            WHERE tenant_id = \(tx.caller.tenant) AND (kept_from IS NULL OR kept_from < \(limit)) AND (
                EXISTS (SELECT FROM activity_rollups WHERE unit = 'day' AND dimension = '' AND bucket < \(limit))
                OR EXISTS (SELECT FROM fact_rollups WHERE unit = 'day' AND kind = ANY(\(FactKind.allCases)) AND bucket < \(limit)))
            """)
    }

    /// Salts older than yesterday's: from then on visitors are nobody's.
    func forgetSalts(now: Date) throws {
        try tx.execute("DELETE FROM daily_salts WHERE day < (\(now) AT TIME ZONE 'UTC')::date - 1")
    }

    func markPruned(at time: Date) throws {
        try tx.execute(
            """
            INSERT INTO organizations (tenant_id, pruned_at) VALUES (\(tx.caller.tenant), \(time))
            ON CONFLICT (tenant_id) DO UPDATE SET pruned_at = excluded.pruned_at
            """)
    }

    /// Some of its roll-ups; whether there are more.
    func eraseRollups(rows: Int) throws -> Bool {
        try tx.execute(
            """
            DELETE FROM activity_rollups WHERE (tenant_id, unit, dimension, bucket, value) IN (
                SELECT tenant_id, unit, dimension, bucket, value FROM activity_rollups LIMIT \(rows))
            """) == rows
    }

    func eraseRest() throws {
        for statement: SQL in [
            "DELETE FROM rollup_queue", "DELETE FROM activity_rollups", "DELETE FROM fact_rollups", "DELETE FROM rollup_values",
            "DELETE FROM people", "DELETE FROM daily_salts", "DELETE FROM objections", "DELETE FROM organizations",
        ] { try tx.execute(statement) }
    }
}

/// The platform's own questions: who is to be looked after, and the partitions.
enum UpkeepStore {
    struct Due: Sendable {
        let tenant: TenantID
        let plan: String?
        let isErased: Bool
    }

    /// Organizations that were not looked through since, those longest ago first.
    static func due(prunedBefore: Date, now: Date, limit: Int) -> Query<Due> {
        Query(
            """
            SELECT tenant_id, plan, coalesce(erase_after < \(now), false) AS is_erased FROM organizations
            WHERE pruned_at IS NULL OR pruned_at < \(prunedBefore)
            ORDER BY pruned_at NULLS FIRST LIMIT \(limit)
            """
        ) { row in
            Due(tenant: try row("tenant_id"), plan: try row("plan"), isErased: try row("is_erased"))
        }
    }

    struct Unnaming: Sendable {
        let tenant: TenantID
        let person: UserID
    }

    /// People whose rows still name them, some time after that was to end: what was under way then is committed by now.
    static func unnaming(waitingSince: Date, limit: Int) -> Query<Unnaming> {
        Query(
            """
            SELECT tenant_id, user_id FROM objections WHERE unnamed_at IS NULL AND waiting_since < \(waitingSince)
            ORDER BY waiting_since LIMIT \(limit)
            """
        ) { row in
            Unnaming(tenant: try row("tenant_id"), person: try row("user_id"))
        }
    }

    /// The partition just made; nil when none is missing.
    static func makePartition(from first: Date, to last: Date) -> Query<String?> {
        Query("SELECT make_partition(\(first), \(last)) AS name", column: "name")
    }

    /// The partition just dropped; nil when none is past.
    static func dropPartition(before: Date) -> Query<String?> {
        Query("SELECT drop_partition(\(before)) AS name", column: "name")
    }

    /// Whose rows wait for the roll-ups: a jump along the key from organization to organization, not a walk over all that waits.
    static func waiting(after tenant: TenantID, limit: Int) -> Query<TenantID> {
        Query(
            """
            WITH RECURSIVE waiting (tenant_id, number) AS (
                (SELECT tenant_id, 1 FROM rollup_queue WHERE tenant_id > \(tenant) ORDER BY tenant_id LIMIT 1)
                UNION ALL
                SELECT (SELECT q.tenant_id FROM rollup_queue q WHERE q.tenant_id > w.tenant_id ORDER BY q.tenant_id LIMIT 1), w.number + 1
                FROM waiting w WHERE w.tenant_id IS NOT NULL AND w.number < \(limit)
            )
            SELECT tenant_id FROM waiting WHERE tenant_id IS NOT NULL
            """, column: "tenant_id")
    }
}
