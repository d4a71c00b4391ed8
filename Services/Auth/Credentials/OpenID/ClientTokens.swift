import Contracts
import Crypto
import Foundation
import Messaging
import Postgres
import ServiceKit

/// What the token endpoint answers (RFC 6749, section 5.1).
struct TokenAnswer: View {
    let accessToken: String
    let tokenType: String
    let expiresIn: Int
    let refreshToken: String?
    let idToken: String?
    let scope: String

    enum CodingKeys: String, CodingKey {
        case scope
        case accessToken = "access_token"
        case tokenType = "token_type"
        case expiresIn = "expires_in"
        case refreshToken = "refresh_token"
        case idToken = "id_token"
    }
}

/// Tokens for clients. Each sign-in through a client is a session of its own, which ends like every other.
struct ClientTokens: Sendable {
    let database: Database
    let keys: KeyRing
    let people: PeopleClient
    let sessions: Sessions
    let revocations: Revocations
    let issuer: String
    let accessLifetime: TimeInterval
    /// Of the sessions of clients that may refresh.
    let life: SessionLife

    // MARK: - authorization_code

    /// A code is good once, for a minute, for the client that it was given to. Shown again, it ends what the first use began: one of
    /// the two who showed it is a thief (RFC 9700, section 4.5).
    func redeem(
        _ text: String, for client: OAuthClient, redirectURI: String, verifier: String, _ request: PublicRequest
    ) async throws -> TokenAnswer {
        guard let code = CarriedSecret(.code, text), code.tenant == client.tenant else { throw OAuthFailure.badCode }
        let reader = Caller.anonymous(in: client.tenant)
        guard let found = try await database.first(AuthorizationStore.find(code: code), as: reader), found.client == client.id else {
            throw OAuthFailure.badCode
        }
        if found.redeemedAt != nil {
            try await end([found], in: client.tenant, .codeReplayed, request)
            throw OAuthFailure.badCode
        }
        let challenge = Base64URL.encode(Data(SHA256.hash(data: Data(verifier.utf8))))
        guard found.mayRedeem(client: client.id, redirectURI: redirectURI, challengeOfVerifier: challenge, at: request.now),
            let browser = try await live(found.browser, at: request.now)
        else {
            // Whoever has the code and not what belongs to it has it from somewhere else (RFC 9700, section 4.5).
            try await database.transaction(as: reader) { tx in try AuthorizationStore(tx: tx).spoilCode(found.id) }
            throw OAuthFailure.badCode
        }
        let claims = try await claims(of: found.account, in: client.tenant)
        try Self.checkFactor(found, claims)
        let opened = found.isOffline && client.grantTypes.contains(.refreshToken)
        // It is announced as a session, not as a sign-in: the person signed in once, on our own pages.
        let (session, _) = Session.open(
            for: found.account, methods: found.methods, address: found.address, userAgent: found.userAgent,
            authenticatedAt: found.authenticatedAt, origin: SessionOrigin(begunAt: browser.begunAt), at: request.now,
            life: opened ? life : SessionLife(idle: accessLifetime, absolute: accessLifetime))
        let refresh = opened ? CarriedSecret.make(.refreshToken, tenant: client.tenant, id: found.id.uuid) : nil
        let caller = Caller(.person(found.account), tenant: client.tenant, session: session.id)
        let redeemed: Authorization? = try await database.transaction(as: caller) { tx in
            let authorizations = AuthorizationStore(tx: tx)
            guard var authorization = try authorizations.lock(found.id), authorization.redeemedAt == nil else { return nil }
            authorization.redeem(into: session.id, until: session.expiresAt, at: tx.now)
            try SessionStore(tx: tx).insert(session)
            try authorizations.save(authorization)
            if let refresh { try ClientRefreshTokenStore(tx: tx).insert(refresh, expiresAt: session.expiresAt) }
            try GrantStore(tx: tx).noteUse(found.account, client.id)
            try Audit(tx, request).record(
                "auth.session.open", "session", session.id.description,
                changed: ["client": .string(client.id.description), "scope": .string(found.scopes.parameter)])
            return authorization
        }
        guard let redeemed else {
            // Two at once with one code.
            if let first = try await database.first(AuthorizationStore.find(found.id), as: reader) {
                try await end([first], in: client.tenant, .codeReplayed, request)
            }
            throw OAuthFailure.badCode
        }
        do {
            try await sessions.refuseVoid(session, in: client.tenant, request)
        } catch SessionFailure.ended {
            throw OAuthFailure.badCode
        }
        return try await answer(redeemed, session.id, client, claims, scopes: nil, refresh, nonce: redeemed.nonce, request.now)
    }

