import Contracts
import Foundation
import Messaging
import Metrics
import Postgres
import ServiceKit

/// What somebody shows to prove who they are.
enum SecondFactorProof: Sendable {
    case code(SecondFactorMethod, PresentedCode)
    case key(WebAuthnResponse.Assertion)
    case recovery(PresentedCode)
}

/// What a proof is shown for: a security key's answer is good for that alone.
enum ProofOccasion: Sendable {
    case signIn(PendingSignIn)
    case stepUp(SessionID)

    var id: UUID {
        switch self {
        case .signIn(let pending): pending.id
        case .stepUp(let session): session.uuid
        }
    }

    var purpose: WebAuthnChallenge.Purpose {
        switch self {
        case .signIn: .secondFactor
        case .stepUp: .stepUp
        }
    }
}

/// How a proof was found. A refusal is a value, so that what must be remembered of it commits.
enum ProofOutcome: Sendable {
    /// How a token's `amr` names what was shown (RFC 8176).
    case passed(reference: String)
    case refused(any Failure)

    func reference() throws -> String {
        switch self {
        case .passed(let reference): return reference
        case .refused(let failure): throw failure
        }
    }
}

/// Holds what somebody shows against what their account has, inside the transaction that it opens doors in.
struct ProofChecking: Sendable {
    let sealing: Sealing
    let relyingParty: WebAuthnRelyingParty
    let codes: SentCodes

    /// Wrong codes of an account before it is locked, and for how long then. Keys and recovery codes cannot be guessed and go on.
    static let patience = LockOut(threshold: 5, first: 30, longest: 3_600)

    /// - Parameter mayMail: a code sent to the address of an account without factors counts too.
    func check(
        _ proof: SecondFactorProof, of account: UserID, occasion: ProofOccasion, mayMail: Bool = false, in tx: Transaction,
        _ request: PublicRequest
    ) throws -> ProofOutcome {
        let outcome: ProofOutcome
        let method: String
        switch proof {
        case .code(let wanted, let code):
            method = wanted.rawValue
            if let until = try SecondFactorLimitStore(tx: tx).lockedUntil(account), until > tx.now {
                return .refused(SecondFactorLimited(guessing: until, now: tx.now))
            }
            let isGood = try wanted == .totp ? appCode(code.text, account, tx) : sentCode(code.text, wanted, account, mayMail, tx)
            outcome = isGood ? .passed(reference: wanted.reference) : .refused(SecondFactorFailure.wrongCode)
        case .recovery(let code):
            method = SecondFactorChallenge.recoveryMethod
            outcome = try recoveryCode(code.text, account, tx) ? .passed(reference: "otp") : .refused(SecondFactorFailure.wrongCode)
        case .key(let assertion):
            method = SecondFactorMethod.webauthn.rawValue
            outcome = try key(assertion, account, occasion, tx)
        }
        Counter(label: "trionex_auth_second_factors_total", dimensions: [("method", method), ("result", outcome.label)]).increment()
        switch outcome {
        case .passed: try SecondFactorLimitStore(tx: tx).forgetFailures(account)
        case .refused(let failure):
            return try refuse(failure, method, isGuess: SecondFactorMethod(rawValue: method)?.isGuessable ?? false, account, tx, request)
        }
        return outcome
    }

    /// A password, shown again by somebody who is signed in and has no factor. Its guesses count as those of codes do.
    func password(isRight: Bool, of account: UserID, in tx: Transaction, _ request: PublicRequest) throws -> ProofOutcome {
        if let until = try SecondFactorLimitStore(tx: tx).lockedUntil(account), until > tx.now {
            return .refused(SecondFactorLimited(guessing: until, now: tx.now))
        }
        guard isRight else { return try refuse(AccountFailure.wrongPassword, "password", isGuess: true, account, tx, request) }
        try SecondFactorLimitStore(tx: tx).forgetFailures(account)
        return .passed(reference: "pwd")
    }

    // MARK: - Codes

    private func appCode(_ code: String, _ account: UserID, _ tx: Transaction) throws -> Bool {
        let factors = SecondFactorStore(tx: tx)
        for factor in try factors.confirmed(of: account) where factor.method == .totp {
            let key = try sealing.open(factor.secret ?? Data(), context: factor.sealingContext)
            guard let step = TOTP.match(code, key: key, at: tx.now, after: factor.lastStep) else { continue }
            return try factors.take(step, of: factor.id)
        }
        return false
    }

    private func sentCode(_ code: String, _ method: SecondFactorMethod, _ account: UserID, _ mayMail: Bool, _ tx: Transaction) throws
        -> Bool
    {
        let factors = SecondFactorStore(tx: tx)
        let known = try factors.confirmed(of: account)
        for factor in known where factor.method == method {
            guard try codes.take(code, subject: factor.id.uuid, account: account, in: tx) else { continue }
            try factors.noteUse(factor.id)
            return true
        }
        return try mayMail && known.isEmpty && method == .email && codes.take(code, subject: account.uuid, account: account, in: tx)
    }

