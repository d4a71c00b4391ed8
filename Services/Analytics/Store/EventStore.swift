import Contracts
import Foundation
import Postgres

/// One item of a batch as it is kept.
struct Taken<Draft: Sendable>: Sendable {
    let draft: Draft
    let occurrence: Occurrence
}

/// The rows of `analytics_events`.
enum EventStore {
    /// One statement for a whole batch, each column an array: the ids that are new, their rows, and one row for the roll-ups, or
    /// nothing of it. What was stored before under the same id stays as it was, whatever time it is sent with.
    ///
    /// Ids go in by their order, so that two batches with the same ids wait for one another and do not deadlock. Who has objected to being
    /// followed is left out of the row.
    static func insert(_ taken: [Taken<EventDraft>], from sender: Sender, for tenant: TenantID) throws -> SQL {
        let rows = OccurrenceColumns(taken.map(\.occurrence))
        let names = taken.map(\.draft.eventName)
        let categories = taken.map(\.draft.eventCategory)
        let properties = try taken.map { try $0.draft.eventProperties?.json() }
        return """
            WITH batch AS MATERIALIZED (
                SELECT b.*, o.user_id IS NOT NULL AS objects
                FROM unnest(\(rows.ids), \(rows.users), \(rows.sessions), \(names), \(categories), \(properties)::jsonb[], \(rows.urls),
                    \(rows.paths), \(rows.referrers), \(rows.hosts), \(rows.times))
                    AS b (id, user_id, session_id, event_name, event_category, event_properties, url, path, referrer, referrer_host,
                        occurred_at)
                LEFT JOIN objections o ON o.tenant_id = \(tenant) AND o.user_id = b.user_id AND o.returned_at IS NULL
            ), fresh AS (
                INSERT INTO collected_ids (tenant_id, id, kind, occurred_at) SELECT \(tenant), id, 1, occurred_at FROM batch ORDER BY id
                ON CONFLICT (tenant_id, id, kind) DO NOTHING
                RETURNING id
            ), queued AS (
                INSERT INTO rollup_queue (tenant_id, source, ids, times)
                SELECT \(tenant), 'event', array_agg(id), array_agg(occurred_at) FROM batch JOIN fresh USING (id) HAVING count(*) > 0
            )
            INSERT INTO analytics_events
                (tenant_id, occurred_at, id, user_id, session_id, visitor, is_bot, event_name, event_category, event_properties, url, path,
                 referrer, referrer_host, user_agent, ip_address, location, device_info, received_at)
            SELECT \(tenant), occurred_at, id, CASE WHEN NOT objects THEN user_id END, CASE WHEN NOT objects THEN session_id END,
                \(fragment: SenderColumns.beforeNames(sender)), event_name, event_category, CASE WHEN NOT objects THEN event_properties END,
                CASE WHEN objects THEN path ELSE url END, path, CASE WHEN NOT objects THEN referrer END, referrer_host,
                \(fragment: SenderColumns.atTheEnd(sender))
            FROM batch JOIN fresh USING (id)
            """
    }

    /// One row as it was stored, for those who announce it.
    struct Stored: Sendable {
        let id: EventID
        let userID: UserID?
        let sessionKey: String?
        let userAgent: String?
        let url: String?
        let referrer: String?
        let properties: [String: JSONValue]
    }

    /// The same insert, and the rows it has stored.
    static func stored(_ insert: SQL) -> Query<Stored> {
        Query(insert + " RETURNING id, user_id, session_id, user_agent, url, referrer, event_properties") { row in
            let properties: JSONB<[String: JSONValue]>? = try row("event_properties")
            return try Stored(row, properties?.value ?? [:])
        }
    }
}

