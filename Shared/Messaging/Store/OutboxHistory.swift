import Contracts
import Foundation
import Postgres

/// What an outbox keeps of what it has published, by days.
struct OutboxHistory {
    let tx: Transaction

    /// Makes the days ahead and drops those that have been kept long enough; one with an event that still waits is kept. Answers how many
    /// were made or dropped.
    func turnDays(ahead: Int, retention: Duration) throws -> Int {
        let row = try tx.first(
            """
            SELECT outbox_days((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + \(Int32(ahead)), \
            least(now() - make_interval(secs => \(retention.seconds)), (SELECT min(occurred_at) FROM outbox_waiting))) AS changed
            """)
        guard let row else { return 0 }
        let changed: Int32 = try row("changed")
        return Int(changed)
    }

    /// The same for the inbox, whose days are those of the events' ids.
    func turnInboxDays(ahead: Int, retention: Duration) throws {
        try tx.execute(
            """
            SELECT inbox_days((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + \(Int32(ahead)), \
            now() - make_interval(secs => \(retention.seconds)))
            """)
    }

    /// What is to be published again. No topics or tenants means all of them.
    struct Wanted: Sendable {
        let topics: [String]
        let tenants: [UUID]
    }

    /// Lets the events of a span of time wait once more, but for those that wait already; answers how many.
    func publishAgain(_ wanted: Wanted, from start: Date, until end: Date) throws -> Int {
        var filter = SQL.empty
        if !wanted.topics.isEmpty { filter += " AND o.topic = ANY(\(wanted.topics))" }
        if !wanted.tenants.isEmpty { filter += " AND o.tenant_id = ANY(\(wanted.tenants))" }
        return try tx.execute(
            """
            INSERT INTO outbox_waiting (tenant_id, shard, again, position, key, occurred_at, xid) \
            SELECT o.tenant_id, hashtext(o.subject) & 15, true, o.position, hashtext(o.subject), o.occurred_at, \
            pg_current_xact_id()::text::bigint FROM outbox o \
            WHERE o.occurred_at >= \(start) AND o.occurred_at < \(end)\(fragment: filter) \
            AND NOT EXISTS (SELECT FROM outbox_waiting w WHERE w.tenant_id = o.tenant_id AND w.shard = hashtext(o.subject) & 15 \
            AND NOT w.again AND w.position = o.position) ON CONFLICT DO NOTHING
            """)
    }

    /// Those of these topics and tenants of which something was announced in a span of time.
    func kept(_ wanted: Wanted, from start: Date, until end: Date) throws -> Wanted {
        let topics: [String] = try tx.query(
            Query(
                """
                SELECT w.topic FROM unnest(\(wanted.topics)) AS w (topic) WHERE EXISTS (\
                SELECT FROM outbox o WHERE o.topic = w.topic AND o.occurred_at >= \(start) AND o.occurred_at < \(end))
                """, column: "topic"))
        let tenants: [UUID] = try tx.query(
            Query(
                """
                SELECT w.tenant FROM unnest(\(wanted.tenants)) AS w (tenant) WHERE EXISTS (\
                SELECT FROM outbox o WHERE o.tenant_id = w.tenant AND o.occurred_at >= \(start) AND o.occurred_at < \(end))
                """, column: "tenant"))
        return Wanted(topics: topics, tenants: tenants)
    }

    /// How many wait to be published again, counted up to `most`.
    func waitingAgain(atMost most: Int) throws -> Int {
        let row = try tx.first(
            "SELECT count(*) AS count FROM (SELECT FROM outbox_waiting WHERE again LIMIT \(most)) AS counted")
        return try row?("count") ?? 0
    }
}
