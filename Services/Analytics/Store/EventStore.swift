import Contracts
import Foundation
import Postgres

/// The rows of `analytics_events`.
enum EventStore {
    /// One statement for a whole batch, each column an array. What was stored before under the same id stays as it was.
    ///
    /// Rows go in by their ids' order, so that two batches with the same ids wait for one another and do not deadlock.
    static func insert(_ drafts: [EventDraft], from sender: Sender, for tenant: TenantID) -> SQL {
        let rows = OccurrenceColumns(drafts.map { $0.occurrence(from: sender) })
        let names = drafts.map(\.eventName)
        let categories = drafts.map(\.eventCategory)
        let properties = drafts.map { $0.eventProperties.map(JSONB.init) }
        return """
            INSERT INTO analytics_events
                (tenant_id, id, user_id, session_id, event_name, event_category, event_properties, url, referrer, user_agent, ip_address,
                 occurred_at, received_at)
            SELECT \(tenant), id, user_id, session_id, event_name, event_category, event_properties, url, referrer,
                \(sender.userAgent as String?)::text, \(sender.network?.text as String?)::inet, occurred_at, \(sender.receivedAt)
            FROM unnest(\(rows.ids), \(rows.users), \(rows.sessions), \(names), \(categories), \(properties), \(rows.urls),
                \(rows.referrers), \(rows.times))
                AS batch (id, user_id, session_id, event_name, event_category, event_properties, url, referrer, occurred_at)
            ORDER BY id
            ON CONFLICT (tenant_id, id) DO NOTHING
            """
    }
}

/// The rows of `page_views`.
enum PageViewStore {
    static func insert(_ drafts: [PageViewDraft], from sender: Sender, for tenant: TenantID) -> SQL {
        let rows = OccurrenceColumns(drafts.map { $0.occurrence(from: sender) })
        let durations = drafts.map { $0.durationSeconds.map { Int32($0.value) } }
        let bounces = drafts.map { $0.bounce ?? false }
        return """
            INSERT INTO page_views
                (tenant_id, id, user_id, session_id, url, referrer, user_agent, ip_address, duration_seconds, bounce,
                 occurred_at, received_at)
            SELECT \(tenant), id, user_id, session_id, url, referrer,
                \(sender.userAgent as String?)::text, \(sender.network?.text as String?)::inet,
                duration_seconds, bounce, occurred_at, \(sender.receivedAt)
            FROM unnest(\(rows.ids), \(rows.users), \(rows.sessions), \(rows.urls), \(rows.referrers),
                \(durations), \(bounces), \(rows.times))
                AS batch (id, user_id, session_id, url, referrer, duration_seconds, bounce, occurred_at)
            ORDER BY id
            ON CONFLICT (tenant_id, id) DO NOTHING
            """
    }
}

/// The columns that both tables have, as arrays.
private struct OccurrenceColumns {
    let ids: [EventID]
    let users: [UserID?]
    let sessions: [String?]
    let urls: [String?]
    let referrers: [String?]
    let times: [Date]

    init(_ occurrences: [Occurrence]) {
        ids = occurrences.map(\.id)
        users = occurrences.map(\.userID)
        sessions = occurrences.map(\.sessionKey)
        urls = occurrences.map(\.url)
        referrers = occurrences.map(\.referrer)
        times = occurrences.map(\.occurredAt)
    }
}

extension EventName: SQLBindable {}
