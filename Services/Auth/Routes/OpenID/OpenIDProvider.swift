import Contracts
import Foundation
import ServiceKit
import ServiceLifecycle

/// The OpenID Connect provider, put together.
struct OpenIDProvider {
    let endpoints: [Endpoints]
    let workers: [any Service]

    init(_ settings: AuthSettings, _ house: Foundations, keys: KeyRing, accounts: AccountsAndSessions, ledger: RevocationLedger) throws {
        let database = house.database, issuer = house.settings.publicURL, sealing = try house.sealing(), people = accounts.people
        let authentication = ClientAuthentication(database: database, issuer: issuer)
        let tokens = ClientTokens(
            database: database, keys: keys, people: people, sessions: accounts.sessions, revocations: house.revocations, issuer: issuer,
            accessLifetime: settings.accessLifetime, life: settings.sessionLife)
        let browsers = BrowserSessions(database: database, tokens: tokens, cookies: PageCookies(publicURL: issuer))
        let hints = IDTokenHints(keys: keys, issuer: issuer)
        let signIn = PageSignIn(
            database: database, passwords: accounts.signIn, people: people, gate: accounts.gate, factors: accounts.factors,
            passkeys: PasskeyRoutes(accounts, database))
        let authorize = AuthorizeRoutes(
            database: database, authentication: authentication, browsers: browsers, people: people, hints: hints, firstFactor: signIn,
            sealing: sealing, issuer: issuer)
        let token = TokenRoutes(
            database: database, authentication: authentication, tokens: tokens, people: people,
            inspection: TokenInspection(database: database, verifier: house.verifier))
        let logout = LogoutRoutes(
            database: database, authentication: authentication, browsers: browsers, hints: hints, sealing: sealing)
        endpoints =
            DiscoveryRoutes(issuer: issuer).endpoints + [
                authorize.endpoints, token.endpoints, logout.endpoints,
                ClientRoutes(database: database, tokens: tokens, ledger: ledger).endpoints,
                ForgottenPasswordRoutes(password: accounts.password).endpoints,
                GrantRoutes(database: database, tokens: tokens).endpoints,
            ]
        workers = [OpenIDHousekeeping(database: database, now: house.now, logger: house.logger)]
    }
}
