import Contracts
import Foundation
import ServiceKit

/// The conversation with an issuer: where the browser is sent, and what the code it brings back is worth.
struct SSOSignIn: Sendable {
    let issuers: SSOIssuers

    private var transport: SSOTransport { issuers.transport }

    /// What only the sign-in under way knows.
    struct Request: Sendable {
        let redirectURI: String
        let state: String
        let nonce: String
        let verifier: String
    }

    /// Where the browser goes (RFC 6749, section 4.1.1; PKCE, RFC 7636, with S256 always).
    func address(_ connection: SSOConnection, _ request: Request) async throws -> String {
        let settings = connection.settings
        var pairs = [
            ("response_type", "code"), ("client_id", settings.clientID.rawValue), ("redirect_uri", request.redirectURI),
            ("scope", settings.preset.quirks.scopes), ("state", request.state),
            ("code_challenge", SSOSecrets.challenge(of: request.verifier)), ("code_challenge_method", "S256"),
        ]
        switch connection.kind {
        case .oidc:
            let metadata = try await issuers.metadata(of: settings.issuer, settings.preset)
            pairs.append(("nonce", request.nonce))
            return SSOQuery.adding(pairs, to: metadata.authorizationEndpoint)
        case .oauth2:
            return SSOQuery.adding(pairs, to: GitHub(issuer: settings.issuer).authorize)
        }
    }

    /// Whose code it is. `issuer` is what the answer said of itself (RFC 9207).
    func redeem(
        _ code: String, issuer named: String?, _ connection: SSOConnection, secret: String, _ request: Request, begun: Date, now: Date
    ) async throws -> SSOAssertion {
        let settings = connection.settings
        switch connection.kind {
        case .oidc:
            let metadata = try await issuers.metadata(of: settings.issuer, settings.preset)
            if named != nil || metadata.namesIssuer {
                // Microsoft's shared addresses have no one issuer to name.
                guard named == metadata.issuer || (named != nil && metadata.issuer.contains("{tenantid}")) else {
                    throw SSOFailure.badState
                }
            }
            let tokens = try await tokens(metadata.tokenEndpoint, basic: metadata.usesBasic, code, settings, secret, request)
            guard let idToken = tokens.id_token else { throw SSOFailure.badIssuerAnswer }
            let claims = try await issuers.verify(idToken, by: metadata)
            guard let token = try? JSONDecoder().decode(SSOIDToken.self, from: claims) else { throw SSOFailure.badToken }
            try token.check(
                SSOIDToken.Expectation(
                    issuer: settings.preset.expectedIssuer(metadata.issuer, directory: token.directory),
                    clientID: settings.clientID.rawValue, nonce: request.nonce, notBefore: begun, now: now))
            if let hash = token.atHash {
                guard let access = tokens.access_token, SSOKeySet.isHash(hash, of: access) else { throw SSOFailure.badToken }
            }
            return token.assertion(settings.preset.quirks.evidence)
        case .oauth2:
            let github = GitHub(issuer: settings.issuer)
            let tokens = try await tokens(github.token, basic: false, code, settings, secret, request)
            guard let access = tokens.access_token else { throw SSOFailure.badIssuerAnswer }
            return try await github.person(access, transport)
        }
    }

    private struct Tokens: Decodable, Sendable {
        let access_token: String?
        let id_token: String?
        let error: String?
    }

    private func tokens(
        _ endpoint: String, basic: Bool, _ code: String, _ settings: SSOConnection.Settings, _ secret: String, _ request: Request
    ) async throws -> Tokens {
        let client = settings.clientID.rawValue
        var form = [
            ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", request.redirectURI),
            ("code_verifier", request.verifier),
        ]
        var headers: [(String, String)] = []
        if basic {
            // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
            let pair = "\(SSOQuery.encode(client)):\(SSOQuery.encode(secret))"
            headers.append(("authorization", "Basic \(Data(pair.utf8).base64EncodedString())"))
        } else {
            form += [("client_id", client), ("client_secret", secret)]
        }
        let answer = try await transport.post(endpoint, form: form, headers: headers)
        guard answer.status < 500 else { throw SSOFailure.issuerUnavailable }
        // GitHub says no with 200.
        let tokens = try? JSONDecoder().decode(Tokens.self, from: answer.body)
        guard answer.status == 200, tokens?.error == nil else { throw SSOFailure.issuerRefused }
        guard let tokens else { throw SSOFailure.badIssuerAnswer }
        return tokens
    }
}

/// GitHub, or a GitHub of one's own: OAuth 2.0, and an interface that says who the token's person is.
private struct GitHub {
    let issuer: String

    private var base: String { issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer }
    private var api: String { issuer == SSOPreset.github.quirks.issuer ? "https://api.github.com" : base + "/api/v3" }
    var authorize: String { base + "/login/oauth/authorize" }
    var token: String { base + "/login/oauth/access_token" }

    private struct User: Decodable {
        let id: Int64
        let name: String?
    }

    private struct Address: Decodable {
        let email: String
        let primary: Bool
        let verified: Bool
    }

    /// The subject is the number of the account: its name can pass to somebody else.
    func person(_ access: String, _ transport: SSOTransport) async throws -> SSOAssertion {
        let user = try await read(User.self, "/user", access, transport)
        let addresses = try await read([Address].self, "/user/emails", access, transport)
        let email = addresses.first { $0.primary && $0.verified }.flatMap { EmailAddress(rawValue: $0.email) }
        let name = SSOPersonName(given: nil, family: nil, whole: user.name)
        return SSOAssertion(
            issuer: issuer, subject: String(user.id), email: email, isEmailVerified: email != nil, firstName: name.first,
            lastName: name.last)
    }

    private func read<Value: Decodable>(_ type: Value.Type, _ path: String, _ access: String, _ transport: SSOTransport) async throws
        -> Value
    {
        let answer = try await transport.get(
            api + path, headers: [("authorization", "Bearer \(access)"), ("accept", "application/vnd.github+json")])
        guard answer.status < 500 else { throw SSOFailure.issuerUnavailable }
        guard answer.status == 200, let value = try? JSONDecoder().decode(type, from: answer.body) else { throw SSOFailure.badIssuerAnswer }
        return value
    }
}
