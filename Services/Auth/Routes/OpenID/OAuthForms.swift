import Contracts
import Foundation
import ServiceKit

/// Parameters of the authorization endpoint. Names are the protocol's; unknown ones are ignored, repeated ones refused.
struct AuthorizationForm: Decodable, Sendable, OpenFields {
    let parameters: AuthorizationRequest.Parameters

    enum CodingKeys: String, CodingKey {
        case scope, state, nonce, prompt, request, registration
        case responseType = "response_type"
        case responseMode = "response_mode"
        case clientID = "client_id"
        case redirectURI = "redirect_uri"
        case maxAge = "max_age"
        case loginHint = "login_hint"
        case idTokenHint = "id_token_hint"
        case codeChallenge = "code_challenge"
        case codeChallengeMethod = "code_challenge_method"
        case requestURI = "request_uri"
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        func text(_ key: CodingKeys) throws -> String? { try fields.decodeIfPresent(String.self, forKey: key) }
        parameters = AuthorizationRequest.Parameters(
            responseType: try text(.responseType), responseMode: try text(.responseMode), clientID: try text(.clientID),
            redirectURI: try text(.redirectURI), scope: try text(.scope), state: try text(.state), nonce: try text(.nonce),
            prompt: try text(.prompt), maxAge: try text(.maxAge), loginHint: try text(.loginHint), idTokenHint: try text(.idTokenHint),
            codeChallenge: try text(.codeChallenge), codeChallengeMethod: try text(.codeChallengeMethod), request: try text(.request),
            requestURI: try text(.requestURI), registration: try text(.registration))
    }

    /// The same parameters, to be sent on.
    var pairs: [(String, String)] {
        let all: [(CodingKeys, String?)] = [
            (.responseType, parameters.responseType), (.responseMode, parameters.responseMode), (.clientID, parameters.clientID),
            (.redirectURI, parameters.redirectURI), (.scope, parameters.scope), (.state, parameters.state), (.nonce, parameters.nonce),
            (.prompt, parameters.prompt), (.maxAge, parameters.maxAge), (.loginHint, parameters.loginHint),
            (.idTokenHint, parameters.idTokenHint), (.codeChallenge, parameters.codeChallenge),
            (.codeChallengeMethod, parameters.codeChallengeMethod), (.request, parameters.request), (.requestURI, parameters.requestURI),
            (.registration, parameters.registration),
        ]
        return all.compactMap { key, value in value.map { (key.rawValue, $0) } }
    }

    static func refusal(of failure: any Failure) -> any Error { PageFailure(failure) }
}

/// Our own pages' forms.
struct StateForm: Decodable, Sendable, OpenFields {
    let request: String
    static func refusal(of failure: any Failure) -> any Error { PageFailure.stale }
}

struct SignInForm: Decodable, Sendable, OpenFields {
    let request: String
    let email: String
    let password: String
    static func refusal(of failure: any Failure) -> any Error { PageFailure.stale }
}

struct PasskeyForm: Decodable, Sendable, OpenFields {
    let request: String
    let credential: String
    static func refusal(of failure: any Failure) -> any Error { PageFailure.stale }
}

struct SecondFactorForm: Decodable, Sendable, OpenFields {
    let request: String
    let method: String?
    let code: String?
    let action: String?
    /// What a security key answered.
    let credential: String?
    static func refusal(of failure: any Failure) -> any Error { PageFailure.stale }
}

struct ConsentForm: Decodable, Sendable, OpenFields {
    let request: String
    let decision: String
    static func refusal(of failure: any Failure) -> any Error { PageFailure.stale }
}

/// A form whose refusals are OAuth's.
protocol OAuthForm: OpenFields {}

extension OAuthForm {
    static func refusal(of failure: any Failure) -> any Error {
        let names = failure.fields.map { $0.pointer.drop { "?/".contains($0) } }.joined(separator: ", ")
        return OAuthFailure(.invalidRequest, names.isEmpty ? "The body must be a form." : "Missing, empty or repeated: \(names).")
    }
}

/// `POST /oauth2/token`.
struct TokenForm: Decodable, Sendable, OAuthForm {
    let grantType: String?
    let code: String?
    let redirectURI: String?
    let codeVerifier: String?
    let refreshToken: String?
    let scope: String?
    let clientID: String?
    let clientSecret: String?
    let assertionType: String?
    let assertion: String?

    enum CodingKeys: String, CodingKey {
        case code, scope
        case grantType = "grant_type"
        case redirectURI = "redirect_uri"
        case codeVerifier = "code_verifier"
        case refreshToken = "refresh_token"
        case clientID = "client_id"
        case clientSecret = "client_secret"
        case assertionType = "client_assertion_type"
        case assertion = "client_assertion"
    }

    var presented: ClientAuthentication.Presented {
        .init(clientID: clientID, clientSecret: clientSecret, assertionType: assertionType, assertion: assertion)
    }
}

/// `POST /oauth2/introspect` and `/oauth2/revoke`.
struct PresentedTokenForm: Decodable, Sendable, OAuthForm {
    let token: String?
    let hint: String?
    let clientID: String?
    let clientSecret: String?
    let assertionType: String?
    let assertion: String?

    enum CodingKeys: String, CodingKey {
        case token
        case hint = "token_type_hint"
        case clientID = "client_id"
        case clientSecret = "client_secret"
        case assertionType = "client_assertion_type"
        case assertion = "client_assertion"
    }

    var presented: ClientAuthentication.Presented {
        .init(clientID: clientID, clientSecret: clientSecret, assertionType: assertionType, assertion: assertion)
    }
}

/// `POST /oauth2/userinfo`.
struct UserinfoForm: Decodable, Sendable, OAuthForm {
    let accessToken: String?
    enum CodingKeys: String, CodingKey { case accessToken = "access_token" }
}

/// `GET` and `POST /oauth2/logout` (OpenID Connect RP-Initiated Logout 1.0).
struct LogoutForm: Decodable, Sendable, OpenFields {
    let idTokenHint: String?
    let clientID: String?
    let postLogoutRedirectURI: String?
    let state: String?

    enum CodingKeys: String, CodingKey {
        case state
        case idTokenHint = "id_token_hint"
        case clientID = "client_id"
        case postLogoutRedirectURI = "post_logout_redirect_uri"
    }

    static func refusal(of failure: any Failure) -> any Error { PageFailure(failure) }
}

/// The form of the page that asks whether to sign out.
struct ConfirmLogoutForm: Decodable, Sendable, OpenFields {
    let request: String
    static func refusal(of failure: any Failure) -> any Error { PageFailure.stale }
}
