import Contracts

/// How a notification reaches somebody.
enum Channel: String, Codable, Sendable, CaseIterable {
    case email, inApp
}

/// What has become of one delivery.
enum DeliveryStatus: String, Codable, Sendable, CaseIterable {
    case queued, sent, failed
}

enum DeliveryKind {}
/// One notification on its way over one channel. The Message-ID of a mail is made from it.
typealias DeliveryID = TypedID<DeliveryKind>
