import Contracts
import Foundation
import Postgres
import ServiceKit

/// Second factors: set up, shown, listed, removed.
///
/// `setup` and `verify` are called by somebody signed in, or by somebody in the middle of signing in, with the `mfaToken` of that sign-in.
struct SecondFactorRoutes {
    let database: Database
    let people: PeopleClient
    let verifier: TokenVerifier
    let factors: SecondFactors
    let enrolment: FactorEnrolment
    let gate: SignInGate
    /// Whether the platform is reached over TLS: then cookies go nowhere else.
    let isSecure: Bool

    var endpoints: [Endpoints] {
        [
            Endpoints("auth") {
                Endpoint.get("mfa", "The second factors of the account", may: .signedIn, list)
                Endpoint.post("mfa/setup", "Begin to set up a second factor, signed in or with an mfaToken", .public, setUp)
                Endpoint.post("mfa/verify", "Confirm a second factor, or finish a sign-in with one", .public, verify)
                Endpoint.post("mfa/challenge", "Send a code, or get the options of a security key, for a sign-in", .public, challenge)
                Endpoint.post("mfa/recovery-codes", "New recovery codes in place of the old", may: .recently(nil), renewRecoveryCodes)
                Endpoint.patch("mfa/:id", "Rename a second factor", may: .recently(nil), rename)
                Endpoint.delete("mfa/:id", "Remove a second factor", may: .recently(nil), remove)
            },
            Endpoints("/internal/v1") {
                Endpoint.post(
                    "accounts/:id/second-factors/reset", "Take all second factors from somebody who has lost them", may: .service, reset)
            },
        ]
    }

    struct FactorSetUpRequest: Decodable, Sendable {
        let method: SecondFactorMethod
        let name: Name?
        /// For codes by text message.
        let phone: TelephoneNumber?
        /// Of a sign-in that has to set up its first factor.
        let mfaToken: PresentedSecret?
    }

    struct FactorVerification: Decodable, Sendable {
        /// Of a sign-in; without it the caller is signed in and confirms what was set up.
        let mfaToken: PresentedSecret?
        let method: ShownMethod?
        let code: PresentedCode?
        /// What `credential.toJSON()` gives in a browser.
        let credential: WebAuthnResponse?
        let recoveryCode: PresentedCode?
        /// In a sign-in: do not ask on this device for a while.
        let trustDevice: Bool?

        var shown: ShownSecondFactor { ShownSecondFactor(method: method, code: code, credential: credential, recoveryCode: recoveryCode) }
    }

    struct FactorChallengeRequest: Decodable, Sendable {
        let mfaToken: PresentedSecret
        let method: SecondFactorMethod
        /// One of several factors of the method; without it, the one used last.
        let factor: SecondFactorID?
    }

    struct FactorRenaming: Decodable, Sendable {
        let name: Name
    }

    // MARK: - The account's factors

    func list(_ request: CallerRequest) async throws -> SecondFactorList {
        let account = try request.user()
        async let found = database.query(SecondFactorStore.confirmed(of: account), as: AccountStore.caller)
        async let left = database.first(RecoveryCodeStore.left(of: account), as: AccountStore.caller)
        return SecondFactorList(
            data: try await found.map { SecondFactorView($0) }, nextCursor: nil, recoveryCodesLeft: try await left ?? 0)
    }

    func renewRecoveryCodes(_ request: CallerRequest) async throws -> Uncached<RecoveryCodesView> {
        let account = try PersonalRequest.holder(request.caller, request.http).account
        try await enrolment.requireFactorShown(in: try await kept(request.caller, request.http))
        return Uncached(RecoveryCodesView(recoveryCodes: try await enrolment.renewRecoveryCodes(of: account, request.http)))
    }

    func rename(_ request: CallerRequest, _ body: FactorRenaming) async throws -> SecondFactorView {
        let account = try PersonalRequest.holder(request.caller, request.http).account
        let id = try request.path("id", as: SecondFactorID.self)
        return SecondFactorView(try await enrolment.rename(id, of: account, to: body.name, request.http))
    }

    /// 409 for the last one while any organization of the person's demands one: the factors are theirs in all of them.
    func remove(_ request: CallerRequest) async throws -> NoContent {
        let account = try PersonalRequest.holder(request.caller, request.http).account
        let id = try request.path("id", as: SecondFactorID.self)
        let session = try await kept(request.caller, request.http)
        let isDemanded = try await people.demandsSecondFactor(of: account)
        try await enrolment.remove(id, of: account, in: session, isDemanded: isDemanded, request.http)
        return NoContent()
    }

