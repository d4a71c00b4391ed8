import Contracts
import Foundation
import Postgres

/// Security keys and passkeys, and the challenges that have been answered.
struct SecurityKeyStore {
    let tx: Transaction

    private static let columns: SQL = "factor_id, account_id, credential_id, public_key, sign_count, transports, backup_eligible"

    private static func read(_ row: Row) throws -> SecurityKey {
        let count: Int64 = try row("sign_count")
        return SecurityKey(
            factor: try row("factor_id"), account: try row("account_id"), credentialID: try row("credential_id"),
            publicKey: try row("public_key"), signCount: UInt32(truncatingIfNeeded: count), transports: try row("transports"),
            isBackupEligible: try row("backup_eligible"))
    }

    static func all(of account: UserID) -> Query<SecurityKey> {
        Query("SELECT \(fragment: columns) FROM security_keys WHERE account_id = \(account) ORDER BY factor_id", read)
    }

    /// The key of a credential id, kept from changing until the transaction ends: two answers at once cannot pass with one counter.
    func lock(_ credentialID: Data) throws -> SecurityKey? {
        try tx.first(
            Query("SELECT \(fragment: Self.columns) FROM security_keys WHERE credential_id = \(credentialID) FOR UPDATE", Self.read))
    }

    /// False when the key is registered already, with this account or another.
    func insert(_ key: NewSecurityKey, as factor: SecondFactorID, of account: UserID) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO security_keys (tenant_id, factor_id, account_id, credential_id, public_key, sign_count, aaguid, transports,
                                       attestation, verifies_user, backup_eligible, backed_up)
            VALUES (\(tx.caller.tenant), \(factor), \(account), \(key.credentialID), \(key.publicKey), \(Int64(key.signCount)),
                    \(key.aaguid), \(key.transports), \(key.attestation), \(key.verifiesUser), \(key.isBackupEligible),
                    \(key.isBackedUp))
            ON CONFLICT ON CONSTRAINT security_keys_credential DO NOTHING
            """) == 1
    }

    func note(_ use: SecurityKeyUse, of factor: SecondFactorID) throws {
        try tx.execute(
            "UPDATE security_keys SET sign_count = \(Int64(use.signCount)), backed_up = \(use.isBackedUp) WHERE factor_id = \(factor)")
    }

    /// False when the challenge has been answered before.
    func spend(_ answered: WebAuthnRelyingParty.AnsweredChallenge) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO spent_challenges (tenant_id, digest, expires_at)
            VALUES (\(tx.caller.tenant), \(answered.digest), \(answered.challenge.expiresAt)) ON CONFLICT DO NOTHING
            """) == 1
    }

    static func pruneSpent(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM spent_challenges WHERE digest IN
        (SELECT digest FROM spent_challenges WHERE expires_at < \(before) LIMIT \(limit))
        """
    }
}
