import Contracts
import Crypto
import Foundation
import HTTPTypes
import Messaging
import Postgres
import ServiceKit

/// What sign-in asks of second factors: whether one is needed, and whether what was shown is one.
struct SecondFactors: Sendable {
    let database: Database
    let sealing: Sealing
    let relyingParty: WebAuthnRelyingParty
    let checking: ProofChecking
    let codes: SentCodes

    init(database: Database, sealing: Sealing, relyingParty: WebAuthnRelyingParty, textsPerDay: Int) {
        self.database = database
        self.sealing = sealing
        self.relyingParty = relyingParty
        codes = SentCodes(sealing: sealing, texts: TextMessageLimits(perDay: textsPerDay, sealing: sealing))
        checking = ProofChecking(sealing: sealing, relyingParty: relyingParty, codes: codes)
    }

    // MARK: - Sign-in

    /// Nil when what was shown is enough. Otherwise a token with which the sign-in goes on: to show a factor, to set up the first
    /// one where the organization demands it, or to read a code from the account's mailbox: where the sign-in looks strange, and where
    /// a factor is demanded of somebody whom an issuer speaks for in this organization alone.
    ///
    /// - Parameters:
    ///   - methods: what was shown (RFC 8176).
    ///   - isStrange: it does not look like the account's owner.
    ///   - origin: of the session that it becomes; nil: the sign-in begins with this request.
    func challenge(
        _ account: Account, _ claims: PersonClaims, methods: [String], isStrange: Bool = false, risk: Double = 0,
        origin: SessionOrigin? = nil, _ request: PublicRequest
    ) async throws -> SecondFactorChallenge? {
        if methods.includeSecondFactor { return nil }
        let isDemanded = claims.demandsSecondFactor(beside: methods)
        if !isStrange, !isDemanded, try await isTrusted(account.id, request) { return nil }
        let factors = try await database.query(SecondFactorStore.confirmed(of: account.id), as: AccountStore.caller)
        let demand: PendingSignIn.Demand
        let offered: [String]
        if !factors.isEmpty {
            demand = .verify
            offered =
                SecondFactorMethod.allCases.filter { method in factors.contains { $0.method == method } }.map(\.rawValue) + [
                    SecondFactorChallenge.recoveryMethod
                ]
        } else if isDemanded, !methods.speakForAccount {
            // An organization's issuer sets up nothing in an account that is more than the organization's.
            demand = .mail
            offered = [SecondFactorMethod.email.rawValue]
        } else if isDemanded {
            demand = .enrol
            offered = SecondFactorMethod.allCases.map(\.rawValue)
        } else if isStrange, account.emailVerifiedAt != nil {
            demand = .mail
            offered = [SecondFactorMethod.email.rawValue]
        } else {
            return nil
        }
        let token = MFAToken.make()
        let pending = PendingSignIn(
            id: UUID.version7(at: request.now), account: account.id, organization: claims.organization.id, methods: methods, demand: demand,
            risk: risk, origin: origin ?? SessionOrigin(begunAt: request.now),
            expiresAt: request.now.addingTimeInterval(PendingSignIn.lifetime))
        try await database.transaction(as: AccountStore.caller(account.id)) { tx in
            try PendingSignInStore(tx: tx).insert(pending, digest: token.digest)
            try Audit(tx, request).record(
                "auth.second-factor.demand", "account", account.id.description,
                changed: ["demand": .string(demand.rawValue), "risk": .number(risk)])
        }
        return SecondFactorChallenge(
            mfaRequired: true, mfaToken: token.text, methods: offered, mustEnrol: demand == .enrol, expiresIn: Int(PendingSignIn.lifetime))
    }

    private func isTrusted(_ account: UserID, _ request: PublicRequest) async throws -> Bool {
        guard let trust = DeviceTrust(cookies: request.headers[.cookie]) else { return false }
        let found = TrustedDeviceStore.find(trust.digest, of: account, now: request.now)
        return try await database.first(found, as: AccountStore.caller) != nil
    }

    /// From now on this device is not asked for a second factor, for a while. Returns what its cookie says.
    func trustDevice(of account: UserID, _ request: PublicRequest) async throws -> DeviceTrust {
        let trust = DeviceTrust.make(), expiresAt = request.now.addingTimeInterval(DeviceTrust.lifetime)
        try await database.transaction(as: AccountStore.caller(account)) { tx in
            try TrustedDeviceStore(tx: tx).insert(trust.digest, of: account, expiresAt: expiresAt)
            try Audit(tx, request).record(
                "auth.device.trust", "account", account.description, risk: "medium", changed: ["until": .string(Timestamp.text(expiresAt))])
        }
        return trust
    }

    /// Refuses a session that was opened without a second factor while the organization now demands one.
    static func check(_ methods: [String], against claims: PersonClaims) throws(AccessFailure) {
        if claims.demandsSecondFactor(beside: methods), !methods.includeSecondFactor { throw .secondFactorRequired }
    }

    /// The sign-in that a token stands for. Throws `SecondFactorFailure.badToken`.
    func pending(_ token: PresentedSecret, now: Date) async throws -> (PendingSignIn, MFAToken) {
        guard let token = MFAToken(token.text),
            let pending = try await database.first(
                PendingSignInStore.find(token.digest, now: now, attempts: PendingSignIn.attempts), as: AccountStore.caller)
        else { throw SecondFactorFailure.badToken }
        return (pending, token)
    }

