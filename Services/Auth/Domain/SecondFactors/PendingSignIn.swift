import Contracts
import Foundation

/// A sign-in that has shown a first factor and waits for a second.
struct PendingSignIn: Sendable {
    enum Demand: String, Sendable {
        /// One of the account's factors.
        case verify
        /// The organization demands a factor and the account has none: it sets up its first one now, and nothing else.
        case enrol
        /// The account has no factor, but the sign-in does not look like its owner, or may not set one up: a code goes to its address.
        case mail
    }

    /// Seconds in which it must be finished.
    static let lifetime: TimeInterval = 600
    /// Answers that may be wrong before it is worthless.
    static let attempts = 10

    let id: UUID
    let account: UserID
    let organization: TenantID
    /// What has been shown (RFC 8176).
    let methods: [String]
    let demand: Demand
    let risk: Double
    /// Of the session that it will become.
    let origin: SessionOrigin
    let expiresAt: Date
}
