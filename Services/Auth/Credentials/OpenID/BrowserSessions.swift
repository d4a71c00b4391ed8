import Contracts
import Foundation
import HTTPTypes
import Postgres
import ServiceKit

/// Who is signed in to our own pages in a browser, so that the second client need not ask for the password again.
///
/// Behind the cookie is an ordinary session, which the person sees in their list and can end from elsewhere.
struct BrowserSessions: Sendable {
    /// Seconds after which a browser signs in again.
    static let lifetime: TimeInterval = 43_200

    let database: Database
    let tokens: ClientTokens
    let cookies: PageCookies

    /// The session of this browser, when it has one that lives.
    func current(_ request: PublicRequest) async throws -> SignedInBrowser? {
        guard let cookie = cookies.value(.session, of: request).flatMap({ CarriedSecret(.browser, $0) }) else { return nil }
        let held = try await database.transaction(as: .anonymous(in: cookie.tenant)) { tx in try BrowserStore(tx: tx).find(cookie) }
        return held.map { SignedInBrowser(tenant: cookie.tenant, session: $0.session) }
    }

    /// Keeps a sign-in for this browser. Returns the header that sets its cookie.
    func keep(_ signedIn: SignedIn, _ request: PublicRequest) async throws -> HTTPField {
        guard let token = RefreshToken(signedIn.refreshToken) else { throw SessionFailure.badRefreshToken }
        let cookie = CarriedSecret.make(.browser, tenant: token.tenant, id: token.session.uuid)
        let expiresAt = request.now.addingTimeInterval(Self.lifetime)
        let caller = Caller(.person(signedIn.user.id), tenant: token.tenant, session: token.session)
        try await database.transaction(as: caller) { tx in
            // Nobody was given the refresh token: the session goes on as long as the browser's cookie, no longer.
            _ = try RefreshTokenStore(tx: tx).spend(token)
            try BrowserStore(tx: tx).insert(cookie, expiresAt: expiresAt)
        }
        return cookies.set(.session, cookie.text)
    }

    /// Ends a browser's session and every session that clients have through it, in whatever organization.
    func end(_ browser: Authorization.BrowserReference, of account: UserID, _ request: PublicRequest) async throws {
        let caller = Caller(.person(account), tenant: browser.tenant, session: browser.session)
        let visited = try await database.transaction(as: caller) { tx in
            let browsers = BrowserStore(tx: tx)
            let tenants = try browsers.tenants(of: browser.session)
            try browsers.remove(browser.session)
            return tenants
        }
        for tenant in Set(visited + [browser.tenant]) {
            let own = Caller(.person(account), tenant: tenant)
            try await database.transaction(as: own) { tx in try AuthorizationStore(tx: tx).spoilCodes(ofBrowser: browser.session) }
            let live = try await database.query(AuthorizationStore.live(ofBrowser: browser.session, at: request.now), as: own)
            try await tokens.end(live, in: tenant, .logout, request)
        }
        try await tokens.sessions.end(browser.session, of: account, in: browser.tenant, .logout, request)
    }
}

/// A browser that is signed in.
struct SignedInBrowser: Sendable {
    let tenant: TenantID
    let session: Session

    var reference: Authorization.BrowserReference { .init(tenant: tenant, session: session.id) }
    var account: UserID { session.account }
}

/// The two cookies of our pages. Over https their names begin with `__Host-`, so that no other host can have set them.
struct PageCookies: Sendable {
    enum Name: String, Sendable {
        /// Who is signed in.
        case session = "trionex-session"
        /// Ties forms to the browser that they were shown in.
        case form = "trionex-form"
    }

    /// Cookies of a request beyond which none is looked for.
    static let maximumBytes = 16_384
    let isSecure: Bool

    init(publicURL: String) { isSecure = publicURL.hasPrefix("https://") }

    private func name(_ name: Name) -> String { (isSecure ? "__Host-" : "") + name.rawValue }

    /// A cookie that is there twice is no cookie: one of the two was put there by somebody else.
    func value(_ name: Name, of request: PublicRequest) -> String? {
        let wanted = self.name(name)
        let text = request.headers[values: .cookie].joined(separator: "; ")
        guard text.utf8.count <= Self.maximumBytes else { return nil }
        let values = text.split(separator: ";").compactMap { pair -> String? in
            let halves = pair.trimmingCharacters(in: .whitespaces).split(separator: "=", maxSplits: 1)
            return halves.count == 2 && halves[0] == wanted ? String(halves[1]) : nil
        }
        return values.count == 1 ? values[0] : nil
    }

    func set(_ name: Name, _ value: String) -> HTTPField { field(name, value, more: "") }

    func clear(_ name: Name) -> HTTPField { field(name, "", more: "; Max-Age=0") }

    private func field(_ name: Name, _ value: String, more: String) -> HTTPField {
        HTTPField(
            name: .setCookie,
            value: "\(self.name(name))=\(value); Path=/; HttpOnly; SameSite=Lax\(isSecure ? "; Secure" : "")\(more)")
    }
}