/// The rows of `page_views`.
enum PageViewStore {
    static func insert(_ taken: [Taken<PageViewDraft>], from sender: Sender, for tenant: TenantID) -> SQL {
        let rows = OccurrenceColumns(taken.map(\.occurrence))
        let durations = taken.map { $0.draft.durationSeconds.map { Int32($0.value) } }
        let bounces = taken.map { $0.draft.bounce ?? false }
        return """
            WITH batch AS MATERIALIZED (
                SELECT b.*, o.user_id IS NOT NULL AS objects
                FROM unnest(\(rows.ids), \(rows.users), \(rows.sessions), \(rows.urls), \(rows.paths), \(rows.referrers), \(rows.hosts),
                    \(durations), \(bounces), \(rows.times))
                    AS b (id, user_id, session_id, url, path, referrer, referrer_host, duration_seconds, bounce, occurred_at)
                LEFT JOIN objections o ON o.tenant_id = \(tenant) AND o.user_id = b.user_id AND o.returned_at IS NULL
            ), fresh AS (
                INSERT INTO collected_ids (tenant_id, id, kind, occurred_at) SELECT \(tenant), id, 2, occurred_at FROM batch ORDER BY id
                ON CONFLICT (tenant_id, id, kind) DO NOTHING
                RETURNING id
            ), queued AS (
                INSERT INTO rollup_queue (tenant_id, source, ids, times)
                SELECT \(tenant), 'pageView', array_agg(id), array_agg(occurred_at) FROM batch JOIN fresh USING (id) HAVING count(*) > 0
            )
            INSERT INTO page_views
                (tenant_id, occurred_at, id, user_id, session_id, visitor, is_bot, url, path, referrer, referrer_host, duration_seconds,
                 bounce, user_agent, ip_address, location, device_info, received_at)
            SELECT \(tenant), occurred_at, id, CASE WHEN NOT objects THEN user_id END, CASE WHEN NOT objects THEN session_id END,
                \(fragment: SenderColumns.beforeNames(sender)), CASE WHEN objects THEN path ELSE url END, path,
                CASE WHEN NOT objects THEN referrer END, referrer_host, duration_seconds, bounce,
                \(fragment: SenderColumns.atTheEnd(sender))
            FROM batch JOIN fresh USING (id)
            """
    }
}

extension PageViewStore {
    /// The same insert, and the rows it has stored.
    static func stored(_ insert: SQL) -> Query<EventStore.Stored> {
        Query(insert + " RETURNING id, user_id, session_id, user_agent, url, referrer") { row in try EventStore.Stored(row, [:]) }
    }
}

extension EventStore.Stored {
    fileprivate init(_ row: Row, _ properties: [String: JSONValue]) throws {
        self.init(
            id: try row("id"), userID: try row("user_id"), sessionKey: try row("session_id"), userAgent: try row("user_agent"),
            url: try row("url"), referrer: try row("referrer"), properties: properties)
    }
}

/// What all rows of a call have in common.
private enum SenderColumns {
    /// A visitor is as good as a name while its day lasts.
    static func beforeNames(_ sender: Sender) -> SQL {
        "CASE WHEN NOT objects THEN \(sender.visitor as UUID?)::uuid END, \(sender.isBot)"
    }

    static func atTheEnd(_ sender: Sender) -> SQL {
        """
        CASE WHEN NOT objects THEN \(sender.userAgent as String?)::text END,
        CASE WHEN NOT objects THEN \(sender.network?.text as String?)::inet END,
        CASE WHEN objects THEN \(sender.location?.coarse.map(JSONB.init) as JSONB<Location>?)::jsonb
            ELSE \(sender.location.map(JSONB.init) as JSONB<Location>?)::jsonb END,
        \(sender.device.map(JSONB.init) as JSONB<Device>?)::jsonb, \(sender.receivedAt)
        """
    }
}

/// The columns that both tables have, as arrays.
private struct OccurrenceColumns {
    let ids: [EventID]
    let users: [UserID?]
    let sessions: [String?]
    let urls: [String?]
    let paths: [String?]
    let referrers: [String?]
    let hosts: [String?]
    let times: [Date]

    init(_ occurrences: [Occurrence]) {
        ids = occurrences.map(\.id)
        users = occurrences.map(\.userID)
        sessions = occurrences.map(\.sessionKey)
        urls = occurrences.map(\.url)
        paths = occurrences.map(\.path)
        referrers = occurrences.map(\.referrer)
        hosts = occurrences.map(\.referrerHost)
        times = occurrences.map(\.occurredAt)
    }
}

extension EventName: SQLBindable {}
