import Contracts
import Foundation

/// Who sent a batch, and how it came: the same for all that is in it.
struct Sender: Sendable {
    /// The signed-in person; an API key speaks for many people and so for none.
    let person: UserID?
    let userAgent: String?
    let network: ClientNetwork?
    let receivedAt: Date

    /// Characters of the user agent that are kept.
    static let userAgentLength = 512

    init(person: UserID?, userAgent: String?, network: ClientNetwork?, receivedAt: Date) {
        self.person = person
        self.userAgent = userAgent.map { String($0.unicodeScalars.prefix(Self.userAgentLength)) }
        self.network = network
        self.receivedAt = receivedAt
    }
}

/// When something may have happened. Late is welcome, since devices are offline for weeks; clocks that run far ahead are not.
enum OccurrenceWindow {
    /// 2000-01-01T00:00:00Z: earlier is a clock that was never set.
    static let earliest = Date(timeIntervalSince1970: 946_684_800)
    /// Seconds that a clock may run ahead of ours.
    static let tolerance: TimeInterval = 86_400

    static func problem(_ time: Date?, receivedAt: Date) -> TextProblem? {
        guard let time else { return nil }
        if time < earliest { return TextProblem("too-early", "must not be before \(Timestamp.text(earliest))") }
        if time > receivedAt.addingTimeInterval(tolerance) {
            return TextProblem("too-late", "must not be more than a day in the future")
        }
        return nil
    }
}

/// One event as it is sent.
struct EventDraft: Decodable, Sendable {
    let eventName: EventName
    let eventCategory: Label?
    let eventProperties: EventProperties?
    let url: PageAddress?
    let referrer: Referrer?
    let sessionId: SessionKey?
    let userId: UserID?
    let occurredAt: Date?
    let eventId: EventID?
}

/// One view of a page as it is sent.
struct PageViewDraft: Decodable, Sendable {
    let url: PageAddress
    let referrer: Referrer?
    let sessionId: SessionKey?
    let userId: UserID?
    let durationSeconds: ViewSeconds?
    let bounce: Bool?
    let occurredAt: Date?
    let eventId: EventID?
}

/// What events and page views have in common once they are taken.
struct Occurrence: Sendable {
    let id: EventID
    let userID: UserID?
    let sessionKey: String?
    let url: String?
    let referrer: String?
    let occurredAt: Date
}

extension EventDraft {
    /// Without an id of its own it gets one, without a time the time of arrival, without a person the one who sent it.
    func occurrence(from sender: Sender) -> Occurrence {
        Occurrence(
            id: eventId ?? .make(at: sender.receivedAt), userID: userId ?? sender.person, sessionKey: sessionId?.rawValue,
            url: url?.rawValue, referrer: referrer?.address, occurredAt: occurredAt ?? sender.receivedAt)
    }
}

extension PageViewDraft {
    func occurrence(from sender: Sender) -> Occurrence {
        Occurrence(
            id: eventId ?? .make(at: sender.receivedAt), userID: userId ?? sender.person, sessionKey: sessionId?.rawValue,
            url: url.rawValue, referrer: referrer?.address, occurredAt: occurredAt ?? sender.receivedAt)
    }
}
