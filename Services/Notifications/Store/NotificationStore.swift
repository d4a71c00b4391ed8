import Contracts
import Foundation
import Postgres

/// A notification as its reader sees it.
struct InboxItem: Sendable {
    let id: NotificationID
    let template: TemplateName?
    let subject: String
    let body: String
    let createdAt: Date
    let readAt: Date?
}

/// The rows of `notifications`.
struct NotificationStore {
    let tx: Transaction

    /// False when one with the same once-key is there already: then nothing was written.
    func add(_ notification: Notification) throws -> Bool {
        let added = try tx.execute(
            """
            INSERT INTO notifications (tenant_id, id, user_id, in_app, template, subject, body, once_key, created_at)
            VALUES (\(tx.caller.tenant), \(notification.id), \(notification.recipient.userID as UserID?), \(notification.isInApp),
                \(notification.template as TemplateName?), \(notification.message.subject), \(notification.message.text),
                \(notification.onceKey as String?), \(notification.createdAt))
            ON CONFLICT (tenant_id, once_key) WHERE once_key IS NOT NULL DO NOTHING
            """)
        return added == 1
    }

    /// One person's inbox, newest first, from behind `cursor` on; one more than the limit, to know whether there are more.
    static func inbox(of user: UserID, unreadOnly: Bool, after cursor: (Date, UUID)?, limit: Int) -> Query<InboxItem> {
        var filter: SQL = "user_id = \(user) AND in_app"
        if unreadOnly { filter += " AND read_at IS NULL" }
        if let (time, id) = cursor { filter += " AND (created_at, id) < (\(time), \(id))" }
        return Query(
            """
            SELECT id, template, subject, body, created_at, read_at
            FROM notifications WHERE \(fragment: filter) ORDER BY created_at DESC, id DESC LIMIT \(limit + 1)
            """, InboxItem.init)
    }

    static func unreadCount(of user: UserID) -> Query<Int> {
        Query("SELECT count(*) AS count FROM notifications WHERE user_id = \(user) AND in_app AND read_at IS NULL", column: "count")
    }

    /// The first reading counts: a second changes nothing. Nil when this person has no such notification.
    static func read(_ id: NotificationID, by user: UserID, at now: Date) -> Query<InboxItem> {
        Query(
            """
            UPDATE notifications SET read_at = coalesce(read_at, \(now))
            WHERE id = \(id) AND user_id = \(user) AND in_app
            RETURNING id, template, subject, body, created_at, read_at
            """, InboxItem.init)
    }

    /// What came until now; later ones stay unread.
    static func readAll(of user: UserID, at now: Date) -> SQL {
        "UPDATE notifications SET read_at = \(now) WHERE user_id = \(user) AND in_app AND read_at IS NULL AND created_at <= \(now)"
    }
}

extension InboxItem {
    init(_ row: Row) throws {
        self.init(
            id: try row("id"), template: try row("template"), subject: try row("subject"), body: try row("body"),
            createdAt: try row("created_at"), readAt: try row("read_at"))
    }
}
