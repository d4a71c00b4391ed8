package import Foundation

/// A customer recorded an event of their own.
package struct EventCollected: Event {
    package static let topic = Topic.analyticsIngest
    package static let name = "event.collected"
    package static let summary = "A customer recorded an event of their own."

    package let eventID: EventID
    package let eventName: String
    package let eventCategory: String?
    package let eventProperties: [String: JSONValue]
    package let url: String?
    package let referrer: String?
    package let sessionKey: String?
    package let userID: UserID?
    package let userAgent: String?
    package let occurredAt: Date

    package var aggregateID: String { sessionKey ?? eventID.description }

    package init(
        eventID: EventID, eventName: String, eventCategory: String?, eventProperties: [String: JSONValue], url: String?,
        referrer: String?, sessionKey: String?, userID: UserID?, userAgent: String?, occurredAt: Date
    ) {
        self.eventID = eventID
        self.eventName = eventName
        self.eventCategory = eventCategory
        self.eventProperties = eventProperties
        self.url = url
        self.referrer = referrer
        self.sessionKey = sessionKey
        self.userID = userID
        self.userAgent = userAgent
        self.occurredAt = occurredAt
    }

    package static let example = EventCollected(
        eventID: EventID(.example(10)), eventName: "report.opened", eventCategory: "reports",
        eventProperties: ["plan": .string("pro"), "seats": .integer(3)],
        url: "https://example.org/reports", referrer: "https://example.org/", sessionKey: "s-123", userID: UserID(.example(1)),
        userAgent: "Mozilla/5.0", occurredAt: .example)
}

/// Somebody looked at a page.
package struct PageViewed: Event {
    package static let topic = Topic.analyticsIngest
    package static let name = "page.viewed"
    package static let summary = "Somebody looked at a page."

    package let eventID: EventID
    package let url: String
    package let referrer: String?
    package let sessionKey: String?
    package let userID: UserID?
    package let userAgent: String?
    package let durationSeconds: Int?
    package let occurredAt: Date

    package var aggregateID: String { sessionKey ?? eventID.description }

    package init(
        eventID: EventID, url: String, referrer: String?, sessionKey: String?,
        userID: UserID?, userAgent: String?, durationSeconds: Int?, occurredAt: Date
    ) {
        self.eventID = eventID
        self.url = url
        self.referrer = referrer
        self.sessionKey = sessionKey
        self.userID = userID
        self.userAgent = userAgent
        self.durationSeconds = durationSeconds
        self.occurredAt = occurredAt
    }

    package static let example = PageViewed(
        eventID: EventID(.example(10)), url: "https://example.org/reports", referrer: "https://example.org/",
        sessionKey: "s-123", userID: UserID(.example(1)), userAgent: "Mozilla/5.0",
        durationSeconds: 3, occurredAt: .example)
}
