import Contracts
import Foundation

/// One notification on its way over one channel: queued, then sent or failed.
struct Delivery: Sendable {
    let id: DeliveryID
    let notificationID: NotificationID
    let channel: Channel
    /// The address, or the person's id.
    let recipient: String
    let userID: UserID?
    let template: TemplateName?
    /// What a mail says; nil once its fate is known, and in the inbox, which has it itself.
    private(set) var message: Message?
    private(set) var status: DeliveryStatus
    /// Times it was tried, this one included.
    let attempts: Int
    private(set) var nextAttemptAt: Date
    private(set) var lastError: String?
    let createdAt: Date
    private(set) var finishedAt: Date?

    init(
        id: DeliveryID, notificationID: NotificationID, channel: Channel, recipient: String, userID: UserID?, template: TemplateName?,
        message: Message?, status: DeliveryStatus, attempts: Int, nextAttemptAt: Date, lastError: String?, createdAt: Date,
        finishedAt: Date?
    ) {
        self.id = id
        self.notificationID = notificationID
        self.channel = channel
        self.recipient = recipient
        self.userID = userID
        self.template = template
        self.message = message
        self.status = status
        self.attempts = attempts
        self.nextAttemptAt = nextAttemptAt
        self.lastError = lastError
        self.createdAt = createdAt
        self.finishedAt = finishedAt
    }

    static func mail(
        of notification: NotificationID, to email: EmailAddress, _ user: UserID?, _ message: Message, _ template: TemplateName?,
        at now: Date
    ) -> Delivery {
        Delivery(
            id: .make(at: now), notificationID: notification, channel: .email, recipient: email.rawValue, userID: user, template: template,
            message: message, status: .queued, attempts: 0, nextAttemptAt: now, lastError: nil, createdAt: now, finishedAt: nil)
    }

    static func inApp(of notification: NotificationID, to user: UserID, _ template: TemplateName?, at now: Date) -> Delivery {
        Delivery(
            id: .make(at: now), notificationID: notification, channel: .inApp, recipient: user.description, userID: user,
            template: template,
            message: nil, status: .sent, attempts: 1, nextAttemptAt: now, lastError: nil, createdAt: now, finishedAt: now)
    }

    /// The event of a delivery that has arrived.
    var delivered: NotificationDelivered {
        NotificationDelivered(notificationID: notificationID, channel: channel.rawValue, template: template?.rawValue, userID: userID)
    }

    mutating func succeed(at now: Date) -> NotificationDelivered {
        status = .sent
        finishedAt = now
        lastError = nil
        message = nil
        return delivered
    }

    /// Sets the next try, or gives up: then the event that says so. `jitter` is from 0 to 1.
    mutating func refuse(_ refusal: DeliveryRefusal, at now: Date, _ schedule: RetrySchedule, jitter: Double) -> NotificationFailed? {
        lastError = refusal.reason
        if !refusal.isFinal, let pause = schedule.pause(after: attempts, jitter: jitter) {
            nextAttemptAt = now.addingTimeInterval(pause)
            return nil
        }
        status = .failed
        finishedAt = now
        message = nil
        return NotificationFailed(
            notificationID: notificationID, channel: channel.rawValue, template: template?.rawValue, reason: refusal.reason)
    }
}

/// Why a channel did not take a message.
struct DeliveryRefusal: Error, Sendable, Equatable {
    static let maximumLength = 300

    /// For the sender of the notification: no address, no secret, one line.
    let reason: String
    /// Trying again will not help.
    let isFinal: Bool

    init(_ reason: String, isFinal: Bool) {
        // Mail servers like to repeat the address; events and logs must not.
        let words = reason.split { $0.isWhitespace || $0.unicodeScalars.contains { $0.properties.generalCategory == .control } }
        let line = words.map { $0.contains("@") ? "<address>" : String($0) }.joined(separator: " ")
        self.reason = String(line.prefix(Self.maximumLength))
        self.isFinal = isFinal
    }
}

/// When a delivery is tried again: each pause is four times the one before, up to six hours, and a tenth is left to chance,
/// so that what failed together is not tried together.
struct RetrySchedule: Sendable {
    static let growth = 4.0
    static let longest: TimeInterval = 6 * 3_600
    static let spread = 0.1
    /// The longest pause where somebody waits.
    static let longestInHurry: TimeInterval = 60

    /// Seconds before the second try.
    let first: TimeInterval
    let maxAttempts: Int

    /// Seconds until the next try; nil when there is none.
    func pause(after attempts: Int, jitter: Double, hurry: Bool = false) -> TimeInterval? {
        guard attempts < maxAttempts else { return nil }
        let pause = min(hurry ? Self.longestInHurry : Self.longest, first * pow(Self.growth, Double(max(0, attempts - 1))))
        return pause * (1 + Self.spread * jitter)
    }
}
