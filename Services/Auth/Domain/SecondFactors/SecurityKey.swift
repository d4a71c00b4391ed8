import Contracts
import Foundation

/// A registered security key or passkey.
struct SecurityKey: Sendable {
    let factor: SecondFactorID
    let account: UserID
    let credentialID: Data
    /// As COSE wrote it.
    let publicKey: Data
    let signCount: UInt32
    let transports: [String]
    /// Whether it may be copied to other devices of its owner (a synced passkey). Never changes.
    let isBackupEligible: Bool
}

/// What a registration gave.
struct NewSecurityKey: Sendable {
    let credentialID: Data
    let publicKey: Data
    let signCount: UInt32
    /// The authenticator's model, zeros when it does not say.
    let aaguid: UUID
    let transports: [String]
    /// `none`, `self` or `basic`.
    let attestation: String
    /// Whether it knew its owner, by PIN, fingerprint or face, when it was registered.
    let verifiesUser: Bool
    let isBackupEligible: Bool
    let isBackedUp: Bool
}

/// What an assertion changed, and whether the key knew its owner.
struct SecurityKeyUse: Sendable {
    let signCount: UInt32
    let isBackedUp: Bool
    let verifiedUser: Bool
}
