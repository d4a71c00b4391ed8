import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Sends notifications and tells what became of them.
struct SendingRoutes {
    let database: Database
    let bell: Bell

    var endpoints: Endpoints {
        Endpoints("notifications") {
            Endpoint.post("", "Send a notification", may: "notifications:send", send)
            // Deliveries show addresses of others, so reading one's own inbox is not enough.
            Endpoint.get("deliveries", "List deliveries and what became of them", may: "notifications:send", deliveries)
        }
    }

    /// Answers 202 once it is kept: the inbox has it then, a mail is on its way.
    func send(_ request: CallerRequest, _ body: SendRequest) async throws -> Accepted<SentView> {
        let message = try body.message()
        let recipient = try body.recipient()
        let bell = bell
        let now = request.now
        let notification = try await database.transaction(as: request.caller) { tx in
            let notification = try Notification(
                id: .make(at: now), to: try ContactStore(tx: tx).complete(recipient), message, template: body.template,
                over: body.channels.values, at: now)
            try Sending(tx: tx, bell: bell).send(notification)
            // Over which channels and from which template; what it says, and to which address, stands in the delivery.
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID).record(
                "notifications.notification.send", "notification", notification.id.description,
                changed: [
                    "template": body.template.map { .string($0.rawValue) } ?? .null,
                    "channels": .array(body.channels.values.map { .string($0.rawValue) }),
                ])
            return notification
        }
        return Accepted(SentView(id: notification.id, deliveries: notification.deliveries.map(DeliveryView.init)))
    }

    func deliveries(_ request: CallerRequest, _ query: DeliveryQuery) async throws -> Page<DeliveryView> {
        let limit = query.limit ?? .standard
        let rows = try await database.query(
            DeliveryStore.list(status: query.status, after: try query.cursor?.position(), limit: limit.value), as: request.caller)
        return Page(rows.map(DeliveryView.init), limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
    }
}

/// A template with its data, or somebody's own subject and body.
struct SendRequest: Decodable, Sendable {
    struct To: Decodable, Sendable {
        let userId: UserID?
        let email: EmailAddress?
    }

    let to: To
    let template: TemplateName?
    let subject: Title?
    let body: BodyText?
    let channels: ChannelList
    let data: [String: JSONValue]?

    func recipient() throws(ValidationFailure) -> Recipient {
        guard to.userId != nil || to.email != nil else {
            throw ValidationFailure("/to", "missing", "name the person with userId, or an address with email")
        }
        return Recipient(userID: to.userId, email: to.email)
    }

    func message() throws(ValidationFailure) -> Message {
        if let template {
            let both = [("/subject", subject != nil), ("/body", body != nil)].filter(\.1).map {
                FieldError(pointer: $0.0, code: "not-allowed", detail: "a template has its own words")
            }
            guard both.isEmpty else { throw ValidationFailure(both) }
            return try template.template.render(data ?? [:])
        }
        guard let subject, let body else {
            let missing = [("/subject", subject == nil), ("/body", body == nil)].filter(\.1).map {
                FieldError(pointer: $0.0, code: "missing", detail: "is required without a template")
            }
            throw ValidationFailure(missing)
        }
        guard data == nil else { throw ValidationFailure("/data", "not-allowed", "is only used by templates") }
        return .plain(subject: subject, body: body)
    }
}

/// One channel or more.
struct ChannelList: Decodable, Sendable, Described {
    let values: [Channel]
    static var schema: Schema { .array(.choice(Channel.allCases.map(\.rawValue)), maxItems: 10) }
    static var placeholder: ChannelList { ChannelList(values: []) }

    private init(values: [Channel]) { self.values = values }

    init(from decoder: any Decoder) throws {
        values = try [Channel](from: decoder)
        guard !values.isEmpty else {
            let problem = TextProblem("empty", "must name at least one of \(Channel.allCases.map(\.rawValue).joined(separator: ", "))")
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
    }
}

struct DeliveryQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
    let status: DeliveryStatus?
}

/// A notification on its way.
struct SentView: View {
    let id: NotificationID
    let deliveries: [DeliveryView]
}

/// One notification over one channel.
struct DeliveryView: View {
    let id: DeliveryID
    let notificationId: NotificationID
    let channel: Channel
    let recipient: String
    let template: TemplateName?
    let status: DeliveryStatus
    let attempts: Int
    /// When it is tried next, while it is queued.
    let nextAttemptAt: Date?
    /// Why the last try failed.
    let lastError: String?
    let createdAt: Date
    let finishedAt: Date?

    init(_ delivery: Delivery) {
        id = delivery.id
        notificationId = delivery.notificationID
        channel = delivery.channel
        recipient = delivery.recipient
        template = delivery.template
        status = delivery.status
        attempts = delivery.attempts
        nextAttemptAt = delivery.status == .queued ? delivery.nextAttemptAt : nil
        lastError = delivery.lastError
        createdAt = delivery.createdAt
        finishedAt = delivery.finishedAt
    }
}
