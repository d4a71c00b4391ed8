import Contracts
import Foundation
import Postgres

/// What a consumer has handled already.
struct InboxStore {
    let tx: Transaction

    /// Those of the events that are claimed for the first time, whichever way they are ordered. While another transaction holds one of them
    /// unfinished, this waits for its end; the order of the ids keeps two that claim the same from waiting for each other.
    func claim(_ events: [EventID], by consumer: String) throws -> Set<EventID> {
        Set(
            try tx.query(
                Query(
                    """
                    INSERT INTO inbox (tenant_id, consumer, event_id) \
                    SELECT \(tx.caller.tenant), \(consumer)::text, id FROM unnest(\(events.map(\.uuid))) AS id ORDER BY id \
                    ON CONFLICT DO NOTHING RETURNING event_id
                    """, column: "event_id")))
    }
}

/// The inbox for all tenants, under the platform's role.
struct InboxPruning {
    let tx: Transaction

    /// Forgets some events handled longer ago than `age`; returns how many.
    func prune(olderThan age: Duration, most: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM inbox WHERE (tenant_id, consumer, event_id) IN (SELECT tenant_id, consumer, event_id FROM inbox \
            WHERE handled_at < now() - make_interval(secs => \(age.seconds)) LIMIT \(most))
            """)
    }

    /// Forgets what a consumer has handled among the next rows in the order of the key, which no other index has; and says where to go on.
    func forget(_ consumer: String, of tenant: TenantID?, from place: InboxPlace, looking rows: Int) throws -> (
        forgotten: Int, next: InboxPlace?
    ) {
        let only: SQL = tenant.map { "AND tenant_id = \($0) AND consumer = \(consumer)" } ?? .empty
        let next = try tx.first(
            Query(
                """
                SELECT tenant_id, consumer, event_id FROM inbox \
                WHERE (tenant_id, consumer, event_id) >= (\(place.tenant), \(place.consumer), \(place.event)) \(fragment: only) \
                ORDER BY tenant_id, consumer, event_id OFFSET \(rows) LIMIT 1
                """
            ) { row in InboxPlace(tenant: try row("tenant_id"), consumer: try row("consumer"), event: try row("event_id")) })
        let before: SQL =
            next.map { "AND (tenant_id, consumer, event_id) < (\($0.tenant), \($0.consumer), \($0.event))" } ?? .empty
        let forgotten = try tx.execute(
            """
            DELETE FROM inbox WHERE consumer = \(consumer) \
            AND (tenant_id, consumer, event_id) >= (\(place.tenant), \(place.consumer), \(place.event)) \(fragment: before) \
            \(fragment: only)
            """)
        return (forgotten, next)
    }
}

/// A place in the order of the inbox's key.
struct InboxPlace: Sendable {
    let tenant: TenantID
    let consumer: String
    let event: UUID

    /// Before every other.
    static let beginning = InboxPlace(tenant: TenantID(.zero), consumer: "", event: .zero)
}

extension UUID {
    /// The nil UUID of RFC 9562, before every other.
    static let zero = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
}
