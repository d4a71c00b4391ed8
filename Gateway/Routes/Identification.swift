import Contracts
import HTTPTypes
import Hummingbird
import ServiceKit

/// Who calls, by the token alone. A token that is there must be good, also where none is needed.
struct Identification: Sendable {
    let verifier: TokenVerifier

    /// Nil without a token. Throws `AccessFailure`, or `DependencyFailure` while no public keys are known.
    func caller(of request: Request, for service: ServiceName) async throws -> Caller? {
        let values = request.headers[values: .authorization]
        guard let value = values.first else { return nil }
        // OAuth clients sign in with their own name and password (RFC 6749, section 2.3.1); auth checks them.
        if service == .auth, value.prefix(6).lowercased() == "basic ", request.uri.path.hasPrefix("/oauth2/") { return nil }
        guard values.count == 1, value.prefix(7).lowercased() == "bearer " else { throw AccessFailure.badToken }
        let caller = try await verifier.verify(String(value.dropFirst(7)))
        // A program's own token opens internal calls, and those do not come through here.
        if case .service = caller.principal { throw AccessFailure.badToken }
        return caller
    }

    /// Credentials that only the service itself can judge.
    func hasOtherCredentials(_ request: Request) -> Bool {
        request.headers[.apiKey] != nil || request.headers[.authorization] != nil
    }
}
