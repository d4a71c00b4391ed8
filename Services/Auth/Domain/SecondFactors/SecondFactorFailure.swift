import Contracts
import Foundation

/// Refusals of second factors.
enum SecondFactorFailure: String, Failure {
    /// One refusal for a token that is unknown, expired, spent, or shown with wrong codes too often.
    case badToken = "invalid-mfa-token"
    /// One refusal for a code that is wrong, expired or was used before.
    case wrongCode = "wrong-code"
    case notSetUp = "method-not-set-up"
    case tooMany = "too-many-factors"
    case alreadySetUp = "already-set-up"
    case keyKnown = "key-already-registered"
    case needed = "second-factor-needed"
    case lastOne = "last-second-factor"
    case enrolmentOnly = "enrolment-only"
    case noneSetUp = "no-second-factor"
    case notBegun = "set-up-not-begun"

    var kind: FailureKind {
        switch self {
        case .badToken, .wrongCode: .unauthenticated
        case .needed, .enrolmentOnly: .forbidden
        case .notSetUp, .tooMany, .alreadySetUp, .keyKnown, .lastOne, .noneSetUp, .notBegun: .conflict
        }
    }

    var detail: String? {
        switch self {
        case .badToken: "This mfaToken is not valid, or no longer: sign in again."
        case .wrongCode: "The code is wrong, has expired or was used before."
        case .notSetUp: "This method is not set up for the account: choose one of those that the sign-in named."
        case .tooMany: "The account has as many factors of this kind as it can: remove one first."
        case .alreadySetUp: "This factor is set up already."
        case .keyKnown: "This security key is registered already."
        case .needed: "The account has a second factor: prove who you are with it."
        case .lastOne: "Your organization demands a second factor: set up another before you remove the last."
        case .enrolmentOnly: "This sign-in has to set up a second factor first: POST /api/v1/auth/mfa/setup with the mfaToken."
        case .noneSetUp: "The account has no second factor to recover from."
        case .notBegun: "No such factor is being set up, or it was begun too long ago: POST /api/v1/auth/mfa/setup first."
        }
    }
}

/// Too many wrong codes, or too many codes sent, for this account.
struct SecondFactorLimited: Failure, Equatable {
    let code: String
    let seconds: Int
    var kind: FailureKind { .limited(retryAfter: seconds) }
    var detail: String? {
        code == Self.sendingCode
            ? "A code was sent a short while ago. Ask for the next in \(seconds) second(s)."
            : "Too many wrong codes. Try again in \(seconds) second(s), or use a security key or a recovery code."
    }

    static let sendingCode = "too-many-codes-sent"
    static let guessingCode = "too-many-wrong-codes"

    init(sending until: Date, now: Date) { self.init(Self.sendingCode, until, now) }
    init(guessing until: Date, now: Date) { self.init(Self.guessingCode, until, now) }

    private init(_ code: String, _ until: Date, _ now: Date) {
        self.code = code
        seconds = max(1, Int(until.timeIntervalSince(now).rounded(.up)))
    }
}

/// Refusals of a WebAuthn response. The client gets one sentence; which check failed goes to the log.
struct WebAuthnFailure: Failure, Equatable {
    enum Check: String, Sendable {
        case clientData = "client-data"
        case type
        case challenge
        case origin
        case relyingParty = "relying-party"
        case userPresence = "user-presence"
        case userVerification = "user-verification"
        case backupFlags = "backup-flags"
        case authenticatorData = "authenticator-data"
        case algorithm
        case attestation
        case attestationFormat = "attestation-format"
        case signature
        case counter
        case unknownKey = "unknown-key"
        case userHandle = "user-handle"
    }

    let check: Check

    init(_ check: Check) { self.check = check }

    var code: String {
        switch check {
        case .counter: "security-key-copied"
        case .userVerification: "user-verification-missing"
        default: "invalid-credential"
        }
    }

    var kind: FailureKind { .unauthenticated }

    var detail: String? {
        switch check {
        case .counter: "This security key seems to have been copied: remove it and register another."
        case .userVerification: "Unlock the passkey with its PIN, fingerprint or face."
        default: "The security key's answer was not accepted. Begin again."
        }
    }
}
