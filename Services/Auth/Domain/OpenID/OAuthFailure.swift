import Contracts

/// A refusal in the words of RFC 6749 (sections 4.1.2.1 and 5.2), OpenID Connect Core (3.1.2.6) and RFC 6750 (3.1).
struct OAuthFailure: Failure, Equatable {
    enum Code: String, Sendable {
        case invalidRequest = "invalid_request"
        case invalidClient = "invalid_client"
        case invalidGrant = "invalid_grant"
        case unauthorizedClient = "unauthorized_client"
        case unsupportedGrantType = "unsupported_grant_type"
        case unsupportedResponseType = "unsupported_response_type"
        case unsupportedTokenType = "unsupported_token_type"
        case invalidScope = "invalid_scope"
        case accessDenied = "access_denied"
        case loginRequired = "login_required"
        case interactionRequired = "interaction_required"
        case consentRequired = "consent_required"
        case requestNotSupported = "request_not_supported"
        case requestURINotSupported = "request_uri_not_supported"
        case registrationNotSupported = "registration_not_supported"
        case invalidToken = "invalid_token"
        case insufficientScope = "insufficient_scope"
    }

    let error: Code
    /// A sentence for the client's developer, of the characters that RFC 6749 allows in `error_description`.
    let description: String

    init(_ error: Code, _ description: String) {
        self.error = error
        self.description = description
    }

    var code: String { error.rawValue.split(separator: "_").joined(separator: "-") }
    var detail: String? { description }

    var kind: FailureKind {
        switch error {
        case .invalidClient, .invalidToken: .unauthenticated
        case .insufficientScope, .accessDenied: .forbidden
        default: .invalid
        }
    }

    /// Unknown, spent, expired, or somebody else's: which, is not said.
    static let badCode = OAuthFailure(.invalidGrant, "The code is not valid, or no longer.")
    static let badRefreshToken = OAuthFailure(.invalidGrant, "The refresh token is not valid, or no longer.")
    static let badClient = OAuthFailure(.invalidClient, "The client is unknown, or has not proven who it is.")
}
