import Foundation

/// A message was handed to its channel.
package struct NotificationDelivered: Event {
    package static let topic = Topic.notifications
    package static let name = "notification.delivered"
    package static let summary = "A message was handed to its channel."

    package let notificationID: NotificationID
    package let channel: String
    package let template: String?
    package let userID: UserID?

    package var aggregateID: String { notificationID.description }

    package init(notificationID: NotificationID, channel: String, template: String?, userID: UserID?) {
        self.notificationID = notificationID
        self.channel = channel
        self.template = template
        self.userID = userID
    }

    package static let example = NotificationDelivered(
        notificationID: NotificationID(.example(8)), channel: "email",
        template: "welcome", userID: UserID(.example(1)))
}

/// A message could not be delivered after every try.
package struct NotificationFailed: Event {
    package static let topic = Topic.notifications
    package static let name = "notification.failed"
    package static let summary = "A message could not be delivered after every try."

    package let notificationID: NotificationID
    package let channel: String
    package let template: String?
    package let reason: String

    package var aggregateID: String { notificationID.description }

    package init(notificationID: NotificationID, channel: String, template: String?, reason: String) {
        self.notificationID = notificationID
        self.channel = channel
        self.template = template
        self.reason = reason
    }

    package static let example = NotificationFailed(
        notificationID: NotificationID(.example(8)), channel: "email",
        template: "welcome", reason: "logout")
}
