import Contracts
import Foundation
import HTTPTypes
import ServiceKit

/// Calls that only the person may make, with a token that was given to them and not to another program.
enum PersonalRequest {
    /// Throws `AccessFailure.personOnly` for keys, clients, what was given to a client, and whoever acts as somebody else.
    static func person(_ caller: Caller, _ request: PublicRequest) throws(AccessFailure) -> (account: UserID, session: SessionID) {
        guard case .person(let account) = caller.principal, let session = caller.session, caller.impersonator == nil,
            !isGivenToClient(request)
        else { throw .personOnly }
        return (account, session)
    }

    /// Besides, throws `SSOFailure.ownSignInNeeded` for a session that an issuer opened which speaks for one organization only: for what
    /// belongs to the whole account.
    static func holder(_ caller: Caller, _ request: PublicRequest) throws -> (account: UserID, session: SessionID) {
        let person = try person(caller, request)
        try requireOwnSignIn(caller)
        return person
    }

    static func requireOwnSignIn(_ caller: Caller) throws(SSOFailure) {
        guard caller.methods.speakForAccount else { throw .ownSignInNeeded }
    }

    /// As `Access.recently` has it, for endpoints that somebody with an `mfaToken` may call too: the account's holder.
    static func recently(_ caller: Caller, _ request: PublicRequest) throws -> (account: UserID, session: SessionID) {
        let person = try holder(caller, request)
        let age = request.now.timeIntervalSince(caller.authenticatedAt ?? .distantPast)
        guard age <= TimeInterval(Access.recentSeconds) else {
            throw AccessFailure.authenticationTooOld(maxAge: Access.recentSeconds)
        }
        return person
    }

    /// Whoever's token the request carries.
    static func caller(_ request: PublicRequest, _ verifier: TokenVerifier) async throws -> Caller {
        guard let token = bearer(request) else { throw AccessFailure.notSignedIn }
        return try await verifier.verify(token)
    }

    private static func bearer(_ request: PublicRequest) -> String? {
        guard let header = request.headers[.authorization], header.utf8.count > 7, header.prefix(7).lowercased() == "bearer " else {
            return nil
        }
        return String(header.dropFirst(7))
    }

    /// A token of the person's own sign-in names no client (RFC 9068). The token has been verified by now.
    private static func isGivenToClient(_ request: PublicRequest) -> Bool {
        struct Given: Decodable {
            let client_id: String?
            let scope: String?
        }
        guard let parts = bearer(request)?.split(separator: ".", omittingEmptySubsequences: false), parts.count == 3,
            let payload = Base64URL.decode(String(parts[1])), let given = try? JSONDecoder().decode(Given.self, from: payload)
        else { return true }
        return given.client_id != nil || given.scope != nil
    }
}
