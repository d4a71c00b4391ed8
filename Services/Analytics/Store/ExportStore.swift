import Contracts
import Foundation
import Postgres

/// Raw rows in the order of time, a page at a time: each page is a statement of its own, so that an export of hours holds neither a
/// connection nor a snapshot.
enum ExportStore {
    /// Rows of a page.
    static let pageRows = 2_000

    /// Where the next page begins.
    struct Place: Sendable {
        let time: Date
        /// After the row of this time and id; nil: with the first of this time.
        let id: UUID?

        init(from time: Date) {
            self.time = time
            id = nil
        }

        init(after row: ExportRow) {
            time = row.time
            id = row.id
        }

        /// What is left of the rows from its time on.
        func rest(_ key: StaticString) -> SQL { id.map { "AND (occurred_at, \(raw: key)) > (\(time), \($0))" } ?? .empty }
    }

    static func columns(_ source: ExportSource) -> [String] {
        switch source {
        case .events:
            [
                "eventId", "occurredAt", "receivedAt", "eventName", "eventCategory", "userId", "sessionId", "visitor", "isBot", "url",
                "referrer",
                "userAgent", "network", "location", "device", "eventProperties",
            ]
        case .pageViews:
            [
                "eventId", "occurredAt", "receivedAt", "userId", "sessionId", "visitor", "isBot", "url", "referrer", "durationSeconds",
                "bounce",
                "userAgent", "network", "location", "device",
            ]
        case .facts: ["eventId", "occurredAt", "kind", "subject", "userId", "label", "amount", "details"]
        }
    }

    static func page(_ source: ExportSource, after place: Place, until end: Date, rows: Int) -> Query<ExportRow> {
        switch source {
        case .events: events(place, end, rows)
        case .pageViews: pageViews(place, end, rows)
        case .facts: facts(place, end, rows)
        }
    }

    private static func events(_ place: Place, _ end: Date, _ rows: Int) -> Query<ExportRow> {
        Query(
            """
            SELECT id, occurred_at, received_at, event_name, event_category, user_id, session_id, visitor, is_bot, url, referrer,
                user_agent, host(ip_address) AS network, location, device_info, event_properties
            FROM analytics_events
            WHERE occurred_at >= \(place.time) \(fragment: place.rest("id")) AND occurred_at < \(end)
            ORDER BY occurred_at, id LIMIT \(rows)
            """
        ) { row in
            let (time, id): (Date, UUID) = (try row("occurred_at"), try row("id"))
            return ExportRow(
                time: time, id: id,
                fields: [
                    text(id), text(time), text(try row("received_at") as Date), text(try row("event_name") as String?),
                    text(try row("event_category") as String?), text(try row("user_id") as UUID?), text(try row("session_id") as String?),
                    text(try row("visitor") as UUID?), .bool(try row("is_bot")), text(try row("url") as String?),
                    text(try row("referrer") as String?), text(try row("user_agent") as String?), text(try row("network") as String?),
                    json(try row("location")), json(try row("device_info")), json(try row("event_properties")),
                ])
        }
    }

    private static func pageViews(_ place: Place, _ end: Date, _ rows: Int) -> Query<ExportRow> {
        Query(
            """
            SELECT id, occurred_at, received_at, user_id, session_id, visitor, is_bot, url, referrer, duration_seconds, bounce, user_agent,
                host(ip_address) AS network, location, device_info
            FROM page_views
            WHERE occurred_at >= \(place.time) \(fragment: place.rest("id")) AND occurred_at < \(end)
            ORDER BY occurred_at, id LIMIT \(rows)
            """
        ) { row in
            let (time, id): (Date, UUID) = (try row("occurred_at"), try row("id"))
            return ExportRow(
                time: time, id: id,
                fields: [
                    text(id), text(time), text(try row("received_at") as Date), text(try row("user_id") as UUID?),
                    text(try row("session_id") as String?), text(try row("visitor") as UUID?), .bool(try row("is_bot")),
                    text(try row("url") as String?), text(try row("referrer") as String?), number(try row("duration_seconds")),
                    .bool(try row("bounce")), text(try row("user_agent") as String?), text(try row("network") as String?),
                    json(try row("location")), json(try row("device_info")),
                ])
        }
    }

    private static func facts(_ place: Place, _ end: Date, _ rows: Int) -> Query<ExportRow> {
        Query(
            """
            SELECT event_id, occurred_at, kind, subject, user_id, label, amount, details
            FROM facts
            WHERE occurred_at >= \(place.time) \(fragment: place.rest("event_id")) AND occurred_at < \(end)
            ORDER BY occurred_at, event_id LIMIT \(rows)
            """
        ) { row in
            let (time, id): (Date, UUID) = (try row("occurred_at"), try row("event_id"))
            return ExportRow(
                time: time, id: id,
                fields: [
                    text(id), text(time), text(try row("kind") as String?), text(try row("subject") as String?),
                    text(try row("user_id") as UUID?), text(try row("label") as String?), number(try row("amount")),
                    json(try row("details")),
                ])
        }
    }

    private static func text(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }
    private static func text(_ value: UUID?) -> JSONValue { value.map { .string($0.uuidString.lowercased()) } ?? .null }
    private static func text(_ value: Date) -> JSONValue { .string(Timestamp.text(value)) }
    private static func number(_ value: Int?) -> JSONValue { value.map(JSONValue.integer) ?? .null }
    private static func json(_ value: JSONB<JSONValue>?) -> JSONValue { value?.value ?? .null }
}