    private func recoveryCode(_ code: String, _ account: UserID, _ tx: Transaction) throws -> Bool {
        let recovery = RecoveryCodeStore(tx: tx)
        guard try recovery.use(RecoveryCode.digest(code, of: account), of: account) else { return false }
        let left = try recovery.left(of: account)
        try SecondFactorLetters(tx, sealing).recoveryCodeUsed(account, left: left)
        return true
    }

    // MARK: - Keys

    private func key(_ assertion: WebAuthnResponse.Assertion, _ account: UserID, _ occasion: ProofOccasion, _ tx: Transaction) throws
        -> ProofOutcome
    {
        do {
            let answered = try relyingParty.challenge(
                answered: assertion.clientDataJSON, type: "webauthn.get", purpose: occasion.purpose, now: tx.now)
            guard answered.challenge.account == account, answered.challenge.occasion == occasion.id,
                try SecurityKeyStore(tx: tx).spend(answered)
            else { throw WebAuthnFailure(.challenge) }
            _ = try use(assertion, of: account, mustVerifyUser: false, tx)
            return .passed(reference: SecondFactorMethod.webauthn.reference)
        } catch let failure as WebAuthnFailure {
            return .refused(failure)
        }
    }

    /// A passkey, shown alone: the account it belongs to, once its owner has unlocked it.
    func passkey(_ assertion: WebAuthnResponse.Assertion, in tx: Transaction) throws -> UserID {
        let answered = try relyingParty.challenge(answered: assertion.clientDataJSON, type: "webauthn.get", purpose: .passkey, now: tx.now)
        guard try SecurityKeyStore(tx: tx).spend(answered) else { throw WebAuthnFailure(.challenge) }
        guard assertion.userHandle != nil else { throw WebAuthnFailure(.userHandle) }
        return try use(assertion, of: nil, mustVerifyUser: true, tx)
    }

    private func use(_ assertion: WebAuthnResponse.Assertion, of account: UserID?, mustVerifyUser: Bool, _ tx: Transaction) throws -> UserID
    {
        let keys = SecurityKeyStore(tx: tx)
        guard let key = try keys.lock(assertion.credentialID), account == nil || key.account == account else {
            throw WebAuthnFailure(.unknownKey)
        }
        if let handle = assertion.userHandle, handle != WebAuthnRelyingParty.userHandle(of: key.account) {
            throw WebAuthnFailure(.userHandle)
        }
        let use = try relyingParty.assert(assertion, with: key, mustVerifyUser: mustVerifyUser)
        try keys.note(use, of: key.factor)
        try SecondFactorStore(tx: tx).noteUse(key.factor)
        return key.account
    }

    // MARK: - Refusals

    private func refuse(
        _ failure: any Failure, _ method: String, isGuess: Bool, _ account: UserID, _ tx: Transaction, _ request: PublicRequest
    ) throws -> ProofOutcome {
        var risk = "medium"
        if isGuess {
            let limits = SecondFactorLimitStore(tx: tx)
            let failures = try limits.addFailure(account, forgotten: tx.now.addingTimeInterval(-LockOut.memory))
            if let delay = Self.patience.delay(after: failures) {
                let until = tx.now.addingTimeInterval(delay)
                try limits.lock(account, until: until)
                risk = "high"
                // Once, when the lock begins: whoever gets here knows the password.
                if failures == Self.patience.threshold { try SecondFactorLetters(tx, sealing).locked(account, until: until) }
            }
        }
        if let failure = failure as? WebAuthnFailure {
            request.note("webauthn", failure.check.rawValue)
            if failure.check == .counter { risk = "high" }
        }
        try Self.record(failure, method, account, risk: risk, tx, request)
        return .refused(failure)
    }

    /// A refusal, as the audit has it.
    static func record(
        _ failure: any Failure, _ method: String, _ account: UserID?, risk: String, _ tx: Transaction, _ request: PublicRequest
    ) throws {
        var changed: [String: JSONValue] = ["method": .string(method), "problem": .string(failure.code)]
        if let failure = failure as? WebAuthnFailure { changed["check"] = .string(failure.check.rawValue) }
        try Outbox(tx).append(
            AuditEntryRecorded(
                action: "auth.second-factor.verify", resourceType: "account", resourceID: account?.description,
                actor: tx.caller.principalText, outcome: "refused", riskLevel: risk, address: request.clientAddress,
                userAgent: request.userAgent, changed: changed, requestID: request.requestID))
    }
}

extension ProofOutcome {
    fileprivate var label: String {
        switch self {
        case .passed: "passed"
        case .refused: "refused"
        }
    }
}
