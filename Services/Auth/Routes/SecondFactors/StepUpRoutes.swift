import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Proving again who one is, for what needs a recent proof (RFC 9470): the same session, a new access token.
struct StepUpRoutes {
    let database: Database
    let people: PeopleClient
    let passwords: PasswordHashing
    let keys: KeyRing
    let revocations: Revocations
    let factors: SecondFactors
    let accessLifetime: TimeInterval

    var endpoints: Endpoints {
        Endpoints("auth") {
            Endpoint.post("step-up", "Prove again who you are, for a token that dangerous calls take", may: .signedIn, stepUp)
            Endpoint.post("step-up/challenge", "Send a code, or get the options of a security key, for step-up", may: .signedIn, challenge)
        }
    }

    struct StepUpRequest: Decodable, Sendable {
        /// For accounts without a second factor.
        let password: PresentedSecret?
        let method: ShownMethod?
        let code: PresentedCode?
        let credential: WebAuthnResponse?
        let recoveryCode: PresentedCode?

        var shown: ShownSecondFactor { ShownSecondFactor(method: method, code: code, credential: credential, recoveryCode: recoveryCode) }
    }

    struct StepUpChallengeRequest: Decodable, Sendable {
        let method: SecondFactorMethod
        let factor: SecondFactorID?
    }

    struct SteppedUp: View {
        let accessToken: String
        let tokenType: String
        /// Seconds until the access token expires.
        let expiresIn: Int
        /// How the person has proven who they are in this session (RFC 8176).
        let methods: [String]
        let authenticatedAt: Date
    }

    func challenge(_ request: CallerRequest, _ body: StepUpChallengeRequest) async throws -> Uncached<PreparedChallenge> {
        let person = try PersonalRequest.person(request.caller, request.http)
        return Uncached(
            try await factors.prepare(
                body.method, factor: body.factor, of: try await account(person.account), occasion: .stepUp(person.session),
                organization: request.caller.tenant, request.http))
    }

    /// An account with a second factor must use it: whoever has found a signed-in device may have found its password too.
    func stepUp(_ request: CallerRequest, _ body: StepUpRequest) async throws -> Uncached<SteppedUp> {
        let person = try PersonalRequest.person(request.caller, request.http)
        let account = try await account(person.account)
        // Users is asked first: a code is not used up for a token that cannot be made.
        let claims = try await people.claims(of: account.id, in: request.caller.tenant.description)
        let reference = try await prove(body, account, person.session, request.http).reference()
        let session = try await database.transaction(as: request.caller) { tx -> Session in
            let sessions = SessionStore(tx: tx)
            guard var session = try sessions.lock(person.session), session.account == account.id else { throw AccessFailure.revokedSession }
            try session.authenticate(by: [reference], at: tx.now)
            // As `refresh` has it: a password alone is no way on where the organization has come to demand more.
            try SecondFactors.check(session.methods, against: claims)
            try sessions.save(session)
            try Audit(tx, request.http).record(
                "auth.session.step-up", "session", person.session.description, changed: ["method": .string(reference)])
            return session
        }
        // Whatever killed the tokens of this second does not kill the one that is made after it.
        let issued = try await revocations.issueTime(user: account.id, tenant: claims.organization.id, now: request.now)
        let token = try await keys.sign(
            AccessClaims(
                user: account.id, session: session.id, tenant: claims.organization.id, roles: claims.roles, permissions: claims.permissions,
                plan: claims.organization.plan, amr: session.methods, issuedAt: issued, lifetime: accessLifetime,
                authTime: session.authenticatedAt))
        return Uncached(
            SteppedUp(
                accessToken: token, tokenType: "Bearer", expiresIn: Int(accessLifetime), methods: session.methods,
                authenticatedAt: session.authenticatedAt))
    }

    private func prove(_ body: StepUpRequest, _ account: Account, _ session: SessionID, _ request: PublicRequest) async throws
        -> ProofOutcome
    {
        let checking = factors.checking
        guard let password = body.password else {
            let proof = try body.shown.proof()
            return try await database.transaction(as: AccountStore.caller(account.id)) { tx in
                try checking.check(proof, of: account.id, occasion: .stepUp(session), in: tx, request)
            }
        }
        let known = try await database.query(SecondFactorStore.confirmed(of: account.id), as: AccountStore.caller)
        guard known.isEmpty else { throw SecondFactorFailure.needed }
        guard account.passwordHash != nil else { throw AccountFailure.noPassword }
        let isRight = try await passwords.verify(password.passwordBytes, against: account.passwordHash)
        return try await database.transaction(as: AccountStore.caller(account.id)) { tx in
            try checking.password(isRight: isRight, of: account.id, in: tx, request)
        }
    }

    private func account(_ id: UserID) async throws -> Account {
        guard let account = try await database.first(AccountStore.find(id), as: AccountStore.caller), account.status == .active else {
            throw AccessFailure.revokedSession
        }
        return account
    }
}
