import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

/// Signing in with others: to the issuer, back from it, and the code against tokens.
///
/// The browser ends at `returnTo` with a code, never with a token: addresses stay in histories, logs and `Referer`.
struct SSOSignInRoutes {
    let database: Database
    let signIn: SSOSignIn
    let admission: SSOAdmission
    let routing: SSORouting
    let people: PeopleClient
    let gate: SignInGate
    let sealing: Sealing
    let publicURL: String
    let logger: Logger

    var endpoints: Endpoints {
        Endpoints("auth/sso") {
            Endpoint.post("discover", "How people of an e-mail domain sign in", .public, discover)
            Endpoint.post("token", "Exchange the code that a sign-in with others ended in for tokens", .public, token)
            Endpoint.get(":connection/start", "Go to the issuer to sign in", .public, start)
            Endpoint.get(":connection/callback", "Come back from the issuer", .public, callback)
            Endpoint.post(":connection/link", "Link who one is at the issuer to one's account", may: .recently(nil), link)
        }
    }

    struct Discovery: Decodable, Sendable {
        let email: EmailAddress
    }

    struct Start: Decodable, Sendable {
        /// A path, or an address of an origin that the connection allows.
        let returnTo: String?
        /// PKCE of the client's own (RFC 7636, S256): then the code is good only with its `codeVerifier`.
        let codeChallenge: CodeChallenge?
    }

    /// What the issuer answers, by way of the browser. Issuers add parameters of their own.
    struct Callback: Decodable, Sendable, OpenFields {
        let code: String?
        let state: String?
        let error: String?
        let iss: String?
    }

    struct Exchange: Decodable, Sendable {
        let code: PresentedSecret
        let codeVerifier: PresentedSecret?
    }

    struct Linking: Decodable, Sendable {
        let returnTo: String?
    }

    // MARK: - Beginning

    /// The answer depends on the domain alone: it says nothing of whether somebody has an account.
    func discover(_ request: PublicRequest, _ body: Discovery) async throws -> SSODiscoveryView {
        SSODiscoveryView(try await routing.route(for: body.email.domain), publicURL: publicURL)
    }

    func start(_ request: PublicRequest, _ query: Start) async throws -> PageOrRedirect {
        let (tenant, connection) = try await find(try request.path("connection", as: SSOConnectionID.self))
        let returnTo = try SSOReturn.resolve(query.returnTo, publicURL: publicURL, allowed: connection.settings.returnOrigins)
        if query.codeChallenge == nil, !SSOReturn.isOwn(returnTo, publicURL: publicURL) {
            throw ValidationFailure("?codeChallenge", "missing", "is needed to return to another origin: the code is in the address")
        }
        let attempt = SSOAttempt(
            connection: connection.id, returnTo: returnTo, challenge: query.codeChallenge?.rawValue, linkTo: nil, createdAt: request.now)
        do {
            let (address, cookie) = try await begin(attempt, connection, as: .anonymous(in: tenant))
            return .redirect(Redirect(to: address, headers: [.setCookie: cookie]))
        } catch let failure as any Failure {
            return back(attempt, failure)
        }
    }

    /// For a signed-in person, who proved who they are a short while ago: the address to send the browser to.
    func link(_ request: CallerRequest, _ body: Linking) async throws -> SSOLinkAnswer {
        let id = try request.path("connection", as: SSOConnectionID.self)
        guard let connection = try await database.first(SSOConnectionStore.find(id), as: request.caller), connection.settings.enabled else {
            throw SSOFailure.connectionNotFound
        }
        let user = try PersonalRequest.holder(request.caller, request.http).account
        // What is linked to an account before its address is known to be the person's would wait for the address' owner.
        guard let account = try await database.first(AccountStore.find(user), as: AccountStore.caller), account.isEmailVerified else {
            throw AccountFailure.addressUnverified
        }
        let returnTo = try SSOReturn.resolve(body.returnTo, publicURL: publicURL, allowed: connection.settings.returnOrigins)
        let attempt = SSOAttempt(connection: id, returnTo: returnTo, challenge: nil, linkTo: user, createdAt: request.now)
        let (address, cookie) = try await begin(attempt, connection, as: request.caller)
        return SSOLinkAnswer(view: SSOLinkView(location: address), cookie: cookie)
    }

