import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Everybody's own inbox. Marking as read is part of reading, so it needs no further permission.
struct InboxRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("notifications") {
            Endpoint.get("", "List one's own notifications", may: "notifications:read", list)
            Endpoint.get("unread", "Count one's own unread notifications", may: "notifications:read", unread)
            Endpoint.post(":id/read", "Mark a notification as read", may: "notifications:read", read)
            Endpoint.post("read-all", "Mark all notifications as read", may: "notifications:read", readAll)
        }
    }

    func list(_ request: CallerRequest, _ query: InboxQuery) async throws -> Page<NotificationView> {
        let limit = query.limit ?? .standard
        let rows = try await database.query(
            NotificationStore.inbox(
                of: try request.user(), unreadOnly: query.unread ?? false, after: try query.cursor?.position(), limit: limit.value),
            as: request.caller)
        return Page(rows.map(NotificationView.init), limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
    }

    func unread(_ request: CallerRequest) async throws -> UnreadView {
        let count = try await database.first(NotificationStore.unreadCount(of: try request.user()), as: request.caller)
        return UnreadView(unread: count ?? 0)
    }

    /// A second time changes nothing. Another person's notification answers 404.
    func read(_ request: CallerRequest) async throws -> NotificationView {
        let id = try request.path("id", as: NotificationID.self)
        let query = NotificationStore.read(id, by: try request.user(), at: request.now)
        return try await database.transaction(as: request.caller) { tx in
            guard let item = try tx.first(query) else { throw ResourceFailure.notFound }
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
                .record("notifications.notification.read", "notification", id.description)
            return NotificationView(item)
        }
    }

    /// Answers with the count as it now is: one that came meanwhile is still unread.
    func readAll(_ request: CallerRequest) async throws -> UnreadView {
        let user = try request.user()
        try await database.transaction(as: request.caller) { tx in
            let count = try tx.execute(NotificationStore.readAll(of: user, at: request.now))
            guard count > 0 else { return }
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
                .record("notifications.inbox.read", "inbox", user.description, changed: ["count": .integer(count)])
        }
        return try await unread(request)
    }
}

struct InboxQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
    /// Only those that have not been read.
    let unread: Bool?
}

/// One notification in somebody's inbox.
struct NotificationView: View {
    let id: NotificationID
    let template: TemplateName?
    let subject: String
    let body: String
    let createdAt: Date
    let readAt: Date?

    init(_ item: InboxItem) {
        id = item.id
        template = item.template
        subject = item.subject
        body = item.body
        createdAt = item.createdAt
        readAt = item.readAt
    }
}

struct UnreadView: View {
    let unread: Int
}

extension Cursor {
    /// The keys of a list by time and id; a cursor of another list is refused.
    func position() throws(ValidationFailure) -> (Date, UUID) {
        guard let timeAndID else { throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer") }
        return timeAndID
    }
}
