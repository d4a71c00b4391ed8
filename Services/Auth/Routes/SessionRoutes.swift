import Contracts
import Foundation
import HTTPTypes
import Postgres
import ServiceKit

/// Signing in, going on, signing out.
struct SessionRoutes {
    let database: Database
    let signIn: PasswordSignIn
    let gate: SignInGate
    let people: PeopleClient
    let sessions: Sessions

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
    func login(_ request: PublicRequest, _ body: SignIn) async throws -> Uncached<SignInAnswer> {
        let account = try await signIn.verify(body.email, body.password, request)
        // Before there is a token the header may name the organization; afterwards the gateway holds the two against each other.
        let named = body.organization?.rawValue ?? request.headers[.tenantSlug].flatMap { Slug(rawValue: $0.lowercased())?.rawValue }
        let claims = try await people.claims(of: account.id, in: named)
        return Uncached(try await gate.admit(account, claims, methods: ["pwd"], request))
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
        // Not ended by this: once a factor is set up and shown, the session goes on.
        try SecondFactors.check(session.methods, against: claims)
        return Uncached(try await sessions.goOn(session, with: token, claims, request))
    }

    /// 204 also while Redis is away: the other programs hear of it as soon as it is back.
    func logout(_ request: CallerRequest) async throws -> NoContent {
        guard let id = request.caller.session else { throw AccessFailure.notSignedIn }
        try await sessions.end(id, of: try request.user(), in: request.caller.tenant, .logout, request.http)
        return NoContent()
    }

    func me(_ request: CallerRequest) async throws -> MeView {
        let user = try request.user(), session = try await liveSession(request)
        async let held = database.first(AccountStore.find(user), as: AccountStore.caller(user))
        async let asked = people.claims(of: user, in: request.caller.tenant.description)
        let (claims, account) = (try await asked, try await held)
        return MeView(
            user: PersonView(claims, emailVerified: account?.isEmailVerified ?? false),
            organization: OrganizationView(claims.organization), roles: claims.roles,
            // What the token may, which for a key or an impersonation can be less than what the person may.
            permissions: PermissionSet(claims.permissions).intersection(request.caller.permissions).permissions,
            session: session.map { SessionView($0, in: request.caller.tenant, current: $0.id) })
    }

    /// Nil for an API key, which has none.
    private func liveSession(_ request: CallerRequest) async throws -> Session? {
        guard let id = request.caller.session else { return nil }
        guard let session = try await database.first(SessionStore.find(id), as: request.caller), session.isLive(at: request.now) else {
            throw AccessFailure.revokedSession
        }
        return session
    }
}

extension HTTPField.Name {
    fileprivate static let tenantSlug = HTTPField.Name("X-Tenant-Slug")!
}