    private func live(_ browser: Authorization.BrowserReference, at now: Date) async throws -> Session? {
        let session = try await database.first(SessionStore.find(browser.session), as: .anonymous(in: browser.tenant))
        return session.flatMap { $0.isLive(at: now) ? $0 : nil }
    }

    /// As the platform's own refresh has it: the organization may have come to demand a second factor since the person signed in.
    private static func checkFactor(_ authorization: Authorization, _ claims: PersonClaims) throws(OAuthFailure) {
        do {
            try SecondFactors.check(authorization.methods, against: claims)
        } catch {
            throw OAuthFailure(.invalidGrant, "The organization demands a second factor: the person has to sign in again.")
        }
    }

    /// Rights are those of now. Who is no member any more, or suspended, gets nothing.
    private func claims(of account: UserID, in tenant: TenantID) async throws -> PersonClaims {
        do {
            return try await people.claims(of: account, in: tenant.description)
        } catch let refusal as AccountFailure where refusal.kind == .forbidden {
            throw OAuthFailure(.invalidGrant, "The person may not sign in to this organization any more.")
        }
    }

    // MARK: - refresh_token

    /// The token is spent by this. A spent one ends the session with all its tokens (RFC 9700, section 4.14).
    func refresh(_ text: String, for client: OAuthClient, scope: String?, _ request: PublicRequest) async throws -> TokenAnswer {
        guard let token = CarriedSecret(.refreshToken, text), token.tenant == client.tenant else { throw OAuthFailure.badRefreshToken }
        let reader = Caller.anonymous(in: client.tenant)
        guard let held = try await database.first(ClientRefreshTokenStore.find(token), as: reader),
            let authorization = try await database.first(AuthorizationStore.find(held.authorization), as: reader),
            authorization.client == client.id, let id = authorization.session
        else { throw OAuthFailure.badRefreshToken }
        if held.isSpent {
            try await end([authorization], in: client.tenant, .refreshTokenReused, request)
            throw OAuthFailure.badRefreshToken
        }
        guard held.expiresAt > request.now, let session = try await database.first(SessionStore.find(id), as: reader),
            session.isLive(at: request.now)
        else { throw OAuthFailure.badRefreshToken }
        let scopes = try client.scopes(requested: scope, among: authorization.scopes)
        let claims: PersonClaims
        do {
            claims = try await self.claims(of: authorization.account, in: client.tenant)
        } catch let refusal as OAuthFailure {
            try await end([authorization], in: client.tenant, .membershipEnded, request)
            throw refusal
        }
        try Self.checkFactor(authorization, claims)
        let next = CarriedSecret.make(.refreshToken, tenant: client.tenant, id: authorization.id.uuid)
        let caller = Caller(.person(authorization.account), tenant: client.tenant, session: id)
        let life = life
        let isSpent = try await database.transaction(as: caller) { tx in
            let sessions = SessionStore(tx: tx), tokens = ClientRefreshTokenStore(tx: tx), authorizations = AuthorizationStore(tx: tx)
            guard var authorization = try authorizations.lock(held.authorization), var session = try sessions.lock(id),
                session.isLive(at: request.now)
            else { throw OAuthFailure.badRefreshToken }
            guard try tokens.spend(token) else { return false }
            try session.use(at: request.now, life: life)
            try sessions.save(session)
            authorization.prolong(until: session.expiresAt)
            try authorizations.save(authorization)
            try tokens.insert(next, expiresAt: session.expiresAt)
            try GrantStore(tx: tx).noteUse(authorization.account, client.id)
            return true
        }
        guard isSpent else {
            try await end([authorization], in: client.tenant, .refreshTokenReused, request)
            throw OAuthFailure.badRefreshToken
        }
        return try await answer(authorization, id, client, claims, scopes: scopes, next, nonce: nil, request.now)
    }

    // MARK: - client_credentials

