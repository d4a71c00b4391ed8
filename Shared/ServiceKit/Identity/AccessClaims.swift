package import Contracts
package import Foundation
package import JWTKit

/// The claims of an access token (API.md, "Token").
package struct AccessClaims: JWTPayload, Equatable {
    package static let issuer = "trionex-auth-service"
    package static let audience = "trionex-platform"
    /// Tokens of the platform's own programs have another audience, so that neither kind passes for the other.
    package static let internalAudience = "trionex-internal"

    /// A user id; `service:<name>` in a service token.
    package let sub: String
    package let iss: String
    package let aud: String
    package let exp: Int
    package let iat: Int
    package let nbf: Int
    package let jti: String
    package let sid: SessionID?
    package let roles: [String]
    package let permissions: [Permission]
    package let org: TenantID?
    package let amr: [String]?
    package let plan: String?
    /// When the person last proved who they are (OpenID Connect Core, section 2).
    package let authTime: Int?
    /// Who acts as the subject (RFC 8693, section 4.1): a platform admin.
    package let act: ActingParty?
    /// The API key that was exchanged for this token.
    package let key: APIKeyID?
    /// The OAuth client the token was given to (RFC 9068).
    package let clientID: ClientID?
    package let scope: String?

    package struct ActingParty: Codable, Sendable, Equatable {
        package let sub: UserID
    }

    enum CodingKeys: String, CodingKey {
        case sub, iss, aud, exp, iat, nbf, jti, sid, roles, permissions, org, amr, plan, act, key, scope
        case authTime = "auth_time"
        case clientID = "client_id"
    }

    /// A person's. Without `authTime` the person has proven who they are just now, unless it is an API key's.
    package init(
        user: UserID, session: SessionID?, tenant: TenantID, roles: [String], permissions: [Permission], plan: String, amr: [String],
        issuedAt: Date, lifetime: TimeInterval, authTime: Date? = nil, impersonator: UserID? = nil, apiKey: APIKeyID? = nil,
        client: ClientID? = nil, scope: String? = nil
    ) {
        sub = user.description
        iss = Self.issuer
        aud = Self.audience
        iat = Int(issuedAt.timeIntervalSince1970)
        nbf = iat
        exp = iat + Int(lifetime)
        jti = UUID.version7(at: issuedAt).uuidString.lowercased()
        sid = session
        org = tenant
        self.roles = roles
        self.permissions = permissions
        self.amr = amr
        self.plan = plan
        self.authTime = apiKey == nil ? Int((authTime ?? issuedAt).timeIntervalSince1970) : nil
        act = impersonator.map { ActingParty(sub: $0) }
        key = apiKey
        clientID = client
        self.scope = scope
    }

    /// An OAuth client's own, with no person behind it.
    package init(
        client: ClientID, tenant: TenantID, permissions: [Permission], plan: String, scope: String?, issuedAt: Date, lifetime: TimeInterval
    ) {
        sub = client.description
        iss = Self.issuer
        aud = Self.audience
        iat = Int(issuedAt.timeIntervalSince1970)
        nbf = iat
        exp = iat + Int(lifetime)
        jti = UUID.version7(at: issuedAt).uuidString.lowercased()
        sid = nil
        org = tenant
        roles = []
        self.permissions = permissions
        amr = nil
        self.plan = plan
        authTime = nil
        act = nil
        key = nil
        clientID = client
        self.scope = scope
    }

    /// A token for `/internal/v1` only.
    package init(service: ServiceName, issuedAt: Date, lifetime: TimeInterval) {
        sub = "service:\(service)"
        iss = Self.issuer
        aud = Self.internalAudience
        iat = Int(issuedAt.timeIntervalSince1970)
        nbf = iat
        exp = iat + Int(lifetime)
        jti = UUID.version7(at: issuedAt).uuidString.lowercased()
        sid = nil
        org = nil
        roles = []
        permissions = []
        amr = nil
        plan = nil
        authTime = nil
        act = nil
        key = nil
        clientID = nil
        scope = nil
    }

    /// `TokenVerifier` reads tokens without this, and checks all of it.
    package func verify(using algorithm: some JWTAlgorithm) async throws {
        guard iss == Self.issuer else { throw AccessFailure.badToken }
    }
}
