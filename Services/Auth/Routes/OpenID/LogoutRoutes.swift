import Contracts
import Foundation
import HTTPTypes
import Postgres
import ServiceKit

/// Signing out, when a client sends the browser (OpenID Connect RP-Initiated Logout 1.0): the browser's session ends, and with it every
/// session that clients have through it.
struct LogoutRoutes {
    let database: Database
    let authentication: ClientAuthentication
    let browsers: BrowserSessions
    let hints: IDTokenHints
    let sealing: Sealing

    static let maximumBodyBytes = 65_536

    var endpoints: Endpoints {
        Endpoints("/oauth2") {
            Endpoint.get("logout", "Sign a browser out (OpenID Connect RP-Initiated Logout)", .public, logout)
            Endpoint.form("logout", "The same, as a form", .public, maxBodyBytes: Self.maximumBodyBytes, logout)
            Endpoint.form("logout/confirm", "The sign-out page's form", .public, maxBodyBytes: Self.maximumBodyBytes, confirm)
        }
    }

    /// Where the person goes from here, if anywhere.
    private struct Ahead: Codable {
        let address: String?
        let browser: Data
        let sealedAt: Date
        /// The client's session that the request was about, where it came through another sign-in than the browser's present one.
        var session: SessionID?
        var organization: TenantID?
    }

    private static let context = "openid sign-out page"

    func logout(_ request: PublicRequest, _ form: LogoutForm) async throws -> PageOrRedirect {
        let hint: IDTokenClaims?
        if let text = form.idTokenHint {
            guard let known = await hints.read(text), form.clientID == nil || form.clientID == known.aud else {
                throw PageFailure("bad-hint", "The application sent a sign-out request that is not about a sign-in here.")
            }
            hint = known
        } else {
            hint = nil
        }
        let address = try await returnAddress(form, client: hint?.aud ?? form.clientID)
        let browser = try await browsers.current(request)
        let through: Authorization? = if let hint { try await authorization(hint) } else { nil }
        if let through, let hint {
            // The client's session came through the browser's own sign-in: nobody need be asked.
            let isOwn = browser?.reference == through.browser
            // A browser sends no cookie with another site's form. Then the hint alone must do, while it is as good as a token: an older
            // one has lain about, and is no reason to sign anybody out from afar.
            let isFresh = browser == nil && hint.exp > Int(request.now.timeIntervalSince1970)
            if isOwn || isFresh {
                try await browsers.end(through.browser, of: through.account, request)
                return done(address, clearing: true)
            }
        }
        // With the page's form the browser sends its cookie.
        guard browser != nil || (through != nil && request.method == .post) else { return done(address, clearing: true) }
        let isTheirs = browser == nil || browser?.account == through?.account
        return .page(try ask(address, isTheirs ? through : nil, hint, request))
    }

    /// Exactly one that the client registered. Any other is no reason to stay signed in, but nobody is sent there.
    private func returnAddress(_ form: LogoutForm, client text: String?) async throws -> String? {
        guard let wanted = form.postLogoutRedirectURI else { return nil }
        guard let text, let client = try await authentication.find(text),
            client.postLogoutRedirectURIs.contains(where: { $0.rawValue == wanted }),
            (form.state?.utf8.count ?? 0) <= AuthorizationRequest.maximumState
        else { return nil }
        return RedirectAddress.adding(form.state.map { [("state", $0)] } ?? [], to: wanted)
    }

    /// The sign-in through a client that the hint is of, while its session lives.
    private func authorization(_ hint: IDTokenClaims) async throws -> Authorization? {
        guard let name = ClientName(hint.aud) else { return nil }
        return try await authorization(of: hint.sid, in: name.tenant)
    }

    private func authorization(of session: SessionID, in tenant: TenantID) async throws -> Authorization? {
        try await database.first(AuthorizationStore.find(session: session), as: .anonymous(in: tenant))
    }

    private func ask(_ address: String?, _ through: Authorization?, _ hint: IDTokenClaims?, _ request: PublicRequest) throws -> HTMLPage {
        let cookie = FormCookie(request, browsers.cookies)
        let ahead = Ahead(
            address: address, browser: cookie.digest, sealedAt: request.now, session: through?.session,
            organization: through == nil ? nil : hint.flatMap { ClientName($0.aud)?.tenant })
        let sealed = Base64URL.encode(try sealing.seal(try JSONEncoder().encode(ahead), context: Self.context))
        let body = """
            <p>You will be signed out here and in every application that you signed in to from this browser.</p>
            <form method="post" action="\(OpenIDPaths.confirmLogout)">
            \(PageFrame.hidden("request", sealed))
            <button type="submit">\(PageText.signOut)</button>
            </form>
            """
        return PageFrame.page(
            PageText.signOut, heading: "Sign out?", body: body, formTarget: address.flatMap(RedirectAddress.formTarget),
            cookies: cookie.field)
    }

    func confirm(_ request: PublicRequest, _ form: ConfirmLogoutForm) async throws -> PageOrRedirect {
        guard form.request.utf8.count <= PageState.maximumBytes, let cookie = browsers.cookies.value(.form, of: request),
            let sealed = Base64URL.decode(form.request), let plain = try? sealing.open(sealed, context: Self.context),
            let ahead = try? JSONDecoder().decode(Ahead.self, from: plain), ahead.browser == PageState.digest(cookie),
            request.now.timeIntervalSince(ahead.sealedAt) <= PageState.lifetime
        else { throw PageFailure.stale }
        let browser = try await browsers.current(request)
        if let browser { try await browsers.end(browser.reference, of: browser.account, request) }
        // The client's session, only for whoever is signed in here as its person.
        if let browser, let session = ahead.session, let organization = ahead.organization,
            let through = try await authorization(of: session, in: organization), through.account == browser.account
        {
            try await browsers.end(through.browser, of: through.account, request)
        }
        return done(ahead.address, clearing: true)
    }

    private func done(_ address: String?, clearing: Bool) -> PageOrRedirect {
        let cleared = browsers.cookies.clear(.session)
        if let address { return .redirect(Redirect(to: address, headers: [cleared.name: cleared.value])) }
        return .page(
            PageFrame.page(
                "Signed out", heading: "You are signed out", body: "<p>You can close this window.</p>", cookies: clearing ? [cleared] : []))
    }
}
