import Contracts
import Foundation

/// A sign-in on one device, in one organization, with its family of refresh tokens.
struct Session: Sendable {
    enum EndReason: String, Sendable {
        case logout
        /// A spent refresh token was shown again: somebody has a copy.
        case refreshTokenReused = "refresh-token-reused"
        /// The person is no longer an active member of the organization.
        case membershipEnded = "membership-ended"
    }

    static let maximumUserAgentLength = 512
    static let maximumAddressLength = 64

    let id: SessionID
    let account: UserID
    /// How the person proved who they are (RFC 8176), for the token's `amr`.
    let methods: [String]
    let address: String?
    let userAgent: String?
    let createdAt: Date
    private(set) var lastUsedAt: Date
    private(set) var expiresAt: Date
    private(set) var revokedAt: Date?
    private(set) var endReason: EndReason?

    init(
        id: SessionID, account: UserID, methods: [String], address: String?, userAgent: String?, createdAt: Date, lastUsedAt: Date,
        expiresAt: Date, revokedAt: Date?
    ) {
        self.id = id
        self.account = account
        self.methods = methods
        self.address = address
        self.userAgent = userAgent
        self.createdAt = createdAt
        self.lastUsedAt = lastUsedAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
    }

    static func open(
        for account: UserID, methods: [String], address: String?, userAgent: String?, at now: Date, lifetime: TimeInterval
    ) -> (Session, UserLoggedIn) {
        let session = Session(
            id: .make(at: now), account: account, methods: methods, address: address.map { String($0.prefix(maximumAddressLength)) },
            userAgent: userAgent.map { String($0.prefix(maximumUserAgentLength)) }, createdAt: now, lastUsedAt: now,
            expiresAt: now.addingTimeInterval(lifetime), revokedAt: nil)
        return (
            session,
            UserLoggedIn(userID: account, sessionID: session.id, address: session.address, userAgent: session.userAgent)
        )
    }

    func isLive(at now: Date) -> Bool { revokedAt == nil && expiresAt > now }

    /// A refresh: the session goes on for another lifetime.
    mutating func use(at now: Date, lifetime: TimeInterval) throws(SessionFailure) {
        guard isLive(at: now) else { throw .ended }
        lastUsedAt = now
        expiresAt = now.addingTimeInterval(lifetime)
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
