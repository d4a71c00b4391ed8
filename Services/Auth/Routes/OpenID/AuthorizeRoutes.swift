import Contracts
import Foundation
import HTTPTypes
import Messaging
import Postgres
import ServiceKit

/// The way of a browser to a code: the request, signing in, the second factor, consent, and back to the client.
struct AuthorizeRoutes {
    let database: Database
    let authentication: ClientAuthentication
    let browsers: BrowserSessions
    let people: PeopleClient
    let hints: IDTokenHints
    let firstFactor: PageSignIn
    let sealing: Sealing
    let issuer: String

    /// Forms of ours and of clients are small.
    static let maximumBodyBytes = 65_536

    private var cookies: PageCookies { browsers.cookies }

    var endpoints: Endpoints {
        Endpoints("/oauth2") {
            Endpoint.get("authorize", "Ask a browser to sign somebody in for a client (RFC 6749, 4.1.1)", .public, authorize)
            Endpoint.form(
                "authorize", "The same, as a form", .public, maxBodyBytes: Self.maximumBodyBytes, authorizeByForm)
            Endpoint.get("continue", "Go on with a sign-in", .public, proceed)
            Endpoint.form("sign-in", "The sign-in page's form", .public, maxBodyBytes: Self.maximumBodyBytes, signIn)
            Endpoint.form("passkey", "The sign-in page's form for passkeys", .public, maxBodyBytes: Self.maximumBodyBytes, passkey)
            Endpoint.form("second-factor", "The second step's form", .public, maxBodyBytes: Self.maximumBodyBytes, secondFactor)
            Endpoint.form("consent", "The consent page's form", .public, maxBodyBytes: Self.maximumBodyBytes, consent)
        }
    }

    // MARK: - The request

    func authorize(_ request: PublicRequest, _ query: AuthorizationForm) async throws -> PageOrRedirect {
        let client = try await client(query.parameters)
        var wanted: AuthorizationRequest
        do {
            wanted = try AuthorizationRequest(query.parameters, client, at: request.now)
        } catch {
            switch error {
            case .here(let failure): throw PageFailure(failure)
            case .atClient(let failure, let reply): return ClientReply.refusal(failure, at: reply, issuer: issuer)
            }
        }
        if let hint = query.parameters.idTokenHint {
            guard let known = await hints.read(hint), known.aud == client.clientID, let user = UserID(known.sub) else {
                return ClientReply.refusal(
                    OAuthFailure(.invalidRequest, "id_token_hint is not an ID token of this client."), at: wanted.reply, issuer: issuer)
            }
            wanted.expectedUser = user
        }
        return try await decide(wanted, client, request)
    }

    /// A browser does not send our cookie along with another site's form, but it does with the page that the form leads to.
    func authorizeByForm(_ request: PublicRequest, _ form: AuthorizationForm) async throws -> PageOrRedirect {
        let client = try await client(form.parameters)
        do {
            _ = try AuthorizationRequest.trustedAddress(form.parameters, client)
        } catch {
            if case .here(let failure) = error { throw PageFailure(failure) }
        }
        return .redirect(Redirect(to: RedirectAddress.adding(form.pairs, to: OpenIDPaths.authorize)))
    }

    private func client(_ parameters: AuthorizationRequest.Parameters) async throws -> OAuthClient {
        guard let text = parameters.clientID, let client = try await authentication.find(text) else {
            throw PageFailure("unknown-client", "The application that sent you here is not known. It may have been removed.")
        }
        return client
    }

    /// The page after a form: the same decision anew, with whoever is signed in by now.
    func proceed(_ request: PublicRequest, _ query: StateForm) async throws -> PageOrRedirect {
        let (content, client) = try await open(query.request, request)
        return try await decide(content.request, client, request)
    }

    private func open(_ text: String, _ request: PublicRequest) async throws -> (PageState.Content, OAuthClient) {
        let content = try PageState.open(text, cookie: cookies.value(.form, of: request), sealing, now: request.now)
        let name = ClientName(tenant: content.request.tenant, id: content.request.client)
        // It may have been removed, or have lost the address, while the page was open.
        guard let client = try await authentication.find(name.text), client.redirectAddress(content.request.redirectURI) != nil else {
            throw PageFailure("unknown-client", "The application that sent you here is not known. It may have been removed.")
        }
        return (content, client)
    }

    // MARK: - What is still missing

