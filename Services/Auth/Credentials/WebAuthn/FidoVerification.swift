import CFido2
import Contracts
import Foundation

/// Signatures of authenticators, verified by libfido2.
///
/// It also holds the relying party, the flags and the extensions against what is signed; the ceremonies check those themselves
/// too, to say which was wrong.
enum FidoVerification {
    /// Whether the key that was registered signed this assertion.
    static func verify(
        signature: Data, authenticatorData: AuthenticatorData, clientDataHash: Data, relyingParty: String, key: CredentialPublicKey
    ) throws(WebAuthnFailure) {
        var assertion = fido_assert_new()
        defer { fido_assert_free(&assertion) }
        guard let assertion,
            fido_assert_set_count(assertion, 1) == FIDO_OK,
            fido_assert_set_rp(assertion, relyingParty) == FIDO_OK,
            fido_assert_set_up(assertion, FIDO_OPT_TRUE) == FIDO_OK,
            clientDataHash.withBytes({ fido_assert_set_clientdata_hash(assertion, $0, $1) }) == FIDO_OK,
            authenticatorData.raw.withBytes({ fido_assert_set_authdata_raw(assertion, 0, $0, $1) }) == FIDO_OK,
            signature.withBytes({ fido_assert_set_sig(assertion, 0, $0, $1) }) == FIDO_OK
        else { throw WebAuthnFailure(.signature) }
        let verdict =
            switch key.algorithm {
            case .es256: verify(assertion, COSE_ES256, key, es256_pk_new, es256_pk_free, es256_pk_from_ptr)
            case .rs256: verify(assertion, COSE_RS256, key, rs256_pk_new, rs256_pk_free, rs256_pk_from_ptr)
            case .edDSA: verify(assertion, COSE_EDDSA, key, eddsa_pk_new, eddsa_pk_free, eddsa_pk_from_ptr)
            }
        guard verdict == FIDO_OK else { throw WebAuthnFailure(.signature) }
    }

    private static func verify(
        _ assertion: OpaquePointer, _ algorithm: CInt, _ key: CredentialPublicKey, _ make: () -> OpaquePointer?,
        _ free: (UnsafeMutablePointer<OpaquePointer?>) -> Void,
        _ fill: (OpaquePointer, UnsafeRawPointer, Int) -> CInt
    ) -> CInt {
        var made = make()
        defer { free(&made) }
        guard let made else { return FIDO_ERR_INTERNAL }
        let filled = key.raw.withUnsafeBytes { bytes in bytes.baseAddress.map { fill(made, $0, bytes.count) } ?? FIDO_ERR_INTERNAL }
        guard filled == FIDO_OK else { return filled }
        return fido_assert_verify(assertion, 0, algorithm, UnsafeRawPointer(made))
    }

    /// Whether a `packed` attestation statement was signed over this registration: by the new key itself, or by the key of the
    /// certificate in it (WebAuthn, section 8.2).
    static func verifyPacked(
        statement: Data, isSelf: Bool, authenticatorData: AuthenticatorData, clientDataHash: Data, relyingParty: String,
        algorithm: CredentialPublicKey.Algorithm
    ) throws(WebAuthnFailure) {
        var credential = fido_cred_new()
        defer { fido_cred_free(&credential) }
        guard let credential,
            fido_cred_set_type(credential, CInt(algorithm.rawValue)) == FIDO_OK,
            fido_cred_set_rp(credential, relyingParty, nil) == FIDO_OK,
            set(authenticatorData.extensions, on: credential),
            clientDataHash.withBytes({ fido_cred_set_clientdata_hash(credential, $0, $1) }) == FIDO_OK,
            authenticatorData.raw.withBytes({ fido_cred_set_authdata_raw(credential, $0, $1) }) == FIDO_OK,
            fido_cred_set_fmt(credential, "packed") == FIDO_OK,
            statement.withBytes({ fido_cred_set_attstmt(credential, $0, $1) }) == FIDO_OK,
            (isSelf ? fido_cred_verify_self(credential) : fido_cred_verify(credential)) == FIDO_OK
        else { throw WebAuthnFailure(.attestation) }
    }

    /// libfido2 refuses extensions that were not asked for. Browsers add some of their own accord, and none changes what we rely on.
    private static func set(_ extensions: CBOR?, on credential: OpaquePointer) -> Bool {
        guard let extensions else { return true }
        var mask: CInt = 0
        if extensions["hmac-secret"]?.bool == true { mask |= FIDO_EXT_HMAC_SECRET }
        if extensions["credBlob"]?.bool == true { mask |= FIDO_EXT_CRED_BLOB }
        if mask != 0, fido_cred_set_extensions(credential, mask) != FIDO_OK { return false }
        if let level = extensions["credProtect"]?.int {
            guard (1...3).contains(level), fido_cred_set_prot(credential, CInt(level)) == FIDO_OK else { return false }
        }
        if let length = extensions["minPinLength"]?.int {
            guard (0...255).contains(length), fido_cred_set_pin_minlen(credential, length) == FIDO_OK else { return false }
        }
        return true
    }
}

extension Data {
    fileprivate func withBytes(_ body: (UnsafePointer<UInt8>?, Int) -> CInt) -> CInt {
        withUnsafeBytes { body($0.bindMemory(to: UInt8.self).baseAddress, $0.count) }
    }
}
