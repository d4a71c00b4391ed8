import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// The life of an account's factors: set up, confirmed, renamed, removed; and its recovery codes.
struct FactorEnrolment: Sendable {
    let database: Database
    let sealing: Sealing
    let relyingParty: WebAuthnRelyingParty
    let codes: SentCodes

    /// What somebody asks for when they set up a factor.
    struct Wish: Sendable {
        let method: SecondFactorMethod
        let name: Name?
        /// For codes by text message.
        let phone: TelephoneNumber?
    }

    /// What they show that it works.
    enum Evidence: Sendable {
        case code(SecondFactorMethod, PresentedCode)
        case key(WebAuthnResponse.Attestation, credentialID: Data)

        var method: SecondFactorMethod {
            switch self {
            case .code(let method, _): method
            case .key: .webauthn
            }
        }
    }

    /// A factor that counts from now on. The first one comes with recovery codes.
    struct Confirmed: Sendable {
        let factor: SecondFactor
        let recoveryCodes: [String]?
    }

    // MARK: - Setting up

    /// Begins to set up a factor. It counts when `confirm` has seen that it works. Throws `AccountFailure.addressUnverified`
    /// for text messages, which cost money: accounts that anybody can make by the thousand get none.
    func begin(_ wish: Wish, for account: Account, displayName: String, organization: TenantID, _ request: PublicRequest) async throws
        -> FactorSetup
    {
        let id = SecondFactorID.make(at: request.now)
        let known = try await database.query(SecondFactorStore.confirmed(of: account.id), as: AccountStore.caller)
        let count = known.filter { $0.method == wish.method }.count
        guard count < wish.method.limit else {
            throw wish.method.limit == 1 ? SecondFactorFailure.alreadySetUp : SecondFactorFailure.tooMany
        }
        let expiresIn = Int(SecondFactor.confirmationSeconds)
        switch wish.method {
        case .totp:
            let key = TOTP.makeKey()
            try await keep(wish, id, account.id, secret: key, request)
            let uri = TOTP.uri(key: key, issuer: relyingParty.name, account: account.email.rawValue)
            return FactorSetup(
                id: id, method: wish.method, secret: Base32.encode(key), otpauthUri: uri,
                qrCode: try QRCode.svg(uri, label: "QR code for an authenticator app"), expiresIn: expiresIn)
        case .sms:
            guard account.isEmailVerified else { throw AccountFailure.addressUnverified }
            guard let phone = wish.phone else { throw ValidationFailure("/phone", "missing", "is required for codes by text message") }
            try await keep(wish, id, account.id, hint: phone.masked, secret: Data(phone.rawValue.utf8), request) { tx in
                try codes.send(subject: id.uuid, account: account.id, channel: .sms, to: phone.rawValue, organization: organization, in: tx)
            }
            return FactorSetup(id: id, method: wish.method, sentTo: phone.masked, expiresIn: Int(SentCodes.lifetime))
        case .email:
            try await keep(wish, id, account.id, request) { tx in
                try codes.send(
                    subject: id.uuid, account: account.id, channel: .email, to: account.email.rawValue, organization: organization, in: tx)
            }
            return FactorSetup(
                id: id, method: wish.method, sentTo: SecondFactors.masked(account.email.rawValue), expiresIn: Int(SentCodes.lifetime))
        case .webauthn:
            let keys = try await database.query(SecurityKeyStore.all(of: account.id), as: AccountStore.caller)
            // Kept under its id until it is registered, for the name alone.
            try await keep(wish, id, account.id, request)
            let challenge = WebAuthnChallenge(.registration, account: account.id, occasion: id.uuid, at: request.now)
            return FactorSetup(
                id: id, method: wish.method, expiresIn: Int(WebAuthnChallenge.lifetime),
                publicKey: try relyingParty.creationOptions(
                    for: account.id, name: account.email.rawValue, displayName: displayName, excluding: keys, challenge: challenge))
        }
    }

    /// In place of what was begun with the same method before.
    private func keep(
        _ wish: Wish, _ id: SecondFactorID, _ account: UserID, hint: String? = nil, secret: Data? = nil, _ request: PublicRequest,
        also: @escaping @Sendable (Transaction) throws -> Void = { _ in }
    ) async throws {
        let draft = SecondFactor.pending(wish.method, id: id, of: account, name: wish.name, hint: hint, at: request.now)
        let sealed = try secret.map { try sealing.seal($0, context: draft.sealingContext) }
        let factor = SecondFactor.pending(wish.method, id: id, of: account, name: wish.name, hint: hint, secret: sealed, at: request.now)
        try await database.transaction(as: AccountStore.caller(account)) { tx in
            let factors = SecondFactorStore(tx: tx)
            try factors.lockAccount(account)
            try factors.removeUnconfirmed(wish.method, of: account)
            try factors.insert(factor)
            try also(tx)
            try Audit(tx, request).record(
                "auth.second-factor.set-up", "second-factor", id.description, changed: ["method": .string(wish.method.rawValue)])
        }
    }

    // MARK: - Who may

