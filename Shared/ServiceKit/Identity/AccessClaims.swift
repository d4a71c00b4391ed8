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

    package init(
        user: UserID, session: SessionID, tenant: TenantID, roles: [String], permissions: [Permission], plan: String, amr: [String],
        issuedAt: Date, lifetime: TimeInterval
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
    }

    /// Times and audience are checked by `TokenVerifier`, which has the clock.
    package func verify(using algorithm: some JWTAlgorithm) async throws {
        guard iss == Self.issuer else { throw AccessFailure.badToken }
    }

    /// The caller these claims describe.
    func caller() throws(AccessFailure) -> Caller {
        switch aud {
        case Self.audience:
            guard let user = UserID(sub), let org, let sid else { throw .badToken }
            return Caller(.person(user), tenant: org, roles: roles, permissions: PermissionSet(permissions), session: sid, plan: plan)
        case Self.internalAudience:
            guard sub.hasPrefix("service:") else { throw .badToken }
            return Caller.service(ServiceName(rawValue: String(sub.dropFirst(8))), for: .platform)
        default: throw .badToken
        }
    }
}
