import Contracts
import Foundation

/// What a client asks a browser to bring: a sign-in, and a code for it (RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2.1).
///
/// Checked once, then carried along sealed from page to page.
struct AuthorizationRequest: Codable, Sendable, Equatable {
    enum ResponseMode: String, Codable, Sendable {
        case query
        case formPost = "form_post"
    }

    /// The parameters as they came, each at most once.
    struct Parameters: Sendable {
        var responseType: String?
        var responseMode: String?
        var clientID: String?
        var redirectURI: String?
        var scope: String?
        var state: String?
        var nonce: String?
        var prompt: String?
        var maxAge: String?
        var loginHint: String?
        var idTokenHint: String?
        var codeChallenge: String?
        var codeChallengeMethod: String?
        var request: String?
        var requestURI: String?
        var registration: String?
    }

    static let maximumState = 2_000
    static let maximumNonce = 500
    static let maximumScope = 2_000
    static let maximumLoginHint = 255
    static let maximumHint = 8_000
    /// A base64url of SHA-256 (RFC 7636, section 4.2).
    static let challengeLength = 43
    /// Seconds of the longest `max_age` that means anything: a browser's session is shorter.
    static let longestMaxAge = 10_000_000

    let tenant: TenantID
    let client: ClientID
    let redirectURI: String
    let responseMode: ResponseMode
    let scopes: [String]
    let state: String?
    let nonce: String?
    private(set) var prompts: [String]
    let maxAge: Int?
    let loginHint: String?
    /// The person that the client expects, from its `id_token_hint`.
    var expectedUser: UserID?
    let challenge: String
    /// Somebody who signs in after this has answered `prompt=login`.
    private(set) var askedAt: Date

    /// Why a request is refused, and how the browser may be told.
    enum Refusal: Error {
        /// Client or address cannot be trusted: the person is told here, and sent nowhere.
        case here(OAuthFailure)
        /// The client is told.
        case atClient(OAuthFailure, ReplyAddress)
    }

    /// Where answers to a request go.
    struct ReplyAddress: Codable, Sendable, Equatable {
        let redirectURI: String
        let mode: ResponseMode
        let state: String?
    }

    var reply: ReplyAddress { ReplyAddress(redirectURI: redirectURI, mode: responseMode, state: state) }
    var grantedScopes: [OAuthScope] { scopes.compactMap { OAuthScope($0) } }
    var wantsLogin: Bool { prompts.contains("login") || prompts.contains("select_account") }
    var wantsConsent: Bool { prompts.contains("consent") }
    var isSilent: Bool { prompts == ["none"] }

    /// The same, of somebody who wants to sign in as somebody else.
    func askingForSignIn(at now: Date) -> AuthorizationRequest {
        var other = self
        other.prompts = prompts.filter { $0 == "consent" } + ["login"]
        other.askedAt = now
        return other
    }

    /// The redirect address, once it is known to be the client's. Everything found wrong before that is said here.
    static func trustedAddress(_ parameters: Parameters, _ client: OAuthClient) throws(Refusal) -> String {
        guard let text = parameters.redirectURI, !text.isEmpty else {
            throw .here(OAuthFailure(.invalidRequest, "The application did not say where to return to."))
        }
        guard let address = client.redirectAddress(text) else {
            throw .here(OAuthFailure(.invalidRequest, "The address that the application wants to return to is not one that it registered."))
        }
        return address
    }

    init(_ parameters: Parameters, _ client: OAuthClient, at now: Date) throws(Refusal) {
        let address = try Self.trustedAddress(parameters, client)
        let stateFits = (parameters.state?.utf8.count ?? 0) <= Self.maximumState
        let mode = ResponseMode(rawValue: parameters.responseMode ?? ResponseMode.query.rawValue)
        let reply = ReplyAddress(redirectURI: address, mode: mode ?? .query, state: stateFits ? parameters.state : nil)
        do throws(OAuthFailure) {
            guard stateFits else { throw OAuthFailure(.invalidRequest, "state has at most \(Self.maximumState) bytes.") }
            guard mode != nil else { throw OAuthFailure(.invalidRequest, "response_mode must be query or form_post.") }
            try Self.refuseWhatIsNotSupported(parameters)
            try client.require(.authorizationCode)
            challenge = try Self.challenge(parameters)
            scopes = try Self.scopes(parameters.scope, client)
            prompts = try Self.prompts(parameters.prompt)
            maxAge = try Self.maxAge(parameters.maxAge)
            nonce = try Self.bounded(parameters.nonce, "nonce", Self.maximumNonce)
            loginHint = try Self.bounded(parameters.loginHint, "login_hint", Self.maximumLoginHint)
        } catch {
            throw .atClient(error, reply)
        }
        tenant = client.tenant
        self.client = client.id
        redirectURI = address
        responseMode = reply.mode
        state = parameters.state
        expectedUser = nil
        askedAt = now
    }