    private func begin(
        _ attempt: SSOAttempt, _ connection: SSOConnection, as caller: Caller
    ) async throws -> (address: String, cookie: String) {
        let secrets = SSOSecrets.make()
        let address = try await signIn.address(connection, conversation(secrets, connection.id))
        try await database.transaction(as: caller) { tx in try SSOAttemptStore(tx: tx).insert(attempt, secrets) }
        return (address, cookie(secrets, connection.id, maxAge: Int(SSOAttempt.lifetime)))
    }

    /// Lax: the issuer sends the browser here from another site, with GET. Sent to this one path only.
    private func cookie(_ secrets: SSOSecrets, _ id: SSOConnectionID, maxAge: Int) -> String {
        let secure = publicURL.hasPrefix("https://") ? "; Secure" : ""
        return "\(secrets.cookieName)=\(maxAge > 0 ? secrets.browser : ""); Path=\(SSOPaths.callbackPath(id)); Max-Age=\(maxAge)"
            + "; HttpOnly; SameSite=Lax\(secure)"
    }

    private func conversation(_ secrets: SSOSecrets, _ id: SSOConnectionID) -> SSOSignIn.Request {
        SSOSignIn.Request(
            redirectURI: SSOPaths.callback(id, publicURL), state: secrets.state, nonce: secrets.nonce, verifier: secrets.verifier)
    }

    // MARK: - Coming back

    func callback(_ request: PublicRequest, _ query: Callback) async throws -> PageOrRedirect {
        let (tenant, connection) = try await find(try request.path("connection", as: SSOConnectionID.self))
        guard let state = query.state, let browser = request.cookie(SSOSecrets.cookieName(state: state)) else {
            Self.count(connection, "refused")
            return Self.page(SSOFailure.badState, publicURL)
        }
        let secrets = SSOSecrets(state: state, browser: browser)
        let taken = try await database.first(
            SSOAttemptStore.take(secrets, connection.id, at: request.now), as: .anonymous(in: tenant))
        guard let attempt = taken else {
            Self.count(connection, "refused")
            return Self.page(SSOFailure.badState, publicURL)
        }
        let spent = cookie(secrets, connection.id, maxAge: 0)
        do {
            let assertion = try await redeem(query, connection, secrets, attempt, in: tenant, now: request.now)
            let answer = try await finish(assertion, connection, attempt, in: tenant, request)
            Self.count(connection, "succeeded")
            return .redirect(Redirect(to: answer, headers: [.setCookie: spent]))
        } catch let failure as any Failure {
            try await refused(failure, connection, in: tenant, request)
            return back(attempt, failure, cookie: spent)
        }
    }

    private func redeem(
        _ query: Callback, _ connection: SSOConnection, _ secrets: SSOSecrets, _ attempt: SSOAttempt, in tenant: TenantID, now: Date
    ) async throws -> SSOAssertion {
        if let error = query.error { throw error == "access_denied" ? SSOFailure.declined : SSOFailure.issuerRefused }
        guard let code = query.code, !code.isEmpty else { throw SSOFailure.badIssuerAnswer }
        guard let sealed = try await database.first(SSOConnectionStore.secret(of: connection.id), as: .anonymous(in: tenant)) else {
            throw SSOFailure.connectionNotFound
        }
        let secret = try opened(sealed, connection, in: tenant)
        return try await signIn.redeem(
            code, issuer: query.iss, connection, secret: secret, conversation(secrets, connection.id), begun: attempt.createdAt, now: now)
    }

