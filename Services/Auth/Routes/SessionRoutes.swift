import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

/// Signing in, going on, signing out.
struct SessionRoutes {
    let database: Database
    let passwords: PasswordHashing
    let people: PeopleClient
    let sessions: Sessions
    let lockOut: LockOut
    let logger: Logger

    var endpoints: Endpoints {
        Endpoints("auth") {
            Endpoint.post("login", "Sign in with a password", .public, login)
            Endpoint.post("refresh", "Exchange a refresh token for new tokens", .public, refresh)
            Endpoint.post("logout", "End this session everywhere", may: .signedIn, logout)
            Endpoint.get("me", "Who the token speaks for", may: .signedIn, me)
        }
    }

    struct SignIn: Decodable, Sendable {
        let email: EmailAddress
        let password: PresentedSecret
        /// Slug or id; without it, the organization the person has belonged to longest.
        let organization: Label?
    }

    struct Refresh: Decodable, Sendable {
        let refreshToken: PresentedSecret
    }

    /// A wrong address and a wrong password answer alike, in words and in time, and are locked out alike.
    func login(_ request: PublicRequest, _ body: SignIn) async throws -> Uncached<SignedIn> {
        async let lock = database.first(SignInFailureStore.lock(of: body.email), as: AccountStore.caller)
        async let found = database.first(AccountStore.find(body.email), as: AccountStore.caller)
        let (earlierFailures, account) = (try await lock, try await found)
        if let lockedUntil = earlierFailures ?? nil, lockedUntil > request.now {
            Self.count("locked")
            throw LockedOut(until: lockedUntil, now: request.now)
        }
        guard try await passwords.verify(body.password.passwordBytes, against: account?.passwordHash), let account else {
            try await failed(body.email, account?.id, request)
            throw AccountFailure.wrongCredentials
        }
        guard account.status == .active else { throw AccountFailure.registrationPending }
        let claims = try await people.claims(of: account.id, in: body.organization?.rawValue)
        let signedIn = try await sessions.open(for: claims, from: request)
        try await succeeded(account, body.password.passwordBytes, hadFailed: earlierFailures != nil, request)
        return Uncached(signedIn)
    }

    /// The same statements whether an account has the address or not, so that the time they take tells as little as the answer.
    private func failed(_ email: EmailAddress, _ account: UserID?, _ request: PublicRequest) async throws {
        Self.count("failed")
        let policy = lockOut
        try await database.transaction(as: AccountStore.caller) { tx in
            let failures = SignInFailureStore(tx: tx)
            let until = policy.delay(after: try failures.add(email)).map { tx.now.addingTimeInterval($0) }
            if let until { try failures.lock(email, until: until) }
            var events: [any Event] = [
                AuditEntryRecorded(
                    action: "auth.session.open", resourceType: "account", resourceID: account?.description, actor: tx.caller.principalText,
                    outcome: "refused", riskLevel: until == nil ? "medium" : "high", address: request.clientAddress,
                    userAgent: request.userAgent, changed: [:])
            ]
            if let account {
                events.append(UserLoginFailed(userID: account, address: request.clientAddress, userAgent: request.userAgent))
                if let until { events.append(UserLocked(userID: account, lockedUntil: until)) }
            }
            try Outbox(tx).append(events)
        }
    }

    /// The person is signed in already: what goes wrong here is logged and does not undo that.
    private func succeeded(_ account: Account, _ password: [UInt8], hadFailed: Bool, _ request: PublicRequest) async throws {
        Self.count("succeeded")
        do {
            try await database.execute(AccountStore.noteSignIn(account.id, at: request.now), as: AccountStore.caller)
            if hadFailed { try await database.execute(SignInFailureStore.forget(account.email), as: AccountStore.caller) }
            if passwords.isOutdated(account.passwordHash) {
                let hash = try await passwords.hash(password)
                try await database.execute(
                    AccountStore.replaceHash(account.id, account.passwordHash, with: hash), as: AccountStore.caller)
            }
        } catch {
            logger.warning("a sign-in could not be noted", metadata: ["userId": "person:\(account.id)", "reason": "\(error)"])
        }
    }

    private static func count(_ result: String) {
        Counter(label: "trionex_auth_sign_ins_total", dimensions: [("result", result)]).increment()
    }

    /// The token is spent by this. Asks users anew, so that a change of role or plan shows within one access token's life.
    func refresh(_ request: PublicRequest, _ body: Refresh) async throws -> Uncached<SignedIn> {
        guard let token = RefreshToken(body.refreshToken.text) else { throw SessionFailure.badRefreshToken }
        let session = try await sessions.find(token, request)
        let claims: PersonClaims
        do {
            claims = try await people.claims(of: session.account, in: token.tenant.description)
        } catch let refusal as AccountFailure where refusal.kind == .forbidden {
            try await sessions.end(session.id, of: session.account, in: token.tenant, .membershipEnded, request)
            throw SessionFailure.badRefreshToken
        }
        return Uncached(try await sessions.goOn(session, with: token, claims, request))
    }

    /// 204 also while Redis is away: the other programs hear of it as soon as it is back.
    func logout(_ request: CallerRequest) async throws -> NoContent {
        guard let id = request.caller.session else { throw AccessFailure.notSignedIn }
        try await sessions.end(id, of: try request.user(), in: request.caller.tenant, .logout, request.http)
        return NoContent()
    }

    func me(_ request: CallerRequest) async throws -> MeView {
        guard let id = request.caller.session else { throw AccessFailure.notSignedIn }
        async let found = database.first(SessionStore.find(id), as: request.caller)
        async let asked = people.claims(of: try request.user(), in: request.caller.tenant.description)
        guard let session = try await found, session.isLive(at: request.now) else { throw AccessFailure.revokedSession }
        let claims = try await asked
        return MeView(
            user: PersonView(claims), organization: OrganizationView(claims.organization), roles: claims.roles,
            permissions: claims.permissions, session: SessionView(session))
    }
}
