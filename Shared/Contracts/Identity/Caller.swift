package import Foundation

/// Who asks, for which organization, with which rights. Made from a verified token, never from a header.
package struct Caller: Sendable, Hashable {
    package enum Principal: Sendable, Hashable {
        case person(UserID)
        case apiKey(APIKeyID, owner: UserID)
        /// An OAuth client that acts for its organization, with no person behind it (client credentials, RFC 6749 section 4.4).
        case client(ClientID)
        /// Another program of the platform, or this one working on its own (a consumer, a worker).
        case service(ServiceName)
        /// Nobody has signed in: registration, sign-in.
        case anonymous
    }

    package let principal: Principal
    /// The organization whose rows this caller may see. `TenantID.platform` before there is one.
    package let tenant: TenantID
    package let roles: [String]
    package let permissions: PermissionSet
    package let session: SessionID?
    /// The organization's plan, for limits.
    package let plan: String?
    /// How the person proved who they are (RFC 8176): the token's `amr`.
    package let methods: [String]
    /// When the person last did so: the token's `auth_time`. Nil for keys, clients and programs, which prove nothing anew.
    package let authenticatedAt: Date?
    /// When the token was signed.
    package let issuedAt: Date?
    /// The platform admin who acts as this person (RFC 8693: the token's `act`).
    package let impersonator: UserID?
    /// The OAuth client that the token was given to (RFC 9068). For a person it may do what its scopes name, and nothing that is the
    /// person's alone.
    package let client: ClientID?

    package init(
        _ principal: Principal, tenant: TenantID, roles: [String] = [], permissions: PermissionSet = [],
        session: SessionID? = nil, plan: String? = nil, methods: [String] = [], authenticatedAt: Date? = nil, issuedAt: Date? = nil,
        impersonator: UserID? = nil, client: ClientID? = nil
    ) {
        self.principal = principal
        self.tenant = tenant
        self.roles = roles
        self.permissions = permissions
        self.session = session
        self.plan = plan
        self.methods = methods
        self.authenticatedAt = authenticatedAt
        self.issuedAt = issuedAt
        self.impersonator = impersonator
        self.client = client
    }

    /// A program acting for one organization: consumers of its events and workers on its rows.
    package static func service(_ name: ServiceName, for tenant: TenantID) -> Caller {
        Caller(.service(name), tenant: tenant, permissions: ["*"])
    }

    /// Nobody, inside one organization or outside any.
    package static func anonymous(in tenant: TenantID = .platform) -> Caller { Caller(.anonymous, tenant: tenant) }

    /// The person behind the call: the signed-in one, or the owner of the API key.
    package var user: UserID? {
        switch principal {
        case .person(let id), .apiKey(_, let id): id
        case .client, .service, .anonymous: nil
        }
    }

    /// `person:<id>`, `key:<id>`, `client:<id>`, `service:<name>` or `anonymous`: one text for limits, idempotency and audit.
    package var principalText: String {
        switch principal {
        case .person(let id): "person:\(id)"
        case .apiKey(let id, _): "key:\(id)"
        case .client(let id): "client:\(id)"
        case .service(let name): "service:\(name.rawValue)"
        case .anonymous: "anonymous"
        }
    }

    package func may(_ permission: Permission) -> Bool { permissions.allows(permission) }

    /// For rules that depend on more than the endpoint, such as seeing drafts of others.
    package func require(_ permission: Permission) throws(AccessFailure) {
        guard may(permission) else { throw .missingPermission(permission) }
    }
}

/// Refusals of identity and rights.
package enum AccessFailure: Failure, Equatable {
    case notSignedIn
    case badToken
    case expiredToken
    case revokedSession
    case missingPermission(Permission)
    case serviceOnly
    /// An API key that is unknown, expired or revoked.
    case badAPIKey
    /// The person must prove who they are again, at most `maxAge` seconds before the call (RFC 9470).
    case authenticationTooOld(maxAge: Int)
    /// The organization demands a second factor, and this session had none.
    case secondFactorRequired
    /// Keys, clients and impersonators may not do this: the person must.
    case personOnly
    case superadminOnly

    package var code: String {
        switch self {
        case .notSignedIn: "not-signed-in"
        case .badToken: "bad-token"
        case .expiredToken: "expired-token"
        case .revokedSession: "revoked-session"
        case .missingPermission: "missing-permission"
        case .serviceOnly: "service-only"
        case .badAPIKey: "bad-api-key"
        case .authenticationTooOld: "insufficient-user-authentication"
        case .secondFactorRequired: "second-factor-required"
        case .personOnly: "person-only"
        case .superadminOnly: "superadmin-only"
        }
    }

    package var kind: FailureKind {
        switch self {
        case .notSignedIn, .badToken, .expiredToken, .revokedSession, .badAPIKey, .authenticationTooOld: .unauthenticated
        case .missingPermission, .serviceOnly, .secondFactorRequired, .personOnly, .superadminOnly: .forbidden
        }
    }

    package var detail: String? {
        switch self {
        case .notSignedIn: "Sign in and send the access token as Authorization: Bearer."
        case .badToken: "The access token is not one of ours."
        case .expiredToken: "The access token has expired: refresh it."
        case .revokedSession: "This session has ended: sign in again."
        case .missingPermission(let permission): "This needs the permission \(permission)."
        case .serviceOnly: "Only the platform's own programs may call this."
        case .badAPIKey: "This API key is unknown, expired or revoked."
        case .authenticationTooOld(let maxAge):
            "Prove who you are again: POST /api/v1/auth/step-up gives a token that is good for this for \(maxAge / 60) minutes."
        case .secondFactorRequired: "This organization demands a second factor: set one up, then sign in again."
        case .personOnly: "Only the person themselves may do this, with a token of their own."
        case .superadminOnly: "Only an administrator of the platform may do this."
        }
    }
}

/// The nine programs. The name is the folder, executable, schema, role, topic and metrics prefix.
package struct ServiceName: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
    package var description: String { rawValue }

    package static let gateway = ServiceName(rawValue: "gateway")
    package static let auth = ServiceName(rawValue: "auth")
    package static let users = ServiceName(rawValue: "users")
    package static let content = ServiceName(rawValue: "content")
    package static let assistant = ServiceName(rawValue: "assistant")
    package static let analytics = ServiceName(rawValue: "analytics")
    package static let notifications = ServiceName(rawValue: "notifications")
    package static let files = ServiceName(rawValue: "files")
    package static let search = ServiceName(rawValue: "search")
}