    private func opened(_ sealed: Data, _ connection: SSOConnection, in tenant: TenantID) throws -> String {
        do {
            return String(decoding: try sealing.open(sealed, context: connection.sealingContext(in: tenant)), as: UTF8.self)
        } catch is Sealing.CannotOpen {
            logger.error(
                "the client secret of a connection cannot be opened: TRIONEX_SEALING_KEY lacks the key that sealed it",
                metadata: ["connection": "\(connection.id)", "tenantId": "\(tenant)"])
            throw SSOFailure.secretUnreadable
        }
    }

    /// Where the browser goes: with a code, or, when the identity was to be linked, with word of that.
    private func finish(
        _ assertion: SSOAssertion, _ connection: SSOConnection, _ attempt: SSOAttempt, in tenant: TenantID, _ request: PublicRequest
    ) async throws -> String {
        if let account = attempt.linkTo {
            // Somebody who is no member any more has no business with the organization's issuer.
            _ = try await people.claims(of: account, in: tenant.description)
            _ = try await admission.link(assertion, to: account, by: .person)
            try await database.transaction(as: Caller(.person(account), tenant: tenant)) { tx in
                try Audit(tx, request).record(
                    "auth.identity.link", "account", account.description, risk: "medium",
                    changed: ["issuer": .string(assertion.issuer), "connection": .string(connection.id.description)])
            }
            return SSOReturn.adding("linked", "true", to: attempt.returnTo)
        }
        let account = try await admission.admit(assertion, connection, in: tenant, request)
        let code = SSOCode.make(in: tenant)
        try await database.transaction(as: Caller(.person(account), tenant: tenant)) { tx in
            try SSOAttemptStore(tx: tx).insert(
                code, SSOAttemptStore.Grant(connection: connection.id, account: account, challenge: attempt.challenge))
            try SSOConnectionStore(tx: tx).noteUse(connection.id)
            try Audit(tx, request).record(
                "auth.sso.sign-in", "account", account.description,
                changed: ["issuer": .string(assertion.issuer), "connection": .string(connection.id.description)])
        }
        return SSOReturn.adding("code", code.text, to: attempt.returnTo)
    }

    /// The same audit as a failed sign-in with a password has, in the organization whose door it was.
    private func refused(_ failure: any Failure, _ connection: SSOConnection, in tenant: TenantID, _ request: PublicRequest) async throws {
        request.note("ssoRefusal", failure.code)
        if case .unavailable = failure.kind {
            Self.count(connection, "unavailable")
            return
        }
        Self.count(connection, "refused")
        try await database.transaction(as: .anonymous(in: tenant)) { tx in
            try Outbox(tx).append(
                AuditEntryRecorded(
                    action: "auth.sso.sign-in", resourceType: "sso-connection", resourceID: connection.id.description,
                    actor: tx.caller.principalText, outcome: "refused",
                    riskLevel: failure.code == SSOFailure.badToken.code ? "high" : "medium",
                    address: request.clientAddress, userAgent: request.userAgent, changed: ["reason": .string(failure.code)],
                    requestID: request.requestID))
        }
    }

    // MARK: - Tokens

    /// The session begins here: its address and agent are the client's, and a second factor is asked for as after a password.
    func token(_ request: PublicRequest, _ body: Exchange) async throws -> Uncached<SignInAnswer> {
        guard let code = SSOCode(body.code.text),
            let grant = try await database.first(SSOAttemptStore.take(code, at: request.now), as: .anonymous(in: code.tenant))
        else { throw SSOFailure.badCode }
        if let challenge = grant.challenge {
            guard let verifier = body.codeVerifier, SSOSecrets.challenge(of: verifier.text) == challenge else { throw SSOFailure.badCode }
        }
        guard let connection = try await database.first(SSOConnectionStore.find(grant.connection), as: .anonymous(in: code.tenant)),
            connection.settings.enabled, let account = try await database.first(AccountStore.find(grant.account), as: AccountStore.caller),
            account.status == .active
        else { throw SSOFailure.badCode }
        let claims = try await people.claims(of: account.id, in: code.tenant.description)
        let ownsDomain = try await admission.organizations.owns(account.email.domain, code.tenant)
        let methods = [SignInReference.federated] + (ownsDomain ? [SignInReference.ownDomain] : [])
        return Uncached(try await gate.admit(account, claims, methods: methods, request))
    }