    /// Holds a proof against the account of a sign-in, and spends the sign-in when it is good. Returns what was shown by then.
    ///
    /// The caller has asked users for the claims before: a token is not spent for a sign-in that cannot be finished.
    func finish(
        _ pending: PendingSignIn, _ token: MFAToken, _ claims: PersonClaims, with proof: SecondFactorProof, _ request: PublicRequest
    ) async throws -> [String] {
        guard pending.demand != .enrol else { throw SecondFactorFailure.enrolmentOnly }
        let checking = checking
        let outcome = try await database.transaction(as: AccountStore.caller(pending.account)) { tx -> ProofOutcome in
            let sign = PendingSignInStore(tx: tx)
            guard let pending = try sign.attempt(token.digest, limit: PendingSignIn.attempts) else {
                return .refused(SecondFactorFailure.badToken)
            }
            let outcome = try checking.check(
                proof, of: pending.account, occasion: .signIn(pending), mayMail: pending.demand == .mail, in: tx, request)
            if case .passed = outcome { try sign.spend(token.digest) }
            return outcome
        }
        let reference = try outcome.reference()
        guard pending.demand == .mail, reference == SecondFactorMethod.email.reference else { return pending.methods.adding(reference) }
        // The mailbox is a factor where the organization has to take it for one: for those whom its issuer speaks for in it alone.
        let isFactor = claims.requiresSecondFactor && !pending.methods.speakForAccount
        return pending.methods.adding(isFactor ? reference : SignInReference.mailbox)
    }

    // MARK: - Challenges

    /// Sends a code, or makes the options that a browser is given for a security key.
    func prepare(
        _ method: SecondFactorMethod, factor: SecondFactorID?, of account: Account, occasion: ProofOccasion, organization: TenantID,
        mayMail: Bool = false, _ request: PublicRequest
    ) async throws -> PreparedChallenge {
        let factors = try await database.query(SecondFactorStore.confirmed(of: account.id), as: AccountStore.caller)
            .filter { $0.method == method && (factor == nil || $0.id == factor) }
        if method == .email, mayMail, factors.isEmpty {
            return try await sendCode(
                .init(id: account.id.uuid, hint: nil), account, channel: .email, to: account.email.rawValue, organization)
        }
        guard let chosen = factors.max(by: { ($0.lastUsedAt ?? .distantPast) < ($1.lastUsedAt ?? .distantPast) }) else {
            throw SecondFactorFailure.notSetUp
        }
        switch method {
        case .totp: return PreparedChallenge(method: method, sentTo: nil, expiresIn: nil, publicKey: nil)
        case .sms:
            let number = String(decoding: try sealing.open(chosen.secret ?? Data(), context: chosen.sealingContext), as: UTF8.self)
            return try await sendCode(.init(id: chosen.id.uuid, hint: chosen.hint), account, channel: .sms, to: number, organization)
        case .email:
            return try await sendCode(
                .init(id: chosen.id.uuid, hint: nil), account, channel: .email, to: account.email.rawValue, organization)
        case .webauthn:
            let keys = try await database.query(SecurityKeyStore.all(of: account.id), as: AccountStore.caller)
            let challenge = WebAuthnChallenge(occasion.purpose, account: account.id, occasion: occasion.id, at: request.now)
            return PreparedChallenge(
                method: method, sentTo: nil, expiresIn: Int(WebAuthnChallenge.lifetime),
                publicKey: try relyingParty.requestOptions(for: keys, challenge: challenge))
        }
    }

    private struct Subject: Sendable {
        let id: UUID
        let hint: String?
    }

    private func sendCode(
        _ subject: Subject, _ account: Account, channel: LetterRequest.Channel, to address: String, _ organization: TenantID
    ) async throws -> PreparedChallenge {
        let codes = codes
        try await database.transaction(as: AccountStore.caller(account.id)) { tx in
            try codes.send(subject: subject.id, account: account.id, channel: channel, to: address, organization: organization, in: tx)
        }
        return PreparedChallenge(
            method: channel == .sms ? .sms : .email, sentTo: subject.hint ?? Self.masked(address), expiresIn: Int(SentCodes.lifetime),
            publicKey: nil)
    }

    /// `a•••@example.org`.
    static func masked(_ address: String) -> String {
        guard let at = address.lastIndex(of: "@") else { return "•••" }
        return address.prefix(1) + "•••" + address[at...]
    }
}

/// The token of a sign-in that waits: opaque, 256 random bits, kept as a hash.
struct MFAToken: Sendable {
    static let prefix = "trx_mfa_"
    static let secretBytes = 32
    let text: String

    static func make() -> MFAToken {
        MFAToken(made: prefix + Base64URL.encode(SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }))
    }

    private init(made text: String) { self.text = text }

    /// Nil when the text has not the form of one.
    init?(_ text: String) {
        guard text.hasPrefix(Self.prefix), Base64URL.decode(String(text.dropFirst(Self.prefix.count)))?.count == Self.secretBytes else {
            return nil
        }
        self.text = text
    }

    var digest: Data { Data(SHA256.hash(data: Data(text.utf8))) }
}

/// What a sign-in answers that needs a second factor.
struct SecondFactorChallenge: View {
    /// Beside the methods of `SecondFactorMethod`.
    static let recoveryMethod = "recovery"

    let mfaRequired: Bool
    let mfaToken: String
    /// What may be shown; where the first factor has to be set up, what may be.
    let methods: [String]
    /// The organization demands a factor and the account has none: set one up with the token.
    let mustEnrol: Bool
    /// Seconds until the token is worthless.
    let expiresIn: Int
}

/// A code that is on its way, or the options of a security key.
struct PreparedChallenge: View {
    let method: SecondFactorMethod
    /// Where the code went, masked.
    let sentTo: String?
    let expiresIn: Int?
    let publicKey: WebAuthnRequestOptions?
}
