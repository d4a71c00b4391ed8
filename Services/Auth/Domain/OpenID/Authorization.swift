import Contracts
import Foundation

enum AuthorizationKind {}
enum GrantKind {}
/// One sign-in through a client.
typealias AuthorizationID = TypedID<AuthorizationKind>
/// What a person has allowed a client.
typealias GrantID = TypedID<GrantKind>

/// One sign-in through a client: first a code, then a session with its tokens.
struct Authorization: Sendable {
    /// Seconds in which a code must be redeemed (RFC 6749, section 4.1.2, says at most ten minutes).
    static let codeLifetime: TimeInterval = 60
    /// How long a code that nobody redeemed is remembered.
    static let codeMemory: TimeInterval = 3_600
    /// RFC 7636, section 4.1.
    static let verifierLengths = 43...128

    let id: AuthorizationID
    let client: ClientID
    let account: UserID
    let codeExpiresAt: Date
    let redirectURI: String
    let scopes: [OAuthScope]
    let nonce: String?
    let challenge: String
    let browser: BrowserReference
    let methods: [String]
    let authenticatedAt: Date
    let address: String?
    let userAgent: String?
    let createdAt: Date
    private(set) var session: SessionID?
    private(set) var redeemedAt: Date?
    private(set) var expiresAt: Date

    /// The browser that the person signed in with, by its session.
    struct BrowserReference: Sendable, Hashable {
        let tenant: TenantID
        let session: SessionID
    }

    /// Read from the store.
    init(
        id: AuthorizationID, client: ClientID, account: UserID, codeExpiresAt: Date, redirectURI: String, scopes: [OAuthScope],
        nonce: String?, challenge: String, browser: BrowserReference, methods: [String], authenticatedAt: Date, address: String?,
        userAgent: String?, createdAt: Date, session: SessionID?, redeemedAt: Date?, expiresAt: Date
    ) {
        self.id = id
        self.client = client
        self.account = account
        self.codeExpiresAt = codeExpiresAt
        self.redirectURI = redirectURI
        self.scopes = scopes
        self.nonce = nonce
        self.challenge = challenge
        self.browser = browser
        self.methods = methods
        self.authenticatedAt = authenticatedAt
        self.address = address
        self.userAgent = userAgent
        self.createdAt = createdAt
        self.session = session
        self.redeemedAt = redeemedAt
        self.expiresAt = expiresAt
    }

    /// What a code stands for, once the person has signed in and allowed it.
    static func give(
        _ request: AuthorizationRequest, to account: UserID, browser: BrowserReference, methods: [String], authenticatedAt: Date,
        address: String?, userAgent: String?, at now: Date
    ) -> Authorization {
        Authorization(
            id: .make(at: now), client: request.client, account: account, codeExpiresAt: now.addingTimeInterval(codeLifetime),
            redirectURI: request.redirectURI, scopes: request.grantedScopes, nonce: request.nonce, challenge: request.challenge,
            browser: browser, methods: methods, authenticatedAt: authenticatedAt, address: address, userAgent: userAgent, createdAt: now,
            session: nil, redeemedAt: nil, expiresAt: now.addingTimeInterval(codeMemory))
    }

    /// Whether this client may redeem the code: it is the client's own, not too old, and the verifier is the one that was hashed.
    func mayRedeem(client: ClientID, redirectURI: String?, challengeOfVerifier: String, at now: Date) -> Bool {
        self.client == client && codeExpiresAt > now && self.redirectURI == redirectURI && challenge == challengeOfVerifier
    }

    mutating func redeem(into session: SessionID, until end: Date, at now: Date) {
        self.session = session
        redeemedAt = now
        expiresAt = end
    }

    mutating func prolong(until end: Date) { expiresAt = end }

    var isOpenID: Bool { scopes.contains(.openid) }
    var isOffline: Bool { scopes.contains(.offlineAccess) }
}

/// What a person has allowed a client, until they withdraw it.
struct Grant: Sendable {
    let id: GrantID
    let client: ClientID
    let clientName: String
    let scopes: [OAuthScope]
    let createdAt: Date
    let lastUsedAt: Date
}
