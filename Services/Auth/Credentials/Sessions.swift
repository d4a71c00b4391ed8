import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

/// The life of sessions: opened, gone on with, ended, each step in one transaction of the session's organization.
struct Sessions: Sendable {
    let database: Database
    let keys: KeyRing
    let revocations: Revocations
    let accessLifetime: TimeInterval
    let life: SessionLife
    let logger: Logger

    /// Opens a session. Announces the registration first where nobody has yet.
    ///
    /// - Parameters:
    ///   - authenticatedAt: when the person proved who they are; nil: just now.
    ///   - origin: what it comes of; nil: it begins with this request.
    ///   - also: what is to be written with it, in the organization's transaction.
    func open(
        for claims: PersonClaims, methods: [String] = ["pwd"], from request: PublicRequest, risk: RiskAssessment? = nil,
        authenticatedAt: Date? = nil, origin: SessionOrigin? = nil, announcingRegistration: Bool = false,
        also: @escaping @Sendable (Transaction, Session) throws -> Void = { _, _ in }
    ) async throws -> SignedIn {
        let tenant = claims.organization.id
        let (session, loggedIn) = Session.open(
            for: claims.userID, methods: methods, address: request.clientAddress, userAgent: request.userAgent, risk: risk?.score ?? 0,
            authenticatedAt: authenticatedAt, origin: origin, at: request.now, life: life)
        let token = RefreshToken.make(tenant: tenant, session: session.id)
        let caller = Caller(.person(claims.userID), tenant: tenant, session: session.id)
        var changed: [String: JSONValue] = ["methods": .array(methods.map { .string($0) })]
        if let risk {
            changed["risk"] = .number(risk.score)
            changed["signs"] = .array(risk.signs.map { .string($0.rawValue) })
        }
        let (noted, level) = (changed, risk?.level ?? "low")
        try await database.transaction(as: caller) { tx in
            if announcingRegistration { try Self.announce(claims, in: tx, request) }
            try SessionStore(tx: tx).insert(session)
            try RefreshTokenStore(tx: tx).insert(token, expiresAt: session.expiresAt)
            try also(tx, session)
            try Outbox(tx).append(loggedIn)
            try Audit(tx, request).record("auth.session.open", "session", session.id.description, risk: level, changed: noted)
        }
        try await refuseVoid(session, in: tenant, request)
        return try await answer(claims, session, token, now: request.now)
    }

    /// Ends a session again whose sign-in began before a change of password, and throws `SessionFailure.ended`.
    ///
    /// Called once the session is committed: a change that is committed before this is seen here, and one that is committed after it
    /// finds the session. So no sign-in slips through between the two, however long it took.
    func refuseVoid(_ session: Session, in tenant: TenantID, _ request: PublicRequest) async throws {
        guard let until = try await database.first(AccountStore.signInsVoidUntil(session.account), as: AccountStore.caller) ?? nil,
            session.begunAt <= until
        else { return }
        try await end(session.id, of: session.account, in: tenant, .passwordChanged, request)
        throw SessionFailure.ended
    }

    /// Leaves once, whoever comes first: the request, the same request tried again, or the worker.
    static func announce(_ claims: PersonClaims, in tx: Transaction, _ request: PublicRequest?) throws {
        guard try RegistrationStore(tx: tx).claimAnnouncement(of: claims.userID) else { return }
        try Outbox(tx).append(Account.registered(claims))
        try Audit(tx, request).record("auth.account.register", "account", claims.userID.description)
    }

    /// The session that a refresh token belongs to, when both are good. A spent token ends the session.
    func find(_ token: RefreshToken, _ request: PublicRequest) async throws -> Session {
        let caller = Caller.anonymous(in: token.tenant)
        async let held = database.first(RefreshTokenStore.find(token), as: caller)
        async let found = database.first(SessionStore.find(token.session), as: caller)
        guard let held = try await held, let session = try await found else { throw SessionFailure.badRefreshToken }
        if held.isSpent {
            try await end(session.id, of: session.account, in: token.tenant, .refreshTokenReused, request)
            throw SessionFailure.badRefreshToken
        }
        guard session.isLive(at: request.now), held.expiresAt > request.now else { throw SessionFailure.badRefreshToken }
        return session
    }

