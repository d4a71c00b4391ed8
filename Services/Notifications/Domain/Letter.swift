import Contracts
import Foundation

enum LetterKind {}
/// One letter. Its Message-ID is made from it, and events name it as their notification.
typealias LetterID = TypedID<LetterKind>

/// How letters travel.
typealias LetterChannel = LetterRequest.Channel

/// To whom a letter goes and what it says: sealed wherever it rests, and never in a log, an event or an answer.
struct LetterContent: Codable, Sendable, Equatable {
    /// An e-mail address, or a telephone number in E.164.
    let to: String
    /// Empty for a short message.
    let subject: String
    let text: String
    /// Nil for a short message.
    let html: String?

    static func mail(to address: EmailAddress, _ message: Message) -> LetterContent {
        LetterContent(to: address.rawValue, subject: message.subject, text: message.text, html: message.html)
    }

    static func shortMessage(to number: PhoneNumber, _ text: String) -> LetterContent {
        LetterContent(to: number.rawValue, subject: "", text: text, html: nil)
    }

    /// What the seal is bound to: a sealed text that is put into another row cannot be opened.
    static func sealContext(_ id: LetterID, _ tenant: TenantID) -> String { "letter/\(tenant)/\(id)" }
}

/// A letter on its way: queued, then sent or failed.
struct Letter: Sendable {
    let id: LetterID
    /// `TenantID.platform` for the platform's own.
    let tenant: TenantID
    let channel: LetterChannel
    let template: String
    let isUrgent: Bool
    /// Nil once its fate is known.
    private(set) var sealed: Data?
    private(set) var status: DeliveryStatus
    /// Times it was tried, this one included.
    let attempts: Int
    private(set) var nextAttemptAt: Date
    /// Whether it may have gone out already, as far as anybody knows.
    private(set) var isInDoubt: Bool
    let expiresAt: Date?
    private(set) var lastError: String?
    let createdAt: Date
    private(set) var finishedAt: Date?

    init(
        id: LetterID, tenant: TenantID, channel: LetterChannel, template: String, isUrgent: Bool, sealed: Data?, status: DeliveryStatus,
        attempts: Int, nextAttemptAt: Date, isInDoubt: Bool, expiresAt: Date?, lastError: String?, createdAt: Date, finishedAt: Date?
    ) {
        self.id = id
        self.tenant = tenant
        self.channel = channel
        self.template = template
        self.isUrgent = isUrgent
        self.sealed = sealed
        self.status = status
        self.attempts = attempts
        self.nextAttemptAt = nextAttemptAt
        self.isInDoubt = isInDoubt
        self.expiresAt = expiresAt
        self.lastError = lastError
        self.createdAt = createdAt
        self.finishedAt = finishedAt
    }

    static func queued(
        _ id: LetterID, for tenant: TenantID, _ channel: LetterChannel, _ template: LetterTemplate, sealed: Data, expires: Date?,
        at now: Date
    ) -> Letter {
        Letter(
            id: id, tenant: tenant, channel: channel, template: template.rawValue, isUrgent: template.isUrgent, sealed: sealed,
            status: .queued, attempts: 0, nextAttemptAt: now, isInDoubt: false, expiresAt: expires, lastError: nil, createdAt: now,
            finishedAt: nil)
    }

    func isExpired(at now: Date) -> Bool { expiresAt.map { $0 <= now } ?? false }

    mutating func succeed(at now: Date) -> NotificationDelivered {
        finish(.sent, at: now)
        lastError = nil
        return NotificationDelivered(notificationID: notificationID, channel: channel.rawValue, template: template, userID: nil)
    }

    /// Sets the next try, or gives up: then the event that says so. Gives up, too, when the letter will be too old by then.
    mutating func refuse(
        _ refusal: DeliveryRefusal, inDoubt: Bool, at now: Date, _ schedule: RetrySchedule, jitter: Double
    ) -> NotificationFailed? {
        lastError = refusal.reason
        isInDoubt = inDoubt
        if !refusal.isFinal, let pause = schedule.pause(after: attempts, jitter: jitter, hurry: isUrgent) {
            let next = now.addingTimeInterval(pause)
            if !isExpired(at: next) {
                nextAttemptAt = next
                return nil
            }
        }
        finish(.failed, at: now)
        return NotificationFailed(notificationID: notificationID, channel: channel.rawValue, template: template, reason: refusal.reason)
    }

    private mutating func finish(_ status: DeliveryStatus, at now: Date) {
        self.status = status
        finishedAt = now
        sealed = nil
        isInDoubt = false
    }

    private var notificationID: NotificationID { NotificationID(id.uuid) }
}

/// What became of one try to hand a letter over.
enum CarryOutcome: Sendable, Equatable {
    case taken
    case refused(DeliveryRefusal)
    /// It cannot be told whether the letter went out; the reason is fit for logs.
    case unknown(String)
}

/// A channel that carries letters: mail or short messages.
protocol LetterCarrier: Sendable {
    func start()
    func stop()
    /// `inDoubt`: an earlier try may have got through, and a carrier that cannot be trusted to deliver the same letter once looks first.
    func carry(_ content: LetterContent, of letter: Letter, inDoubt: Bool) async -> CarryOutcome
}

/// A telephone number in E.164: `+`, then 7 to 15 digits of which the first is not 0. Spaces, hyphens, dots and brackets are left out.
struct PhoneNumber: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let digits = 7...15
    static var schema: Schema { .string(pattern: "^\\+[1-9][0-9]{6,14}$") }

    static func check(_ text: String) throws(TextProblem) -> String {
        let number = text.filter { !" -.()\u{A0}".contains($0) }
        let digits = number.utf8.dropFirst()
        guard number.first == "+", Self.digits.contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }),
            digits.first != UInt8(ascii: "0")
        else { throw TextProblem("invalid-number", "must be a telephone number in international form such as +4930123456") }
        return number
    }
}

/// Why a letter is not taken.
enum LetterFailure: String, Failure {
    case noSMS = "sms-not-configured"

    var kind: FailureKind { .unprocessable }
    var detail: String? {
        "This platform has no provider of short messages: set TRIONEX_SMS_URL, _ACCOUNT, _TOKEN and _FROM for notifications."
    }
}
