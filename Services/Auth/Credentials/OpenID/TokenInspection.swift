import Contracts
import Foundation
import JWTKit
import Postgres
import ServiceKit

/// What introspection answers (RFC 7662, section 2.2): of a token that is worth nothing, nothing more than that.
struct IntrospectionView: View {
    var active = false
    var scope: String?
    var clientID: String?
    var tokenType: String?
    var exp: Int?
    var iat: Int?
    var nbf: Int?
    var sub: String?
    var aud: String?
    var iss: String?
    var jti: String?
    var sid: SessionID?
    var org: TenantID?

    enum CodingKeys: String, CodingKey {
        case active, scope, exp, iat, nbf, sub, aud, iss, jti, sid, org
        case clientID = "client_id"
        case tokenType = "token_type"
    }

    static let worthless = IntrospectionView()
}

/// Looks at tokens that somebody shows.
struct TokenInspection: Sendable {
    let database: Database
    let verifier: TokenVerifier

    /// The caller and claims of an access token that is worth something now, also by the session's own row: a session that ended a moment
    /// ago is over here before every program has heard of it. Throws `AccessFailure`.
    func access(_ token: String, now: Date) async throws -> (Caller, AccessClaims) {
        let caller = try await verifier.verify(token)
        // Verified above: what is read here is what was signed.
        guard let claims = Self.claims(of: token) else { throw AccessFailure.badToken }
        if let session = caller.session {
            let found = try await database.first(SessionStore.find(session), as: .anonymous(in: caller.tenant))
            guard let found, found.isLive(at: now) else { throw AccessFailure.revokedSession }
        }
        return (caller, claims)
    }

    private static func claims(of token: String) -> AccessClaims? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = Base64URL.decode(String(parts[1])) else { return nil }
        return try? JSONDecoder().decode(AccessClaims.self, from: payload)
    }

    func introspect(_ token: String, for client: OAuthClient, now: Date) async throws -> IntrospectionView {
        if let refresh = CarriedSecret(.refreshToken, token) { return try await introspect(refresh, for: client, now: now) }
        do {
            let (caller, claims) = try await access(token, now: now)
            guard caller.tenant == client.tenant, claims.aud == AccessClaims.audience else { return .worthless }
            var view = IntrospectionView(active: true, scope: claims.scope, tokenType: "Bearer")
            view.clientID = claims.clientID.map { ClientName(tenant: client.tenant, id: $0).text }
            (view.exp, view.iat, view.nbf) = (claims.exp, claims.iat, claims.nbf)
            (view.sub, view.aud, view.iss, view.jti) = (claims.sub, claims.aud, claims.iss, claims.jti)
            (view.sid, view.org) = (claims.sid, claims.org)
            return view
        } catch is AccessFailure {
            return .worthless
        }
    }

    private func introspect(_ token: CarriedSecret, for client: OAuthClient, now: Date) async throws -> IntrospectionView {
        guard token.tenant == client.tenant else { return .worthless }
        let reader = Caller.anonymous(in: client.tenant)
        guard let held = try await database.first(ClientRefreshTokenStore.find(token), as: reader), !held.isSpent, held.expiresAt > now,
            let authorization = try await database.first(AuthorizationStore.find(held.authorization), as: reader),
            let id = authorization.session, let session = try await database.first(SessionStore.find(id), as: reader),
            session.isLive(at: now)
        else { return .worthless }
        var view = IntrospectionView(active: true, scope: authorization.scopes.parameter, tokenType: "refresh_token")
        view.clientID = ClientName(tenant: client.tenant, id: authorization.client).text
        view.exp = Int(held.expiresAt.timeIntervalSince1970)
        view.sub = authorization.account.description
        (view.sid, view.org) = (id, client.tenant)
        return view
    }

    /// The sign-in through a client that a token of either kind belongs to, in one organization.
    func authorization(of token: String, in tenant: TenantID) async throws -> Authorization? {
        let reader = Caller.anonymous(in: tenant)
        if let refresh = CarriedSecret(.refreshToken, token) {
            guard refresh.tenant == tenant, let held = try await database.first(ClientRefreshTokenStore.find(refresh), as: reader) else {
                return nil
            }
            return try await database.first(AuthorizationStore.find(held.authorization), as: reader)
        }
        guard let caller = try? await verifier.verify(token), caller.tenant == tenant, let session = caller.session else { return nil }
        return try await database.first(AuthorizationStore.find(session: session), as: reader)
    }
}

/// Reads ID tokens that clients show us again.
struct IDTokenHints: Sendable {
    let keys: KeyRing
    let issuer: String

    /// One that we signed, whatever its age: it says who it was about, and opens nothing. Nil for anything else.
    func read(_ token: String) async -> IDTokenClaims? {
        guard token.utf8.count <= AuthorizationRequest.maximumHint else { return nil }
        let collection = JWTKeyCollection()
        guard case let published = keys.publicKeys, (try? await collection.add(jwks: published)) != nil,
            let claims = try? await collection.verify(token, as: IDTokenClaims.self), claims.iss == issuer
        else { return nil }
        return claims
    }
}