    /// Spends the token and gives the next of its family.
    func goOn(_ session: Session, with token: RefreshToken, _ claims: PersonClaims, _ request: PublicRequest) async throws -> SignedIn {
        let next = RefreshToken.make(tenant: token.tenant, session: token.session)
        let caller = Caller(.person(session.account), tenant: token.tenant, session: session.id)
        let life = life
        let renewed: Session? = try await database.transaction(as: caller) { tx in
            let sessions = SessionStore(tx: tx), tokens = RefreshTokenStore(tx: tx)
            guard var session = try sessions.lock(token.session), session.isLive(at: request.now) else {
                throw SessionFailure.badRefreshToken
            }
            guard try tokens.spend(token) else { return nil }
            try session.use(at: request.now, life: life)
            try sessions.save(session)
            try tokens.insert(next, expiresAt: session.expiresAt)
            return session
        }
        guard let renewed else {
            // Two at once with one token: one of them is not the person.
            try await end(session.id, of: session.account, in: token.tenant, .refreshTokenReused, request)
            throw SessionFailure.badRefreshToken
        }
        return try await answer(claims, renewed, next, now: request.now)
    }

    /// Ends a session at once: here, and in every other program as soon as Redis has been told. With Redis away the
    /// worker tells it later, and this succeeds all the same.
    func end(
        _ id: SessionID, of account: UserID, in tenant: TenantID, _ reason: Session.EndReason, _ request: PublicRequest
    ) async throws {
        let caller = Caller(.person(account), tenant: tenant, session: id)
        let hasEnded = try await database.transaction(as: caller) { tx in
            let sessions = SessionStore(tx: tx)
            guard var session = try sessions.lock(id), let revoked = session.end(reason, at: request.now) else { return false }
            try sessions.save(session)
            try Outbox(tx).append(revoked)
            try Audit(tx, request).record(
                "auth.session.end", "session", id.description, risk: reason.isAlarming ? "high" : "low",
                changed: ["reason": .string(reason.rawValue)])
            return true
        }
        guard hasEnded else { return }
        Counter(label: "trionex_auth_sessions_ended_total", dimensions: [("reason", reason.rawValue)]).increment()
        await announceEnd(of: [id], as: caller, at: request.now)
    }

    /// Ends every session of a person that was begun until then, in all organizations, but the one kept. Returns how many.
    ///
    /// What a crash leaves undone, `SessionHousekeeping` does for a change of password.
    @discardableResult
    func endAll(
        of account: UserID, except kept: SessionID? = nil, begunUntil: Date, _ reason: Session.EndReason, at now: Date,
        _ request: PublicRequest?
    ) async throws -> Int {
        let tenants = try await database.platform(PlatformWork("organizations of a person's sessions")) { tx in
            try PlatformSessionStore(tx: tx).tenants(of: account)
        }
        var count = 0
        for tenant in tenants {
            let caller = Caller(.person(account), tenant: tenant, session: kept)
            let ended = try await database.transaction(as: caller) { tx in
                let sessions = SessionStore(tx: tx)
                var ended: [SessionID] = []
                if let kept, reason == .passwordChanged { try sessions.beginAnew(kept, after: begunUntil) }
                for var session in try sessions.lockLive(of: account, before: begunUntil, except: kept) {
                    guard let revoked = session.end(reason, at: now) else { continue }
                    try sessions.save(session)
                    try Outbox(tx).append(revoked)
                    try Audit(tx, request).record(
                        "auth.session.end", "session", session.id.description, changed: ["reason": .string(reason.rawValue)])
                    ended.append(session.id)
                }
                return ended
            }
            guard !ended.isEmpty else { continue }
            Counter(label: "trionex_auth_sessions_ended_total", dimensions: [("reason", reason.rawValue)]).increment(by: ended.count)
            await announceEnd(of: ended, as: caller, at: now)
            count += ended.count
        }
        return count
    }

    private func announceEnd(of ended: [SessionID], as caller: Caller, at now: Date) async {
        do {
            try await revocations.revoke(
                ended.map { .session($0) }, at: now, tokensExpire: now.addingTimeInterval(max(accessLifetime, Impersonation.longest)))
            try await database.execute(SessionStore.markPublished(ended, at: now), as: caller)
        } catch {
            logger.warning("an ended session is announced to the other programs later", metadata: ["reason": "\(error)"])
        }
    }

    private func answer(_ claims: PersonClaims, _ session: Session, _ token: RefreshToken, now: Date) async throws -> SignedIn {
        // Rights may have ended in this very second: a token of the same second would be taken for one of before.
        let issued = try await revocations.issueTime(user: claims.userID, tenant: claims.organization.id, now: now)
        let access = try await keys.sign(
            AccessClaims(
                user: claims.userID, session: session.id, tenant: claims.organization.id, roles: claims.roles,
                permissions: claims.permissions, plan: claims.organization.plan, amr: session.methods, issuedAt: issued,
                lifetime: accessLifetime, authTime: session.authenticatedAt))
        return SignedIn(claims, accessToken: access, refreshToken: token.text, expiresIn: Int(accessLifetime))
    }
}