    /// What somebody sets a factor up in.
    enum Setting: Sendable {
        /// A sign-in that has shown a first factor alone.
        case signIn(MFAToken)
        case session(Session)
    }

    /// Whoever has shown a password alone, also on a device that is trusted, may set up the account's first second factor, and no other.
    /// With the account's row held: no factor is added, and no password changed, at the same time.
    private static func refusal(of setting: Setting, _ account: UserID, _ tx: Transaction) throws -> (any Failure)? {
        let isFirst = try SecondFactorStore(tx: tx).confirmed(of: account).isEmpty
        switch setting {
        case .signIn(let token):
            let attempt = try isFirst ? PendingSignInStore(tx: tx).attempt(token.digest, limit: PendingSignIn.attempts) : nil
            return attempt?.account == account ? nil : SecondFactorFailure.badToken
        case .session(let session):
            // Its tokens may still be good elsewhere for a moment when the password has just been changed.
            guard try AccountStore(tx: tx).mayFinish(account, begunAt: session.begunAt) else { return AccessFailure.revokedSession }
            return isFirst || session.methods.includeSecondFactor ? nil : SecondFactorFailure.needed
        }
    }

    /// Asked before anything is set up, sent or shown.
    func requireFactorShown(in session: Session) async throws {
        if session.methods.includeSecondFactor { return }
        let known = try await database.query(SecondFactorStore.confirmed(of: session.account), as: AccountStore.caller)
        guard known.isEmpty else { throw SecondFactorFailure.needed }
    }

    // MARK: - Confirming

    /// Takes a factor into use. Throws `SecondFactorFailure.wrongCode`, `WebAuthnFailure`.
    ///
    /// A sign-in is spent with it. Throws what `admit` does.
    func confirm(_ evidence: Evidence, for account: UserID, in setting: Setting, _ request: PublicRequest) async throws -> Confirmed {
        // The refusal is a value: tries at a code that was sent, and a challenge that was answered, are remembered.
        let result = try await database.transaction(as: AccountStore.caller(account)) { tx -> Result<Confirmed, any Error> in
            let factors = SecondFactorStore(tx: tx)
            try factors.lockAccount(account)
            if let refusal = try Self.refusal(of: setting, account, tx) { return .failure(refusal) }
            let factor: SecondFactor
            do {
                factor = try confirmed(evidence, account, tx)
            } catch let failure as any Failure {
                if let failure = failure as? WebAuthnFailure { request.note("webauthn", failure.check.rawValue) }
                try ProofChecking.record(failure, evidence.method.rawValue, account, risk: "medium", tx, request)
                return .failure(failure)
            }
            if case .signIn(let token) = setting { try PendingSignInStore(tx: tx).spend(token.digest) }
            let recovery = RecoveryCodeStore(tx: tx)
            let isFirst = try factors.confirmed(of: account).count == 1
            let codes = try isFirst || recovery.left(of: account) == 0 ? makeRecoveryCodes(account, tx) : nil
            try Outbox(tx).append(MFAEnabled(userID: account, method: factor.method.rawValue))
            try Audit(tx, request).record(
                "auth.second-factor.confirm", "second-factor", factor.id.description, risk: "medium",
                changed: ["method": .string(factor.method.rawValue), "name": .string(factor.name)])
            try SecondFactorLetters(tx, sealing).changed(factor.method, "added", account)
            return .success(Confirmed(factor: factor, recoveryCodes: codes))
        }
        return try result.get()
    }

    private func confirmed(_ evidence: Evidence, _ account: UserID, _ tx: Transaction) throws -> SecondFactor {
        let factors = SecondFactorStore(tx: tx)
        let waiting = try factors.unconfirmed(
            evidence.method, of: account, since: tx.now.addingTimeInterval(-SecondFactor.confirmationSeconds))
        switch evidence {
        case .code(let method, let code):
            guard let factor = waiting.first else { throw SecondFactorFailure.notBegun }
            if method == .totp {
                let key = try sealing.open(factor.secret ?? Data(), context: factor.sealingContext)
                guard let step = TOTP.match(code.text, key: key, at: tx.now, after: nil), try factors.take(step, of: factor.id) else {
                    throw SecondFactorFailure.wrongCode
                }
            } else {
                guard try codes.take(code.text, subject: factor.id.uuid, account: account, in: tx) else {
                    throw SecondFactorFailure.wrongCode
                }
            }
            try factors.confirm(factor.id)
            return factor
        case .key(let answer, let credentialID):
            let answered = try relyingParty.challenge(
                answered: answer.clientDataJSON, type: "webauthn.create", purpose: .registration, now: tx.now)
            let keys = SecurityKeyStore(tx: tx)
            guard answered.challenge.account == account, try keys.spend(answered),
                let factor = waiting.first(where: { $0.id.uuid == answered.challenge.occasion })
            else { throw WebAuthnFailure(.challenge) }
            let key = try relyingParty.register(answer, credentialID: credentialID)
            guard try keys.insert(key, as: factor.id, of: account) else { throw SecondFactorFailure.keyKnown }
            try factors.confirm(factor.id)
            return factor
        }
    }

    // MARK: - Recovery codes