    private func decide(_ wanted: AuthorizationRequest, _ client: OAuthClient, _ request: PublicRequest) async throws -> PageOrRedirect {
        guard let browser = try await browsers.current(request),
            wanted.accepts(authenticatedAt: browser.session.authenticatedAt, now: request.now),
            wanted.expectedUser == nil || wanted.expectedUser == browser.account
        else { return try await askForSignIn(wanted, client, request, error: nil) }
        let claims: PersonClaims
        do {
            claims = try await people.claims(of: browser.account, in: wanted.tenant.description)
        } catch let refusal as AccountFailure where refusal.kind == .forbidden {
            if wanted.isSilent { return refuse(.accessDenied, "The person may not sign in to this organization.", wanted) }
            return try await askForSignIn(wanted, client, request, error: refusal)
        }
        if claims.requiresSecondFactor, !browser.session.methods.includeSecondFactor {
            // Who has just signed in and was not asked has none to show.
            let isFresh = browser.session.authenticatedAt >= wanted.askedAt
            return try await askForSignIn(wanted, client, request, error: isFresh ? AccessFailure.secondFactorRequired : nil)
        }
        let allowed = try await database.first(
            GrantStore.scopes(of: browser.account, for: client.id), as: .anonymous(in: client.tenant))
        guard !wanted.wantsConsent, let allowed, wanted.grantedScopes.isSubset(of: allowed) else {
            if wanted.isSilent { return refuse(.consentRequired, "The person has not allowed this yet.", wanted) }
            return .page(try askForConsent(wanted, client, claims, browser, request))
        }
        return try await give(wanted, browser, allowing: nil, request)
    }

    private func refuse(_ error: OAuthFailure.Code, _ description: String, _ wanted: AuthorizationRequest) -> PageOrRedirect {
        ClientReply.refusal(OAuthFailure(error, description), at: wanted.reply, issuer: issuer)
    }

    private func askForSignIn(
        _ wanted: AuthorizationRequest, _ client: OAuthClient, _ request: PublicRequest, error: (any Failure)?
    ) async throws -> PageOrRedirect {
        if wanted.isSilent { return refuse(.loginRequired, "Nobody is signed in as this request needs it.", wanted) }
        return .page(try await signInPage(wanted, client, request, email: nil, error))
    }

    private func askForConsent(
        _ wanted: AuthorizationRequest, _ client: OAuthClient, _ claims: PersonClaims, _ browser: SignedInBrowser, _ request: PublicRequest
    ) throws -> HTMLPage {
        let cookie = FormCookie(request, cookies)
        let other = try PageState.seal(
            .init(request: wanted.askingForSignIn(at: request.now), browser: cookie.digest, sealedAt: request.now), sealing)
        return try pages(wanted, client, request, cookie: cookie, account: browser.account).consent(
            email: claims.email, organization: claims.organization.name, scopes: wanted.grantedScopes, other: other)
    }

    private func pages(
        _ wanted: AuthorizationRequest, _ client: OAuthClient, _ request: PublicRequest, cookie: FormCookie? = nil,
        step: PageState.SecondStep? = nil, account: UserID? = nil
    ) throws -> SignInPages {
        let cookie = cookie ?? FormCookie(request, cookies)
        let state = try PageState.seal(
            .init(request: wanted, browser: cookie.digest, sealedAt: request.now, secondFactor: step, account: account), sealing)
        return SignInPages(state: state, request: wanted, clientName: client.name.rawValue, cookies: cookie.field)
    }

    // MARK: - Forms

    func signIn(_ request: PublicRequest, _ form: SignInForm) async throws -> PageOrRedirect {
        let (content, client) = try await open(form.request, request)
        do {
            guard let email = EmailAddress(rawValue: form.email), let password = PresentedSecret(form.password) else {
                throw AccountFailure.wrongCredentials
            }
            let answer = try await firstFactor.password(request, email, password, in: content.request.tenant)
            return try await go(on: answer, content, client, request)
        } catch let failure as any Failure where Self.isForThePerson(failure) {
            return .page(try await signInPage(content.request, client, request, email: form.email, failure))
        }
    }

    func passkey(_ request: PublicRequest, _ form: PasskeyForm) async throws -> PageOrRedirect {
        let (content, client) = try await open(form.request, request)
        do {
            let answer = try await firstFactor.passkey(request, form.credential, in: content.request.tenant)
            return try await go(on: answer, content, client, request)
        } catch let failure as any Failure where Self.isForThePerson(failure) {
            return .page(try await signInPage(content.request, client, request, email: nil, failure))
        }
    }

    func secondFactor(_ request: PublicRequest, _ form: SecondFactorForm) async throws -> PageOrRedirect {
        let (content, client) = try await open(form.request, request)
        guard let step = content.secondFactor else { throw PageFailure.stale }
        func again(_ failure: (any Failure)?) async throws -> PageOrRedirect {
            let options = step.hasKey ? try await firstFactor.keyOptions(step.token, request) : nil
            return .page(
                try pages(content.request, client, request, step: step).secondFactor(
                    methods: step.methods, chosen: form.method, keyOptions: options, error: failure?.detail,
                    status: failure.map { Self.status(of: $0) } ?? .ok))
        }
        do {
            let isKey = form.credential.map { !$0.isEmpty } ?? false
            let method = isKey ? PageSignIn.keyMethod : form.method ?? ""
            guard isKey ? step.hasKey : step.methods.contains(method) else { throw PageFailure.stale }
            if form.action == "send" {
                try await firstFactor.sendCode(request, step.token, method)
                return try await again(nil)
            }
            let shown = isKey ? form.credential : form.code
            let signedIn = try await firstFactor.secondFactor(request, step.token, method, shown: shown ?? "")
            return try await go(on: .signedIn(signedIn), content, client, request)
        } catch SecondFactorFailure.badToken {
            // Too many wrong answers, or too late: from the beginning.
            return .page(try await signInPage(content.request, client, request, email: nil, SecondFactorFailure.badToken))
        } catch let failure as any Failure where Self.isForThePerson(failure) {
            return try await again(failure)
        }
    }