    /// The session of somebody signed in, as it is kept: it knows what was shown in it since the token was signed, and whether it has
    /// ended since.
    private func kept(_ caller: Caller, _ request: PublicRequest) async throws -> Session {
        let person = try PersonalRequest.holder(caller, request)
        guard let session = try await database.first(SessionStore.find(person.session), as: caller), session.account == person.account,
            session.isLive(at: request.now)
        else { throw AccessFailure.revokedSession }
        return session
    }

    /// 204 also for an account that has none.
    func reset(_ request: CallerRequest) async throws -> NoContent {
        let account = try request.path("id", as: UserID.self)
        _ = try await enrolment.reset(account, by: request.caller, request.http)
        return NoContent()
    }

    // MARK: - Setting up

    func setUp(_ request: PublicRequest, _ body: FactorSetUpRequest) async throws -> Uncached<FactorSetup> {
        let wish = FactorEnrolment.Wish(method: body.method, name: body.name, phone: body.phone)
        let organization: TenantID
        let user: UserID
        if let shown = body.mfaToken {
            let (pending, _) = try await factors.pending(shown, now: request.now)
            guard pending.demand == .enrol else { throw SecondFactorFailure.badToken }
            (user, organization) = (pending.account, pending.organization)
        } else {
            let caller = try await PersonalRequest.caller(request, verifier)
            user = try PersonalRequest.recently(caller, request).account
            try await enrolment.requireFactorShown(in: try await kept(caller, request))
            organization = caller.tenant
        }
        let account = try await account(user)
        let claims = try await people.claims(of: user, in: organization.description)
        let name = [claims.firstName, claims.lastName].compactMap { $0 }.joined(separator: " ")
        return Uncached(
            try await enrolment.begin(
                wish, for: account, displayName: name.isEmpty ? account.email.rawValue : name, organization: organization, request))
    }

    // MARK: - Showing

    func verify(_ request: PublicRequest, _ body: FactorVerification) async throws -> Uncached<VerifiedAnswer> {
        guard let shown = body.mfaToken else { return Uncached(VerifiedAnswer(nil, try await confirm(request, body.shown))) }
        let (pending, token) = try await factors.pending(shown, now: request.now)
        let account = try await account(pending.account)
        let claims = try await people.claims(of: pending.account, in: pending.organization.description)
        var confirmed: FactorEnrolment.Confirmed?
        var methods = pending.methods
        if pending.demand == .enrol {
            let done = try await enrolment.confirm(try body.shown.evidence(), for: account.id, in: .signIn(token), request)
            methods = methods.adding(done.factor.method.reference)
            confirmed = done
        } else {
            methods = try await factors.finish(pending, token, claims, with: try body.shown.proof(), request)
        }
        let signedIn = try await gate.finish(account, claims, pending.origin, methods: methods, request)
        // Only who has shown a factor of the account's own may ask for it, and no organization's application for its people.
        let mayTrust = pending.demand != .mail && pending.methods.speakForAccount
        let trust = body.trustDevice == true && mayTrust ? try await factors.trustDevice(of: account.id, request) : nil
        return Uncached(VerifiedAnswer(signedIn, confirmed, cookie: trust?.cookie(isSecure: isSecure)))
    }

    /// Somebody signed in shows that a factor works. Their session has shown it with that.
    private func confirm(_ request: PublicRequest, _ shown: ShownSecondFactor) async throws -> FactorEnrolment.Confirmed {
        let evidence = try shown.evidence()
        let caller = try await PersonalRequest.caller(request, verifier)
        let person = try PersonalRequest.recently(caller, request)
        let confirmed = try await enrolment.confirm(evidence, for: person.account, in: .session(try await kept(caller, request)), request)
        try await database.transaction(as: caller) { tx in
            try SessionProofStore(tx: tx).add(confirmed.factor.method.reference, to: person.session)
        }
        return confirmed
    }

    func challenge(_ request: PublicRequest, _ body: FactorChallengeRequest) async throws -> Uncached<PreparedChallenge> {
        let (pending, _) = try await factors.pending(body.mfaToken, now: request.now)
        guard pending.demand != .enrol else { throw SecondFactorFailure.enrolmentOnly }
        return Uncached(
            try await factors.prepare(
                body.method, factor: body.factor, of: try await account(pending.account), occasion: .signIn(pending),
                organization: pending.organization, mayMail: pending.demand == .mail, request))
    }

    private func account(_ id: UserID) async throws -> Account {
        guard let account = try await database.first(AccountStore.find(id), as: AccountStore.caller), account.status == .active else {
            throw AccountFailure.wrongCredentials
        }
        return account
    }
}
