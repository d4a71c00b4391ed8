import Contracts
import HTTPTypes
import Hummingbird
import ServiceKit

/// Who calls, by the access token or the API key alone.
struct Identification: Sendable {
    let verifier: TokenVerifier
    /// Nil where this program cannot ask auth, having no service secret; then the services exchange keys themselves.
    let apiKeys: APIKeys?
    let guesses: KeyGuesses

    /// What a request has to say who it is from.
    enum Credential: Sendable {
        case none
        /// An OAuth client's name and password (RFC 6749, section 2.3.1); auth checks them.
        case clientPassword
        case token(String)
        case apiKey(String)
    }

    struct Identity: Sendable {
        let caller: Caller
        /// What goes on to the service in place of an API key: no service needs to see one.
        let exchanged: String?
    }

    /// Throws `GatewayFailure.twoCredentials`, or `AccessFailure.badToken` for what is neither a token nor a key.
    static func credential(of request: Request, for service: ServiceName) throws -> Credential {
        let values = request.headers[values: .authorization], keys = request.headers[values: .apiKey]
        guard values.count + keys.count <= 1 else { throw GatewayFailure.twoCredentials }
        if let key = keys.first { return .apiKey(key) }
        guard let value = values.first else { return .none }
        if service == .auth, value.prefix(6).lowercased() == "basic ", request.uri.path.hasPrefix("/oauth2/") { return .clientPassword }
        guard value.prefix(7).lowercased() == "bearer " else { throw AccessFailure.badToken }
        let token = String(value.dropFirst(7))
        return APIKeys.isKey(token) ? .apiKey(token) : .token(token)
    }

    /// Nil for what only the service can judge. Throws `AccessFailure`, `GatewayFailure.limited` for an address that guesses keys, or
    /// `DependencyFailure` while auth is away.
    func identity(_ credential: Credential, _ client: ClientAddress) async throws -> Identity? {
        switch credential {
        case .none, .clientPassword: return nil
        case .token(let token):
            let caller = try await verifier.verify(token)
            // A program's own token opens internal calls, and those do not come through here.
            if case .service = caller.principal { throw AccessFailure.badToken }
            return Identity(caller: caller, exchanged: nil)
        case .apiKey(let key):
            guard let apiKeys else { return nil }
            // Auth is asked only for addresses that have not shown too many wrong ones.
            if try apiKeys.known(key) == nil { try guesses.admit(client) }
            do {
                let (caller, token) = try await apiKeys.exchange(key, with: verifier)
                return Identity(caller: caller, exchanged: token)
            } catch AccessFailure.badAPIKey {
                guesses.note(client)
                throw AccessFailure.badAPIKey
            }
        }
    }
}