    /// The client itself, with no person behind it: the permissions that it was registered with, or those of them that it asks for.
    /// As long as its organization is active, whether or not whoever registered it is still there.
    func own(_ client: OAuthClient, scope: String?, now: Date) async throws -> TokenAnswer {
        let scopes = try client.scopes(requested: scope, among: client.scopes.filter { $0.permission != nil })
        guard !scopes.isEmpty else { throw OAuthFailure(.invalidScope, "The client has no permission that it could use by itself.") }
        // Before users is asked: an organization that is suspended after its answer ends this token too.
        let issuedAt = try await issueTime(nil, client.tenant, now)
        guard let organization = try await people.organization(client.tenant), organization.status == Self.active else {
            throw OAuthFailure(.unauthorizedClient, "The organization of this client is suspended or deleted.")
        }
        let token = try await keys.sign(
            AccessClaims(
                client: client.id, tenant: client.tenant, permissions: scopes.permissions.permissions, plan: organization.plan,
                scope: scopes.parameter, issuedAt: issuedAt, lifetime: accessLifetime))
        return TokenAnswer(
            accessToken: token, tokenType: "Bearer", expiresIn: Int(accessLifetime), refreshToken: nil, idToken: nil,
            scope: scopes.parameter)
    }

    /// Of an organization's status, as users says it.
    private static let active = "active"

    // MARK: - Tokens

    /// Not before the last ending of all the person's tokens, which a token of the same second would fall under.
    private func issueTime(_ user: UserID?, _ tenant: TenantID, _ now: Date) async throws -> Date {
        try await revocations.issueTime(user: user, tenant: tenant, now: now)
    }

    private func answer(
        _ authorization: Authorization, _ session: SessionID, _ client: OAuthClient, _ claims: PersonClaims, scopes: [OAuthScope]?,
        _ refresh: CarriedSecret?, nonce: String?, _ now: Date
    ) async throws -> TokenAnswer {
        // What the client may ask for may have become less since.
        let scopes = (scopes ?? authorization.scopes).filter { client.scopes.contains($0) }
        let rights = PermissionSet(claims.permissions).intersection(scopes.permissions)
        let issuedAt = try await issueTime(authorization.account, client.tenant, now)
        // No roles: a client has what it was allowed, and a role would say more.
        let access = try await keys.sign(
            AccessClaims(
                user: authorization.account, session: session, tenant: client.tenant, roles: [], permissions: rights.permissions,
                plan: claims.organization.plan, amr: authorization.methods, issuedAt: issuedAt, lifetime: accessLifetime,
                authTime: authorization.authenticatedAt, client: client.id, scope: scopes.parameter))
        var identity: String?
        if scopes.contains(.openid) {
            identity = try await idToken(authorization, session, client, claims, scopes, access, nonce, issuedAt)
        }
        return TokenAnswer(
            accessToken: access, tokenType: "Bearer", expiresIn: Int(accessLifetime), refreshToken: refresh?.text, idToken: identity,
            scope: scopes.parameter)
    }

    private func idToken(
        _ authorization: Authorization, _ session: SessionID, _ client: OAuthClient, _ claims: PersonClaims, _ scopes: [OAuthScope],
        _ access: String, _ nonce: String?, _ issuedAt: Date
    ) async throws -> String {
        let facts = PersonFacts(claims, emailVerified: try await isVerified(authorization.account), scopes: scopes)
        let issued = Int(issuedAt.timeIntervalSince1970)
        return try await keys.sign(
            IDTokenClaims(
                iss: issuer, sub: facts.sub, aud: client.clientID, exp: issued + Int(accessLifetime), iat: issued,
                authTime: Int(authorization.authenticatedAt.timeIntervalSince1970), nonce: nonce, amr: authorization.methods,
                acr: IDTokenClaims.level(of: authorization.methods), azp: client.clientID, sid: session,
                atHash: IDTokenClaims.hash(access), email: facts.email, emailVerified: facts.emailVerified, name: facts.name,
                givenName: facts.givenName, familyName: facts.familyName))
    }

    func isVerified(_ account: UserID) async throws -> Bool {
        try await database.first(EmailStanding.isVerified(account), as: AccountStore.caller) ?? false
    }

    // MARK: - The end

    /// Ends the sessions of these sign-ins, with all their tokens, in every program.
    func end(
        _ authorizations: [Authorization], in tenant: TenantID, _ reason: Session.EndReason, _ request: PublicRequest
    ) async throws {
        for authorization in authorizations {
            guard let session = authorization.session else { continue }
            try await sessions.end(session, of: authorization.account, in: tenant, reason, request)
        }
    }
}
