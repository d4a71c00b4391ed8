import Contracts
import Foundation

/// Who sent a batch, and how it came: the same for all that is in it.
struct Sender: Sendable {
    /// The signed-in person; an API key speaks for many people and so for none.
    let person: UserID?
    let userAgent: String?
    let network: ClientNetwork?
    /// Address and browser under the day's salt; nil by setting, and for servers, which are not visitors.
    let visitor: UUID?
    let device: Device?
    let location: Location?
    let isBot: Bool
    /// They asked not to be followed (`DNT`, `Sec-GPC`): what is kept names nobody and ties nothing together.
    let isUnnamed: Bool
    let receivedAt: Date

    /// Characters of the user agent that are kept.
    static let userAgentLength = 512

    init(
        person: UserID?, userAgent: String?, network: ClientNetwork?, visitor: UUID?, device: Device?, location: Location?, isBot: Bool,
        isUnnamed: Bool, receivedAt: Date
    ) {
        self.person = isUnnamed ? nil : person
        self.userAgent = isUnnamed ? nil : userAgent.map { String($0.unicodeScalars.prefix(Self.userAgentLength)) }
        self.network = isUnnamed ? nil : network
        self.visitor = isUnnamed ? nil : visitor
        self.device = isUnnamed ? device?.withoutVersions : device
        self.location = isUnnamed ? location?.coarse : location
        self.isBot = isBot
        self.isUnnamed = isUnnamed
        self.receivedAt = receivedAt
    }
}

/// By how much a client's clock is wrong: told from when it says that it sent a call, and when the call came.
struct ClockSkew: Sendable, Equatable {
    /// Seconds that a call may well be on its way; nothing is corrected for less.
    static let tolerance: TimeInterval = 30

    /// What is added to the client's times.
    let correction: TimeInterval

    static let none = ClockSkew(correction: 0)

    private init(correction: TimeInterval) { self.correction = correction }

    init(sentAt: Date?, receivedAt: Date) {
        let difference = sentAt.map { receivedAt.timeIntervalSince($0) } ?? 0
        correction = abs(difference) > Self.tolerance ? difference : 0
    }

    func corrected(_ time: Date) -> Date { correction == 0 ? time : time.addingTimeInterval(correction) }
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
    /// The client's clock when it sent the call; beside the list when there is one.
    let sentAt: Date?
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
    /// The client's clock when it sent the call; beside the list when there is one.
    let sentAt: Date?
}

/// What events and page views have in common once they are taken.
struct Occurrence: Sendable {
    let id: EventID
    let userID: UserID?
    let sessionKey: String?
    let url: String?
    let path: String?
    let referrer: String?
    let referrerHost: String?
    let occurredAt: Date

    /// Without an id of its own it gets one, without a time the time of arrival, without a person the one who sent it. Of a list without
    /// times each is a microsecond after the one before, so that they stay in the order in which they were sent.
    fileprivate init(
        id: EventID?, userID: UserID?, session: SessionKey?, url: PageAddress?, referrer: Referrer?, occurredAt: Date?, sender: Sender,
        skew: ClockSkew, place: Int
    ) {
        self.id = id ?? .make(at: sender.receivedAt)
        self.userID = sender.isUnnamed ? nil : userID ?? sender.person
        sessionKey = sender.isUnnamed ? nil : session?.rawValue
        path = url?.path
        // Queries carry names, searches and tokens of campaigns.
        self.url = sender.isUnnamed ? url?.path : url?.rawValue
        self.referrer = sender.isUnnamed ? nil : referrer?.address
        referrerHost = referrer?.host
        // From a whole microsecond on, as the database keeps it: from between two, some would be rounded to the same one.
        let arrival = (sender.receivedAt.timeIntervalSince1970 * 1_000_000).rounded()
        self.occurredAt = occurredAt.map(skew.corrected) ?? Date(timeIntervalSince1970: (arrival + Double(place)) / 1_000_000)
    }
}

extension EventDraft {
    func occurrence(from sender: Sender, _ skew: ClockSkew, place: Int) -> Occurrence {
        Occurrence(
            id: eventId, userID: userId, session: sessionId, url: url, referrer: referrer, occurredAt: occurredAt, sender: sender,
            skew: skew, place: place)
    }
}

extension PageViewDraft {
    func occurrence(from sender: Sender, _ skew: ClockSkew, place: Int) -> Occurrence {
        Occurrence(
            id: eventId, userID: userId, session: sessionId, url: url, referrer: referrer, occurredAt: occurredAt, sender: sender,
            skew: skew, place: place)
    }
}