    private func go(
        on answer: PageSignIn.Answer, _ content: PageState.Content, _ client: OAuthClient, _ request: PublicRequest
    ) async throws -> PageOrRedirect {
        switch answer {
        case .signedIn(let signedIn):
            let cookie = try await browsers.keep(signedIn, request)
            let next = try PageState.seal(.init(request: content.request, browser: content.browser, sealedAt: request.now), sealing)
            var headers = HTTPFields()
            headers.append(cookie)
            if let device = signedIn.deviceCookie { headers.append(HTTPField(name: .setCookie, value: device)) }
            // On with GET, so that nobody sends the password again by reloading the page.
            return .redirect(Redirect(to: "\(OpenIDPaths.proceed)?request=\(next.text)", headers: headers))
        case .secondFactor(let asked):
            let step = PageState.SecondStep(token: asked.token, methods: asked.methods, hasKey: asked.keyOptions != nil)
            return .page(
                try pages(content.request, client, request, step: step).secondFactor(
                    methods: asked.methods, chosen: nil, keyOptions: asked.keyOptions))
        }
    }

    private func signInPage(
        _ wanted: AuthorizationRequest, _ client: OAuthClient, _ request: PublicRequest, email: String?, _ failure: (any Failure)?
    ) async throws -> HTMLPage {
        try pages(wanted, client, request).signIn(
            email: email, passkeyOptions: try await firstFactor.passkeyOptions(request), error: failure?.detail,
            status: failure.map { Self.status(of: $0) } ?? .ok)
    }

    /// What the person can put right is said on the page; anything else is no business of a form.
    private static func isForThePerson(_ failure: any Failure) -> Bool {
        switch failure.kind {
        case .unauthenticated, .forbidden, .limited, .conflict, .unavailable, .invalid: !(failure is PageFailure)
        default: false
        }
    }

    /// A page is no answer to a token that is missing: 401 is for programs.
    private static func status(of failure: any Failure) -> HTTPResponse.Status {
        failure.kind == .unauthenticated ? .badRequest : failure.kind.status
    }

    func consent(_ request: PublicRequest, _ form: ConsentForm) async throws -> PageOrRedirect {
        let (content, client) = try await open(form.request, request)
        let wanted = content.request
        guard let account = content.account else { throw PageFailure.stale }
        guard form.decision == "allow" else { return refuse(.accessDenied, "The person did not allow it.", wanted) }
        guard let browser = try await browsers.current(request), browser.account == account,
            wanted.accepts(authenticatedAt: browser.session.authenticatedAt, now: request.now)
        else { return try await decide(wanted, client, request) }
        do {
            _ = try await people.claims(of: account, in: wanted.tenant.description)
        } catch let refusal as AccountFailure where refusal.kind == .forbidden {
            return refuse(.accessDenied, "The person may not sign in to this organization.", wanted)
        }
        return try await give(wanted, browser, allowing: wanted.grantedScopes, request)
    }

    // MARK: - The code

    private func give(
        _ wanted: AuthorizationRequest, _ browser: SignedInBrowser, allowing scopes: [OAuthScope]?, _ request: PublicRequest
    ) async throws -> PageOrRedirect {
        let authorization = Authorization.give(
            wanted, to: browser.account, browser: browser.reference, methods: browser.session.methods,
            authenticatedAt: browser.session.authenticatedAt, address: request.clientAddress, userAgent: request.userAgent, at: request.now)
        let code = CarriedSecret.make(.code, tenant: wanted.tenant, id: authorization.id.uuid)
        // Before the code: signing out looks where the browser has been.
        try await database.execute(
            BrowserStore.noteVisit(browser.session.id, to: wanted.tenant), as: Caller(.person(browser.account), tenant: browser.tenant))
        let caller = Caller(.person(browser.account), tenant: wanted.tenant)
        try await database.transaction(as: caller) { tx in
            if let scopes {
                try GrantStore(tx: tx).allow(scopes, browser.account, wanted.client)
                try Audit(tx, request).record(
                    "auth.grant.allow", "oauth-client", wanted.client.description, changed: ["scope": .string(scopes.parameter)])
            }
            try AuthorizationStore(tx: tx).insert(authorization, code: code)
        }
        return ClientReply.answer([("code", code.text)], at: wanted.reply, issuer: issuer)
    }
}
