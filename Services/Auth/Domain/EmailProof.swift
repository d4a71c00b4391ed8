import Contracts
import Foundation

/// A letter by which somebody shows that a mailbox is theirs: a link for the hurried, a code for whoever reads mail elsewhere.
///
/// It expires, works once, and a later one for the same purpose takes its place.
struct EmailProof: Sendable {
    enum Purpose: String, Sendable, CaseIterable {
        case verifyEmail = "verify-email"
        case resetPassword = "reset-password"
        /// A registration that waits for it: there is no account yet.
        case register
    }

    /// Wrong codes before no code is taken any more. The link stays good: it cannot be guessed.
    static let maximumAttempts = 5
    /// Wrong passwords before a registration cannot be finished any more.
    static let maximumWrongPasswords = 5
    /// Letters to one address for one purpose; a mailbox is not to be flooded by strangers.
    static let maximumPerHour = 5
    static let codeDigits = 8

    let id: UUID
    let purpose: Purpose
    let email: EmailAddress
    /// Nil for a registration, and where no account has the address.
    let account: UserID?
    let codeDigest: Data
    /// With which a registration was to be finished.
    let wrongPasswords: Int
    let expiresAt: Date
    /// Of a registration: the hash of its password, and the rest of it, sealed.
    let passwordHash: String?
    let registration: Data?
}

/// Refusals of links and codes.
enum EmailProofFailure: String, Failure {
    /// One refusal for links that are unknown, used, replaced or expired.
    case badLink = "invalid-link"
    /// One refusal for wrong codes, right ones that are over, and addresses that nobody has.
    case badCode = "wrong-code"
    /// The registration was made with another password.
    case wrongPassword = "wrong-password"

    var kind: FailureKind { self == .wrongPassword ? .unauthenticated : .invalid }

    var detail: String? {
        switch self {
        case .badLink: "This link is not valid, or no longer: ask for another."
        case .badCode: "This code is not right, or no longer: ask for another."
        case .wrongPassword: "The password is not the one that was registered with."
        }
    }
}