    private static func refuseWhatIsNotSupported(_ parameters: Parameters) throws(OAuthFailure) {
        if parameters.request != nil { throw OAuthFailure(.requestNotSupported, "request is not supported.") }
        if parameters.requestURI != nil { throw OAuthFailure(.requestURINotSupported, "request_uri is not supported.") }
        if parameters.registration != nil { throw OAuthFailure(.registrationNotSupported, "registration is not supported.") }
        guard let type = parameters.responseType else { throw OAuthFailure(.invalidRequest, "response_type is missing.") }
        guard type == "code" else { throw OAuthFailure(.unsupportedResponseType, "response_type must be code.") }
    }

    /// Every client, confidential ones too (OAuth 2.1, section 7.5.2), and S256 alone: `plain` hides nothing.
    private static func challenge(_ parameters: Parameters) throws(OAuthFailure) -> String {
        guard let challenge = parameters.codeChallenge, !challenge.isEmpty else {
            throw OAuthFailure(.invalidRequest, "code_challenge is missing: PKCE is required.")
        }
        guard parameters.codeChallengeMethod == "S256" else {
            throw OAuthFailure(.invalidRequest, "code_challenge_method must be S256.")
        }
        guard challenge.utf8.count == challengeLength, challenge.utf8.allSatisfy(isBase64URL) else {
            throw OAuthFailure(.invalidRequest, "code_challenge must be the base64url of a SHA-256.")
        }
        return challenge
    }

    private static func isBase64URL(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Without `openid` it is plain OAuth, and no ID token is given. A scope must be named: nothing is allowed by silence.
    private static func scopes(_ text: String?, _ client: OAuthClient) throws(OAuthFailure) -> [String] {
        guard let text, !text.isEmpty, text.utf8.count <= maximumScope else {
            throw OAuthFailure(.invalidScope, "scope is missing, or longer than \(maximumScope) bytes.")
        }
        return try client.scopes(requested: text, among: client.scopes).texts
    }

    private static func prompts(_ text: String?) throws(OAuthFailure) -> [String] {
        let prompts = (text ?? "").split(separator: " ").map(String.init)
        let known: Set<String> = ["none", "login", "consent", "select_account"]
        guard prompts.allSatisfy({ known.contains($0) }) else {
            throw OAuthFailure(.invalidRequest, "prompt must be none, login, consent or select_account.")
        }
        guard !prompts.contains("none") || prompts.count == 1 else {
            throw OAuthFailure(.invalidRequest, "prompt none goes with no other.")
        }
        return prompts
    }

    private static func maxAge(_ text: String?) throws(OAuthFailure) -> Int? {
        guard let text else { return nil }
        guard let seconds = Int(text), (0...longestMaxAge).contains(seconds) else {
            throw OAuthFailure(.invalidRequest, "max_age must be a number of seconds.")
        }
        return seconds
    }

    private static func bounded(_ text: String?, _ name: String, _ limit: Int) throws(OAuthFailure) -> String? {
        guard (text?.utf8.count ?? 0) <= limit else { throw OAuthFailure(.invalidRequest, "\(name) has at most \(limit) bytes.") }
        return text
    }

    /// Whether a sign-in of this time will do: it answered this request's `prompt=login`, and is young enough for `max_age`.
    func accepts(authenticatedAt: Date, now: Date) -> Bool {
        if authenticatedAt >= askedAt { return true }
        if wantsLogin { return false }
        guard let maxAge else { return true }
        return now.timeIntervalSince(authenticatedAt) <= TimeInterval(maxAge)
    }
}
