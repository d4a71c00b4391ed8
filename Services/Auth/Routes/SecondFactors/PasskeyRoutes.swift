import Contracts
import Foundation
import Postgres
import ServiceKit

/// Signing in with a passkey alone: something one has, unlocked by something one is or knows.
struct PasskeyRoutes {
    let database: Database
    let people: PeopleClient
    let factors: SecondFactors
    let routing: SSORouting
    let gate: SignInGate

    var endpoints: Endpoints {
        Endpoints("auth") {
            Endpoint.get("passkey", "A page for signing in with, and setting up, a passkey", .public, page)
            Endpoint.post("passkey/options", "Options for signing in with a passkey", .public, options)
            Endpoint.post("passkey/login", "Sign in with a passkey", .public, login)
        }
    }

    struct PasskeyOptions: View {
        /// For `PublicKeyCredential.parseRequestOptionsFromJSON()`.
        let publicKey: WebAuthnRequestOptions
    }

    struct PasskeySignIn: Decodable, Sendable {
        /// What `credential.toJSON()` gives in a browser.
        let credential: WebAuthnResponse
        /// Slug or id; without it, the organization the person has belonged to longest.
        let organization: Label?
    }

    func page(_ request: PublicRequest) async throws -> HTMLPage { PasskeyPage.page }

    /// The same for everybody: nothing is asked, so nothing is told of who has an account.
    func options(_ request: PublicRequest) async throws -> Uncached<PasskeyOptions> {
        let challenge = WebAuthnChallenge(.passkey, account: nil, occasion: nil, at: request.now)
        return Uncached(PasskeyOptions(publicKey: try factors.relyingParty.requestOptions(for: [], challenge: challenge)))
    }

    func login(_ request: PublicRequest, _ body: PasskeySignIn) async throws -> Uncached<SignInAnswer> {
        let assertion = try body.credential.assertion()
        let checking = factors.checking
        let result = try await database.transaction(as: AccountStore.caller) { tx -> Result<UserID, WebAuthnFailure> in
            do {
                return .success(try checking.passkey(assertion, in: tx))
            } catch let failure as WebAuthnFailure {
                request.note("webauthn", failure.check.rawValue)
                let risk = failure.check == .counter ? "high" : "medium"
                let owner = try SecurityKeyStore(tx: tx).lock(assertion.credentialID)?.account
                try ProofChecking.record(failure, "passkey", owner, risk: risk, tx, request)
                return .failure(failure)
            }
        }
        let user = try result.get()
        guard let account = try await database.first(AccountStore.find(user), as: AccountStore.caller), account.status == .active else {
            throw WebAuthnFailure(.unknownKey)
        }
        // Known only now: nobody says who they are before the passkey does.
        try await routing.refuseOwnWays(for: account.email)
        let claims = try await people.claims(of: user, in: body.organization?.rawValue)
        return Uncached(try await gate.admit(account, claims, methods: [SecondFactorMethod.webauthn.reference], request))
    }
}
