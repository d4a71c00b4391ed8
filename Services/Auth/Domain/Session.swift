import Contracts
import Foundation

/// How long a session lives.
struct SessionLife: Sendable, Equatable {
    /// Without being used.
    let idle: TimeInterval
    /// However much it is used.
    let absolute: TimeInterval
}

/// What a session comes of. One that waited for a second factor, or that is made from another, is no younger than what it comes of.
struct SessionOrigin: Sendable, Equatable {
    /// When the sign-in began: its first factor.
    let begunAt: Date
    /// The end of the absolute life that it shares with another; nil: a life of its own.
    var endsAt: Date?

    /// That of a session made from this one.
    static func of(_ parent: Session, life: SessionLife) -> SessionOrigin {
        SessionOrigin(begunAt: parent.begunAt, endsAt: parent.endsAt ?? parent.createdAt.addingTimeInterval(life.absolute))
    }
}

/// A sign-in on one device, in one organization, with its family of refresh tokens.
struct Session: Sendable {
    enum EndReason: String, Sendable {
        case logout
        /// A spent refresh token was shown again: somebody has a copy.
        case refreshTokenReused = "refresh-token-reused"
        /// The person is no longer an active member of the organization.
        case membershipEnded = "membership-ended"
        /// The person ended it from another device.
        case ended
        case passwordChanged = "password-changed"
        case passwordReset = "password-reset"
        /// An authorization code was shown twice: somebody has a copy.
        case codeReplayed = "code-replayed"
        /// The client gave its tokens back.
        case revokedByClient = "revoked-by-client"
        /// The person no longer allows the client what it was for.
        case grantWithdrawn = "grant-withdrawn"
        /// The client that it was for is no longer registered.
        case clientRemoved = "client-removed"

        /// Somebody has a copy of what only one should have.
        var isAlarming: Bool { self == .refreshTokenReused || self == .codeReplayed }
    }

    static let maximumUserAgentLength = 512
    static let maximumAddressLength = 64

    let id: SessionID
    let account: UserID
    /// How the person proved who they are (RFC 8176), for the token's `amr`.
    private(set) var methods: [String]
    let address: String?
    let userAgent: String?
    let device: String?
    /// 0 to 1, when it was opened.
    let risk: Double
    let createdAt: Date
    /// When the sign-in began that it comes of: a change of password ends what was begun before.
    let begunAt: Date
    /// When the person last proved who they are: the token's `auth_time`.
    private(set) var authenticatedAt: Date
    /// The end of its absolute life; nil for one that was opened when there was none.
    let endsAt: Date?
    /// The platform admin who acts as the person in it.
    let impersonation: Impersonation?
    private(set) var lastUsedAt: Date
    private(set) var expiresAt: Date
    private(set) var revokedAt: Date?
    private(set) var endReason: EndReason?

    init(
        id: SessionID, account: UserID, methods: [String], address: String?, userAgent: String?, device: String? = nil, risk: Double = 0,
        createdAt: Date, begunAt: Date? = nil, authenticatedAt: Date? = nil, endsAt: Date? = nil, lastUsedAt: Date, expiresAt: Date,
        revokedAt: Date?,
        impersonation: Impersonation? = nil
    ) {
        self.id = id
        self.account = account
        self.methods = methods
        self.address = address
        self.userAgent = userAgent
        self.device = device
        self.risk = risk
        self.createdAt = createdAt
        self.begunAt = begunAt ?? createdAt
        self.authenticatedAt = authenticatedAt ?? createdAt
        self.endsAt = endsAt
        self.impersonation = impersonation
        self.lastUsedAt = lastUsedAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
    }

    /// - Parameters:
    ///   - authenticatedAt: when the person proved who they are; nil: just now.
    ///   - origin: what it comes of; nil: it begins just now.
    static func open(
        for account: UserID, methods: [String], address: String?, userAgent: String?, risk: Double = 0, authenticatedAt: Date? = nil,
        origin: SessionOrigin? = nil, at now: Date, life: SessionLife
    ) -> (Session, UserLoggedIn) {
        let longest = now.addingTimeInterval(life.absolute)
        let endsAt = min(longest, origin?.endsAt ?? longest)
        let session = Session(
            id: .make(at: now), account: account, methods: methods, address: address.map { String($0.prefix(maximumAddressLength)) },
            userAgent: userAgent.map { String($0.prefix(maximumUserAgentLength)) }, device: DeviceName(userAgent).description, risk: risk,
            createdAt: now, begunAt: origin?.begunAt, authenticatedAt: authenticatedAt, endsAt: endsAt, lastUsedAt: now,
            expiresAt: min(now.addingTimeInterval(life.idle), endsAt), revokedAt: nil)
        return (
            session,
            UserLoggedIn(userID: account, sessionID: session.id, address: session.address, userAgent: session.userAgent)
        )
    }

    func isLive(at now: Date) -> Bool { revokedAt == nil && expiresAt > now }

    /// A refresh: the session may rest again, but its life as a whole grows no longer.
    mutating func use(at now: Date, life: SessionLife) throws(SessionFailure) {
        guard isLive(at: now) else { throw .ended }
        lastUsedAt = now
        expiresAt = min(now.addingTimeInterval(life.idle), endsAt ?? createdAt.addingTimeInterval(life.absolute))
    }

    /// The person has proved who they are once more, perhaps by further means.
    mutating func authenticate(by added: [String], at now: Date) throws(SessionFailure) {
        guard isLive(at: now) else { throw .ended }
        methods += added.filter { !methods.contains($0) }
        authenticatedAt = now
    }

    /// Nil when it had ended before: ending twice is announced once.
    mutating func end(_ reason: EndReason, at now: Date) -> SessionRevoked? {
        guard isLive(at: now) else { return nil }
        revokedAt = now
        endReason = reason
        return SessionRevoked(sessionID: id, userID: account, reason: reason.rawValue)
    }
}

enum SessionFailure: String, Failure {
    /// One refusal for tokens that are unknown, spent, expired, or of a session that has ended.
    case badRefreshToken = "invalid-refresh-token"
    case ended = "revoked-session"

    var kind: FailureKind { .unauthenticated }

    var detail: String? {
        switch self {
        case .badRefreshToken: "This refresh token is not valid, or no longer: sign in again."
        case .ended: "This session has ended: sign in again."
        }
    }
}
