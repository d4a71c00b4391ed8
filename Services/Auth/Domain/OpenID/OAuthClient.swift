import Contracts
import Foundation

/// A program of somebody else's that people of one organization may sign in to, or that acts for the organization itself.
struct OAuthClient: Sendable {
    enum Kind: String, Codable, Sendable, CaseIterable {
        /// It runs where a secret is safe.
        case confidential
        /// In a browser or on a device: it has no secret, and PKCE stands for one.
        case `public`
    }

    enum GrantType: String, Codable, Sendable, CaseIterable {
        case authorizationCode = "authorization_code"
        case refreshToken = "refresh_token"
        case clientCredentials = "client_credentials"
    }

    static let maximumAddresses = 20
    /// Clients of one organization.
    static let maximumCount = 200
    /// Keys of a client that signs its assertions.
    static let maximumKeySetBytes = 16_384

    let tenant: TenantID
    let id: ClientID
    let kind: Kind
    private(set) var name: Name
    private(set) var redirectURIs: [RedirectAddress]
    private(set) var postLogoutRedirectURIs: [RedirectAddress]
    private(set) var grantTypes: [GrantType]
    private(set) var scopes: [OAuthScope]
    var secretDigest: Data?
    /// Public keys (RFC 7517) that its assertions are verified with, as they were registered.
    private(set) var keySet: JSONValue?
    let createdBy: UserID
    let createdAt: Date
    private(set) var updatedAt: Date
    private(set) var version: Int

    /// What an administrator decides about a client.
    struct Terms: Sendable {
        let name: Name
        let redirectURIs: [RedirectAddress]
        let postLogoutRedirectURIs: [RedirectAddress]
        let grantTypes: [GrantType]
        let scopes: [OAuthScope]
        let keySet: JSONValue?
    }

    /// Read from the store.
    init(
        tenant: TenantID, id: ClientID, kind: Kind, terms: Terms, secretDigest: Data?, createdBy: UserID, createdAt: Date, updatedAt: Date,
        version: Int
    ) {
        self.tenant = tenant
        self.id = id
        self.kind = kind
        name = terms.name
        redirectURIs = terms.redirectURIs
        postLogoutRedirectURIs = terms.postLogoutRedirectURIs
        grantTypes = terms.grantTypes
        scopes = terms.scopes
        keySet = terms.keySet
        self.secretDigest = secretDigest
        self.createdBy = createdBy
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.version = version
    }

    /// A client can do no more than whoever registers it.
    static func register(_ terms: Terms, kind: Kind, by caller: Caller, at now: Date) throws -> OAuthClient {
        guard let maker = caller.user else { throw AccessFailure.personOnly }
        try check(terms, kind, holding: [], by: caller)
        return OAuthClient(
            tenant: caller.tenant, id: .make(at: now), kind: kind, terms: terms, secretDigest: nil, createdBy: maker,
            createdAt: now, updatedAt: now, version: 1)
    }

    /// Scopes that it has already may stay whoever changes the rest.
    mutating func change(to terms: Terms, by caller: Caller, at now: Date) throws {
        try Self.check(terms, kind, holding: scopes, by: caller)
        name = terms.name
        redirectURIs = terms.redirectURIs
        postLogoutRedirectURIs = terms.postLogoutRedirectURIs
        grantTypes = terms.grantTypes
        scopes = terms.scopes
        keySet = kind == .public ? nil : terms.keySet
        touch(at: now)
    }

    mutating func touch(at now: Date) {
        updatedAt = now
        version += 1
    }

    private static func check(_ terms: Terms, _ kind: Kind, holding: [OAuthScope], by caller: Caller) throws {
        var wrong: [FieldError] = []
        func refuse(_ pointer: String, _ code: String, _ detail: String) {
            wrong.append(FieldError(pointer: pointer, code: code, detail: detail))
        }
        if terms.grantTypes.isEmpty { refuse("/grantTypes", "empty", "must name at least one") }
        if terms.grantTypes.contains(.authorizationCode), terms.redirectURIs.isEmpty {
            refuse("/redirectUris", "empty", "authorization_code needs at least one redirect address")
        }
        if terms.grantTypes.contains(.refreshToken), !terms.grantTypes.contains(.authorizationCode) {
            refuse("/grantTypes", "incomplete", "refresh_token goes with authorization_code")
        }
        if kind == .public, terms.grantTypes.contains(.clientCredentials) {
            refuse("/grantTypes", "needs-secret", "client_credentials needs a confidential client")
        }
        for (pointer, list) in [("/redirectUris", terms.redirectURIs), ("/postLogoutRedirectUris", terms.postLogoutRedirectURIs)]
        where list.count > maximumAddresses {
            refuse(pointer, "too-many", "must have at most \(maximumAddresses)")
        }
        if terms.scopes.count > OAuthScope.maximumCount { refuse("/scopes", "too-many", "must have at most \(OAuthScope.maximumCount)") }
        for (index, scope) in terms.scopes.enumerated() {
            guard let permission = scope.permission, !holding.contains(scope) else { continue }
            if !caller.permissions.allows(permission) {
                refuse("/scopes/\(index)", "beyond-own", "you do not hold \(permission) yourself")
            }
        }
        guard wrong.isEmpty else { throw ValidationFailure(wrong) }
    }

    func redirectAddress(_ presented: String) -> String? {
        redirectURIs.contains { $0.matches(presented, anyLoopbackPort: kind == .public) } ? presented : nil
    }

    /// The scopes of a request, or all that the client has when it names none. Throws `invalid_scope` for what it was not given.
    func scopes(requested: String?, among allowed: [OAuthScope]) throws(OAuthFailure) -> [OAuthScope] {
        guard let requested, !requested.isEmpty else { return allowed }
        guard let wanted = [OAuthScope](parameter: requested), !wanted.isEmpty, wanted.isSubset(of: allowed) else {
            throw OAuthFailure(.invalidScope, "The client may not ask for this scope.")
        }
        return wanted
    }

    func require(_ grantType: GrantType) throws(OAuthFailure) {
        guard grantTypes.contains(grantType) else {
            throw OAuthFailure(.unauthorizedClient, "The client is not registered for this grant type.")
        }
    }
}

/// Refusals of registering clients.
enum OAuthClientFailure: String, Failure {
    case tooMany = "too-many-clients"
    case hasNoSecret = "client-has-no-secret"

    var kind: FailureKind { .conflict }
    var detail: String? {
        switch self {
        case .tooMany: "An organization has at most \(OAuthClient.maximumCount) clients: remove one that is not used."
        case .hasNoSecret: "A public client has no secret."
        }
    }
}
