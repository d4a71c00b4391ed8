import Contracts
import Foundation
import HTTPTypes
import ServiceKit

/// What clients read to find everything else (OpenID Connect Discovery 1.0; RFC 8414).
struct DiscoveryRoutes {
    let issuer: String

    /// Seconds for which the answer may be kept.
    static let cacheSeconds = 3_600

    var endpoints: [Endpoints] {
        [
            Endpoints("/.well-known") {
                Endpoint.get("openid-configuration", "Where the OpenID Connect provider has what", .public, configuration)
                Endpoint.get("oauth-authorization-server", "The same, for OAuth clients (RFC 8414)", .public, configuration)
            }
        ]
    }

    private struct Document: Encodable {
        let issuer: String
        let authorizationEndpoint, tokenEndpoint, userinfoEndpoint, jwksURI, introspectionEndpoint, revocationEndpoint: String
        let endSessionEndpoint: String
        let responseTypesSupported = ["code"]
        let responseModesSupported = ["query", "form_post"]
        let grantTypesSupported = OAuthClient.GrantType.allCases.map(\.rawValue)
        let scopesSupported = ["openid", "profile", "email", "offline_access"]
        let subjectTypesSupported = ["public"]
        let idTokenSigningAlgValuesSupported = ["RS256"]
        let codeChallengeMethodsSupported = ["S256"]
        let promptValuesSupported = ["none", "login", "consent", "select_account"]
        let tokenEndpointAuthMethodsSupported = ClientAuthentication.methods
        let tokenEndpointAuthSigningAlgValuesSupported = ClientAuthentication.assertionAlgorithms
        let introspectionEndpointAuthMethodsSupported = ClientAuthentication.methods.filter { $0 != "none" }
        let revocationEndpointAuthMethodsSupported = ClientAuthentication.methods
        let claimTypesSupported = ["normal"]
        let claimsSupported = [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "acr", "azp", "sid", "at_hash", "email", "email_verified",
            "name",
            "given_name", "family_name",
        ]
        let acrValuesSupported = ["1", "2"]
        let uiLocalesSupported = [PageText.language]
        let claimsParameterSupported = false
        let requestParameterSupported = false
        let requestURIParameterSupported = false
        let authorizationResponseISSParameterSupported = true

        enum CodingKeys: String, CodingKey {
            case issuer
            case authorizationEndpoint = "authorization_endpoint"
            case tokenEndpoint = "token_endpoint"
            case userinfoEndpoint = "userinfo_endpoint"
            case jwksURI = "jwks_uri"
            case introspectionEndpoint = "introspection_endpoint"
            case revocationEndpoint = "revocation_endpoint"
            case endSessionEndpoint = "end_session_endpoint"
            case responseTypesSupported = "response_types_supported"
            case responseModesSupported = "response_modes_supported"
            case grantTypesSupported = "grant_types_supported"
            case scopesSupported = "scopes_supported"
            case subjectTypesSupported = "subject_types_supported"
            case idTokenSigningAlgValuesSupported = "id_token_signing_alg_values_supported"
            case codeChallengeMethodsSupported = "code_challenge_methods_supported"
            case promptValuesSupported = "prompt_values_supported"
            case tokenEndpointAuthMethodsSupported = "token_endpoint_auth_methods_supported"
            case tokenEndpointAuthSigningAlgValuesSupported = "token_endpoint_auth_signing_alg_values_supported"
            case introspectionEndpointAuthMethodsSupported = "introspection_endpoint_auth_methods_supported"
            case revocationEndpointAuthMethodsSupported = "revocation_endpoint_auth_methods_supported"
            case claimTypesSupported = "claim_types_supported"
            case claimsSupported = "claims_supported"
            case acrValuesSupported = "acr_values_supported"
            case uiLocalesSupported = "ui_locales_supported"
            case claimsParameterSupported = "claims_parameter_supported"
            case requestParameterSupported = "request_parameter_supported"
            case requestURIParameterSupported = "request_uri_parameter_supported"
            case authorizationResponseISSParameterSupported = "authorization_response_iss_parameter_supported"
        }
    }

    func configuration(_ request: PublicRequest) async throws -> RawJSON {
        let document = Document(
            issuer: issuer, authorizationEndpoint: issuer + OpenIDPaths.authorize, tokenEndpoint: issuer + OpenIDPaths.token,
            userinfoEndpoint: issuer + OpenIDPaths.userinfo, jwksURI: issuer + OpenIDPaths.jwks,
            introspectionEndpoint: issuer + OpenIDPaths.introspect, revocationEndpoint: issuer + OpenIDPaths.revoke,
            endSessionEndpoint: issuer + OpenIDPaths.logout)
        return RawJSON(try JSON.encode(document), headers: [.cacheControl: "public, max-age=\(Self.cacheSeconds)"])
    }
}
