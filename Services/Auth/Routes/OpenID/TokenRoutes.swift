import Contracts
import Foundation
import HTTPTypes
import Messaging
import Metrics
import Postgres
import ServiceKit

/// Tokens for clients, and what may be asked about them.
struct TokenRoutes {
    let database: Database
    let authentication: ClientAuthentication
    let tokens: ClientTokens
    let people: PeopleClient
    let inspection: TokenInspection

    static let maximumBodyBytes = 65_536

    var endpoints: Endpoints {
        Endpoints("/oauth2") {
            Endpoint.form("token", "Tokens for a client (RFC 6749, 3.2)", .public, maxBodyBytes: Self.maximumBodyBytes, token)
            Endpoint.form("introspect", "What a token is worth (RFC 7662)", .public, maxBodyBytes: Self.maximumBodyBytes, introspect)
            Endpoint.form("revoke", "Give a token back (RFC 7009)", .public, maxBodyBytes: Self.maximumBodyBytes, revoke)
            Endpoint.get("userinfo", "The person behind a token (OpenID Connect Core, 5.3)", .public, userinfo)
            Endpoint.form(
                "userinfo", "The same, with POST; the token may be in the form", .public, maxBodyBytes: Self.maximumBodyBytes,
                userinfoByForm)
        }
    }

    // MARK: - Token

    func token(_ request: PublicRequest, _ form: TokenForm) async throws -> Uncached<TokenAnswer> {
        do {
            let client = try await authentication.client(request, form.presented)
            guard let name = form.grantType else { throw OAuthFailure(.invalidRequest, "grant_type is missing.") }
            guard let grantType = OAuthClient.GrantType(rawValue: name) else {
                throw OAuthFailure(
                    .unsupportedGrantType, "grant_type must be authorization_code, refresh_token or client_credentials.")
            }
            request.note("client", client.id.description)
            try client.require(grantType)
            let answer = try await answer(grantType, client, form, request)
            Self.count(name, "given")
            return Uncached(answer)
        } catch let failure as OAuthFailure {
            Self.count(OAuthClient.GrantType(rawValue: form.grantType ?? "")?.rawValue ?? "none", failure.error.rawValue)
            throw failure
        }
    }

    private func answer(
        _ grantType: OAuthClient.GrantType, _ client: OAuthClient, _ form: TokenForm, _ request: PublicRequest
    ) async throws -> TokenAnswer {
        switch grantType {
        case .authorizationCode:
            guard let code = form.code, let address = form.redirectURI, let verifier = form.codeVerifier else {
                throw OAuthFailure(.invalidRequest, "code, redirect_uri and code_verifier are all needed.")
            }
            guard Authorization.verifierLengths.contains(verifier.utf8.count) else { throw OAuthFailure.badCode }
            return try await tokens.redeem(code, for: client, redirectURI: address, verifier: verifier, request)
        case .refreshToken:
            guard let token = form.refreshToken else { throw OAuthFailure(.invalidRequest, "refresh_token is missing.") }
            return try await tokens.refresh(token, for: client, scope: form.scope, request)
        case .clientCredentials:
            let answer = try await tokens.own(client, scope: form.scope, now: request.now)
            let caller = Caller(.client(client.id), tenant: client.tenant)
            try await database.transaction(as: caller) { tx in
                try Audit(tx, request).record(
                    "auth.client.token", "oauth-client", client.id.description, changed: ["scope": .string(answer.scope)])
            }
            return answer
        }
    }

    private static func count(_ grantType: String, _ result: String) {
        Counter(label: "trionex_auth_client_tokens_total", dimensions: [("grant_type", grantType), ("result", result)]).increment()
    }

    // MARK: - Introspection

    /// A token of another organization is no token at all here, whoever asks.
    func introspect(_ request: PublicRequest, _ form: PresentedTokenForm) async throws -> Uncached<IntrospectionView> {
        let client = try await authentication.client(request, form.presented)
        guard client.kind == .confidential else { throw OAuthFailure.badClient }
        guard let token = form.token else { throw OAuthFailure(.invalidRequest, "token is missing.") }
        return Uncached(try await inspection.introspect(token, for: client, now: request.now))
    }

    // MARK: - Revocation

    /// 200 for a token that is worth nothing already (RFC 7009, section 2.2).
    func revoke(_ request: PublicRequest, _ form: PresentedTokenForm) async throws -> EmptyObject {
        let client = try await authentication.client(request, form.presented)
        guard let token = form.token else { throw OAuthFailure(.invalidRequest, "token is missing.") }
        guard let authorization = try await inspection.authorization(of: token, in: client.tenant) else { return EmptyObject() }
        guard authorization.client == client.id else {
            throw OAuthFailure(.invalidGrant, "The token was not given to this client.")
        }
        try await tokens.end([authorization], in: client.tenant, .revokedByClient, request)
        return EmptyObject()
    }

    // MARK: - Userinfo

    func userinfo(_ request: PublicRequest) async throws -> Uncached<UserinfoView> {
        guard let token = try bearer(request) else { throw AccessFailure.notSignedIn }
        return try await facts(of: token, now: request.now)
    }

    /// In the header or in the form, not in both (RFC 6750, sections 2 and 3.1).
    func userinfoByForm(_ request: PublicRequest, _ form: UserinfoForm) async throws -> Uncached<UserinfoView> {
        let header = try bearer(request)
        guard header == nil || form.accessToken == nil else { throw OAuthFailure(.invalidRequest, "Send the access token once.") }
        guard let token = header ?? form.accessToken else { throw AccessFailure.notSignedIn }
        return try await facts(of: token, now: request.now)
    }

    private func bearer(_ request: PublicRequest) throws(AccessFailure) -> String? {
        let values = request.headers[values: .authorization]
        guard let value = values.first else { return nil }
        guard values.count == 1, value.prefix(7).lowercased() == "bearer " else { throw AccessFailure.badToken }
        return String(value.dropFirst(7))
    }

    private func facts(of token: String, now: Date) async throws -> Uncached<UserinfoView> {
        let (caller, claims) = try await inspection.access(token, now: now)
        guard let user = caller.user, claims.clientID != nil, let scope = claims.scope, let scopes = [OAuthScope](parameter: scope),
            scopes.contains(.openid)
        else { throw OAuthFailure(.insufficientScope, "This needs an access token with the scope openid.") }
        let person: PersonClaims
        do {
            person = try await people.claims(of: user, in: caller.tenant.description)
        } catch let refusal as AccountFailure where refusal.kind == .forbidden {
            throw AccessFailure.revokedSession
        }
        return Uncached(UserinfoView(facts: PersonFacts(person, emailVerified: try await tokens.isVerified(user), scopes: scopes)))
    }
}

/// `{}`.
struct EmptyObject: View {}

/// What userinfo answers (OpenID Connect Core, section 5.3.2).
struct UserinfoView: View {
    let facts: PersonFacts

    init(facts: PersonFacts) { self.facts = facts }
    init(from decoder: any Decoder) throws { facts = try PersonFacts(from: decoder) }
    func encode(to encoder: any Encoder) throws { try facts.encode(to: encoder) }
}
