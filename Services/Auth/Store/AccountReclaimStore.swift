import Contracts
import Foundation
import Messaging
import Postgres

/// An account that somebody made with an address before the mailbox was shown to be theirs, and that the mailbox's owner takes over.
///
/// Whatever was put into it until then could be a stranger's, who waits: it goes. Sessions and API keys end as after any new password.
struct AccountReclaimStore {
    let tx: Transaction

    /// Takes away what would let somebody in beside the password: factors, recovery codes, trusted devices, sign-ins that wait,
    /// identities, and the places that count as known.
    func strip(_ account: UserID) throws {
        let methods = try SecondFactorStore(tx: tx).removeAll(of: account)
        try RecoveryCodeStore(tx: tx).removeAll(of: account)
        try SentCodeStore(tx: tx).removeAll(of: account)
        try TrustedDeviceStore(tx: tx).removeAll(of: account)
        try PendingSignInStore(tx: tx).spendAll(of: account)
        try tx.execute("DELETE FROM identities WHERE account_id = \(account)")
        try tx.execute("DELETE FROM sign_in_places WHERE account_id = \(account)")
        try Outbox(tx).append(methods.map { MFADisabled(userID: account, method: $0.rawValue) })
    }

    /// For the owner of the address' domain: the address counts as verified, and the password goes too. All sessions and API keys are to
    /// end. False when the account was verified meanwhile.
    func takeOver(_ account: UserID, _ email: EmailAddress) throws -> Bool {
        let taken = try tx.execute(
            """
            UPDATE accounts SET password_hash = NULL, password_changed_at = \(tx.now), sessions_end_at = \(tx.now), session_kept = NULL,
                sign_ins_void_until = \(tx.now), keys_end_at = \(tx.now), email_verified_at = \(tx.now)
            WHERE id = \(account) AND email = \(email) AND status = 'active' AND email_verified_at IS NULL
            """)
        guard taken == 1 else { return false }
        try strip(account)
        return true
    }
}