    // MARK: - What they share

    /// A connection that is off is as good as none.
    private func find(_ id: SSOConnectionID) async throws -> (TenantID, SSOConnection) {
        let tenant = try await database.platform(PlatformWork("connection of a sign-in")) { tx in
            try PlatformSSOStore(tx: tx).tenant(of: id)
        }
        guard let tenant, let connection = try await database.first(SSOConnectionStore.find(id), as: .anonymous(in: tenant)),
            connection.settings.enabled
        else { throw SSOFailure.connectionNotFound }
        return (tenant, connection)
    }

    /// To where the sign-in was begun, with the code of the refusal.
    private func back(_ attempt: SSOAttempt, _ failure: any Failure, cookie: String? = nil) -> PageOrRedirect {
        var headers: HTTPFields = [:]
        if let cookie { headers[.setCookie] = cookie }
        return .redirect(Redirect(to: SSOReturn.adding("error", failure.code, to: attempt.returnTo), headers: headers))
    }

    /// For a browser that has come from nowhere we know of: a page, since there is nowhere to send it.
    static func page(_ failure: any Failure, _ publicURL: String) -> PageOrRedirect {
        let home = HTMLPage.escape(publicURL + "/")
        return .page(
            HTMLPage(
                """
                <!doctype html>
                <html lang="en"><head><meta charset="utf-8"><title>Sign-in did not work</title>
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <style>body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}</style></head>
                <body><main><h1>Sign-in did not work</h1><p>\(HTMLPage.escape(failure.detail ?? ""))</p>
                <p><a href="\(home)">Start again</a></p></main></body></html>
                """, status: .badRequest))
    }

    private static func count(_ connection: SSOConnection, _ result: String) {
        Counter(
            label: "trionex_auth_sso_sign_ins_total", dimensions: [("kind", connection.settings.preset.rawValue), ("result", result)]
        ).increment()
    }
}

/// A PKCE challenge by S256: the base64url of 32 bytes.
struct CodeChallenge: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 43, maxLength: 43, pattern: "^[A-Za-z0-9_-]{43}$") }

    static func check(_ text: String) throws(TextProblem) -> String {
        guard text.utf8.count == 43, Base64URL.decode(text)?.count == 32 else {
            throw TextProblem("invalid-challenge", "must be the base64url of a SHA-256")
        }
        return text
    }
}

struct SSOLinkView: View {
    /// Where the browser goes now, with the cookie that came with this answer.
    let location: String
}

/// An address, and the cookie that ties what comes back to this browser.
struct SSOLinkAnswer: EndpointResult {
    let view: SSOLinkView
    let cookie: String

    static var status: HTTPResponse.Status { .ok }
    static var bodySchema: NamedSchema? { SSOLinkView.bodySchema }

    func response(to request: PublicRequest) throws -> Response {
        var response = try view.response(to: request)
        response.headers[.setCookie] = cookie
        response.headers[.cacheControl] = "no-store"
        return response
    }
}

extension PublicRequest {
    /// The value of a cookie (RFC 6265, section 4.2.1).
    fileprivate func cookie(_ name: String) -> String? {
        for header in headers[values: .cookie] {
            for pair in header.split(separator: ";") {
                let parts = pair.trimmingCharacters(in: .whitespaces).split(separator: "=", maxSplits: 1)
                if parts.count == 2, parts[0] == name { return String(parts[1]) }
            }
        }
        return nil
    }
}