    /// New ones in place of the old.
    func renewRecoveryCodes(of account: UserID, _ request: PublicRequest) async throws -> [String] {
        try await database.transaction(as: AccountStore.caller(account)) { tx in
            let factors = SecondFactorStore(tx: tx)
            try factors.lockAccount(account)
            guard try !factors.confirmed(of: account).isEmpty else { throw SecondFactorFailure.noneSetUp }
            try Audit(tx, request).record("auth.recovery-codes.renew", "account", account.description, risk: "medium")
            try SecondFactorLetters(tx, sealing).recoveryCodesRenewed(account)
            return try makeRecoveryCodes(account, tx)
        }
    }

    private func makeRecoveryCodes(_ account: UserID, _ tx: Transaction) throws -> [String] {
        let codes = (0..<RecoveryCode.count).map { _ in RecoveryCode.make() }
        try RecoveryCodeStore(tx: tx).replace(of: account, with: codes.map { RecoveryCode.digest($0, of: account) })
        return codes
    }

    // MARK: - Changing and removing

    /// Throws `ResourceFailure.notFound` for a factor that is not the account's.
    func rename(_ id: SecondFactorID, of account: UserID, to name: Name, _ request: PublicRequest) async throws -> SecondFactor {
        try await database.transaction(as: AccountStore.caller(account)) { tx in
            let factors = SecondFactorStore(tx: tx)
            guard let before = try factors.find(id, of: account), before.confirmedAt != nil else { throw ResourceFailure.notFound }
            try factors.rename(id, to: name)
            try Audit(tx, request).record(
                "auth.second-factor.rename", "second-factor", id.description, was: ["name": .string(before.name)],
                changed: ["name": .string(name.rawValue)])
            guard let after = try factors.find(id, of: account) else { throw ResourceFailure.notFound }
            return after
        }
    }

    /// - Parameter isDemanded: an organization of the person's demands a factor, so the last one stays.
    func remove(_ id: SecondFactorID, of account: UserID, in session: Session, isDemanded: Bool, _ request: PublicRequest) async throws {
        try await database.transaction(as: AccountStore.caller(account)) { tx in
            let factors = SecondFactorStore(tx: tx)
            try factors.lockAccount(account)
            guard let factor = try factors.find(id, of: account), factor.confirmedAt != nil else { throw ResourceFailure.notFound }
            if let refusal = try Self.refusal(of: .session(session), account, tx) { throw refusal }
            let left = try factors.confirmed(of: account).filter { $0.id != id }
            if left.isEmpty, isDemanded { throw SecondFactorFailure.lastOne }
            guard try factors.remove(id) else { throw ResourceFailure.notFound }
            try SentCodeStore(tx: tx).remove(id.uuid)
            try TrustedDeviceStore(tx: tx).removeAll(of: account)
            if left.isEmpty { try RecoveryCodeStore(tx: tx).removeAll(of: account) }
            try Outbox(tx).append(MFADisabled(userID: account, method: factor.method.rawValue))
            try Audit(tx, request).record(
                "auth.second-factor.remove", "second-factor", id.description, risk: left.isEmpty ? "high" : "medium",
                was: ["method": .string(factor.method.rawValue), "name": .string(factor.name)])
            try SecondFactorLetters(tx, sealing).changed(factor.method, "removed", account)
        }
    }

    /// Takes all factors away from somebody who has lost them, at the word of an admin. Returns how many counted.
    func reset(_ account: UserID, by caller: Caller, _ request: PublicRequest) async throws -> Int {
        let caller = Caller(caller.principal, tenant: .platform)
        return try await database.transaction(as: caller) { tx in
            let factors = SecondFactorStore(tx: tx)
            try factors.lockAccount(account)
            let methods = try factors.removeAll(of: account)
            try RecoveryCodeStore(tx: tx).removeAll(of: account)
            try SentCodeStore(tx: tx).removeAll(of: account)
            try TrustedDeviceStore(tx: tx).removeAll(of: account)
            try PendingSignInStore(tx: tx).spendAll(of: account)
            guard !methods.isEmpty else { return 0 }
            try Outbox(tx).append(methods.map { MFADisabled(userID: account, method: $0.rawValue) })
            try Audit(tx, request).record(
                "auth.second-factor.reset", "account", account.description, risk: "high",
                was: ["methods": .array(methods.map { .string($0.rawValue) })])
            for method in Set(methods) { try SecondFactorLetters(tx, sealing).changed(method, "reset", account) }
            return methods.count
        }
    }
}

/// What the person needs to set up a factor.
struct FactorSetup: View {
    let id: SecondFactorID
    let method: SecondFactorMethod
    /// The key of an authenticator app, in Base32, for typing in.
    var secret: String?
    /// The same for apps that follow links.
    var otpauthUri: String?
    /// The same as an SVG image.
    var qrCode: String?
    /// Where a code went, masked.
    var sentTo: String?
    /// Seconds in which it must be confirmed.
    let expiresIn: Int
    /// For `PublicKeyCredential.parseCreationOptionsFromJSON()`.
    var publicKey: WebAuthnCreationOptions?
}
