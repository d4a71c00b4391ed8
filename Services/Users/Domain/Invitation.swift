import Contracts
import Foundation

/// Somebody is asked to join an organization. Until they do they stand among its people as invited, and hold a seat.
struct Invitation: Sendable, Equatable {
    enum Status: String, Sendable, Codable, CaseIterable {
        case pending, accepted, declined, revoked
    }

    /// What a client is shown: an open invitation whose time is over has expired.
    enum State: String, Sendable, Codable, CaseIterable {
        case pending, accepted, declined, revoked, expired
    }

    /// Seconds between two letters of one invitation.
    static let resendPause: TimeInterval = 60
    static let sendLimit = 10
    /// Letters of one organization in 24 hours: nobody floods strangers through us. Its seats come on top.
    static let dailyLimit = 200

    let id: InvitationID
    /// The invited person's row; the account that joins may turn out to have another id.
    let user: UserID
    let email: EmailAddress
    let role: RoleName
    let message: InvitationMessage?
    private(set) var digest: Data
    private(set) var status: Status
    let invitedBy: UserID?
    let createdAt: Date
    private(set) var expiresAt: Date
    private(set) var sentAt: Date
    private(set) var sends: Int
    private(set) var settledAt: Date?

    init(
        id: InvitationID, user: UserID, email: EmailAddress, role: RoleName, message: InvitationMessage?, digest: Data, status: Status,
        invitedBy: UserID?, createdAt: Date, expiresAt: Date, sentAt: Date, sends: Int, settledAt: Date?
    ) {
        self.id = id
        self.user = user
        self.email = email
        self.role = role
        self.message = message
        self.digest = digest
        self.status = status
        self.invitedBy = invitedBy
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.sentAt = sentAt
        self.sends = sends
        self.settledAt = settledAt
    }

    init(
        new id: InvitationID, of person: Person, message: InvitationMessage?, digest: Data, by inviter: UserID?, at now: Date,
        lifetime: TimeInterval
    ) {
        self.init(
            id: id, user: person.id, email: person.email, role: person.role, message: message, digest: digest, status: .pending,
            invitedBy: inviter, createdAt: now, expiresAt: now.addingTimeInterval(lifetime), sentAt: now, sends: 1, settledAt: nil)
    }

    var sent: InvitationSent {
        InvitationSent(invitationID: id, email: email.rawValue, role: role.rawValue, expiresAt: expiresAt)
    }

    func state(at now: Date) -> State {
        switch status {
        case .pending: expiresAt > now ? .pending : .expired
        case .accepted: .accepted
        case .declined: .declined
        case .revoked: .revoked
        }
    }

    /// Throws unless it can be taken now.
    func requireOpen(at now: Date) throws(InvitationFailure) {
        switch state(at: now) {
        case .pending: return
        case .expired: throw .expired
        // Whoever holds an old letter learns no more than that it is worth nothing.
        case .accepted, .declined, .revoked: throw .notFound
        }
    }

    mutating func settle(_ outcome: Status, at now: Date) {
        status = outcome
        settledAt = now
    }

    /// A new token, a new time; the letter sent before is worth nothing any more.
    mutating func resend(digest: Data, at now: Date, lifetime: TimeInterval) throws(InvitationFailure) -> InvitationSent {
        guard status == .pending else { throw .settled }
        guard sends < Self.sendLimit else { throw .sentTooOften }
        let pause = sentAt.addingTimeInterval(Self.resendPause).timeIntervalSince(now)
        guard pause <= 0 else { throw .tooSoon(Int(pause.rounded(.up))) }
        self.digest = digest
        sentAt = now
        expiresAt = now.addingTimeInterval(lifetime)
        sends += 1
        return sent
    }
}

/// A few words of the inviter's own, without a link: a letter from us must not carry a stranger's.
struct InvitationMessage: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let limit = 500
    static var schema: Schema { .string(maxLength: 500) }
    static func check(_ text: String) throws(TextProblem) -> String {
        guard text.unicodeScalars.count <= limit else { throw TextProblem("too-long", "must have at most \(limit) characters") }
        let plain = try ShortText.check(text)
        guard !plain.contains("://"), !plain.lowercased().contains("www.") else {
            throw TextProblem("link", "must not have a link in it: the letter has the one that counts")
        }
        return plain
    }
}

enum InvitationFailure: Failure, Equatable {
    case notFound, expired, settled, sentTooOften, alreadyInvited, alreadyMember, otherAddress
    case tooSoon(Int)
    case tooMany

    var code: String {
        switch self {
        case .notFound: "invitation-not-found"
        case .expired: "invitation-expired"
        case .settled: "invitation-settled"
        case .sentTooOften: "invitation-sent-too-often"
        case .alreadyInvited: "already-invited"
        case .alreadyMember: "already-member"
        case .otherAddress: "invitation-of-another-address"
        case .tooSoon: "too-soon"
        case .tooMany: "too-many-invitations"
        }
    }

    var kind: FailureKind {
        switch self {
        case .notFound: .notFound
        case .expired: .gone
        case .settled, .sentTooOften, .alreadyInvited, .alreadyMember: .conflict
        case .otherAddress: .forbidden
        case .tooSoon(let seconds): .limited(retryAfter: seconds)
        case .tooMany: .limited(retryAfter: 3_600)
        }
    }

    var detail: String? {
        switch self {
        case .notFound: "There is no open invitation of this token: ask for a new one."
        case .expired: "This invitation has expired: ask for a new one."
        case .settled: "This invitation was accepted, declined or revoked."
        case .sentTooOften: "This invitation was sent \(Invitation.sendLimit) times: revoke it and make another."
        case .alreadyInvited: "This person is invited: send the invitation again, or revoke it."
        case .alreadyMember: "This person is a member."
        case .otherAddress: "This invitation is for another e-mail address than that of your account."
        case .tooSoon: "The last letter was sent a moment ago."
        case .tooMany: "The organization has sent many invitations today: go on tomorrow."
        }
    }
}
