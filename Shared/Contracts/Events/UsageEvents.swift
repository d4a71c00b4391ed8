package import Foundation

/// Something that costs was used.
package struct UsageRecorded: Event {
    package static let topic = Topic.usage
    package static let name = "usage.recorded"
    package static let summary = "Something that costs was used."

    package let meter: String
    package let quantity: Int
    package let subject: String
    package let occurredAt: Date

    package var aggregateID: String { subject }

    package init(meter: String, quantity: Int, subject: String, occurredAt: Date) {
        self.meter = meter
        self.quantity = quantity
        self.subject = subject
        self.occurredAt = occurredAt
    }

    package static let example = UsageRecorded(
        meter: "ai.tokens", quantity: 3,
        subject: "person:0197b1c0-0000-7000-8000-000000000001", occurredAt: .example)
}
