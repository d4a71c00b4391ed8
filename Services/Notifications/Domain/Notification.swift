import Contracts
import Foundation

/// Whom a notification is for: a person of the organization, an address, or both.
struct Recipient: Sendable, Equatable {
    let userID: UserID?
    let email: EmailAddress?
}

/// Something to be told to one person, over one or more channels.
struct Notification: Sendable {
    let id: NotificationID
    let recipient: Recipient
    let template: TemplateName?
    let message: Message
    /// Says that this must be told only once: a second notification with the same key is not made.
    let onceKey: String?
    let createdAt: Date
    let deliveries: [Delivery]

    var isInApp: Bool { deliveries.contains { $0.channel == .inApp } }

    /// Refuses a channel that does not reach the recipient.
    init(
        id: NotificationID, to recipient: Recipient, _ message: Message, template: TemplateName?, over channels: [Channel],
        onceKey: String? = nil, at now: Date
    ) throws(ValidationFailure) {
        self.id = id
        self.recipient = recipient
        self.template = template
        self.message = message
        self.onceKey = onceKey
        createdAt = now
        var deliveries: [Delivery] = []
        for channel in Channel.allCases where channels.contains(channel) {
            switch channel {
            case .email:
                guard let email = recipient.email else {
                    throw ValidationFailure("/to/email", "missing", "no address of this person is known: the channel email needs one")
                }
                deliveries.append(.mail(of: id, to: email, recipient.userID, message, template, at: now))
            case .inApp:
                guard let user = recipient.userID else {
                    throw ValidationFailure("/to/userId", "missing", "nobody with this address is known: the channel inApp needs a person")
                }
                deliveries.append(.inApp(of: id, to: user, template, at: now))
            }
        }
        self.deliveries = deliveries
    }

    /// What can be announced at once: being in the inbox is being delivered.
    var announcements: [NotificationDelivered] {
        deliveries.filter { $0.status == .sent }.map(\.delivered)
    }
}

/// The welcome of somebody who joined.
enum Welcome {
    /// A second event about the same person, under another id, still makes one welcome.
    static func notification(
        _ person: UserID, _ email: EmailAddress, firstName: String?, id: NotificationID, at now: Date
    ) throws(ValidationFailure) -> Notification {
        // A name that could not be entered with us is not used; the welcome goes out without it.
        let name = firstName.flatMap { Name(rawValue: $0) }
        let message = try TemplateName.welcome.template.render(name.map { ["firstName": .string($0.rawValue)] } ?? [:])
        return try Notification(
            id: id, to: Recipient(userID: person, email: email), message, template: .welcome, over: [.email, .inApp],
            onceKey: "welcome:\(person)", at: now)
    }
}
