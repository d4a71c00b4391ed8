import Contracts
import Foundation

/// What an authenticator says of its own make (WebAuthn, section 8): nothing, or a signature over the registration.
///
/// No root certificates are kept, so a certificate shows that the parts of the statement belong together, not who made the key.
struct Attestation: Sendable {
    enum Kind: String, Sendable {
        case none
        /// Signed by the new key itself.
        case selfSigned = "self"
        /// Signed by the key of a certificate.
        case certified = "basic"
    }

    let kind: Kind
    private let statement: CBOR
    private let encoded: Data

    /// Throws `WebAuthnFailure` for other formats than `none` and `packed`.
    init(format: String, statement: CBOR, object: Data) throws(WebAuthnFailure) {
        switch format {
        case "none":
            guard statement == .map([]) else { throw WebAuthnFailure(.attestation) }
            kind = .none
        case "packed":
            guard statement["sig"]?.bytes != nil, statement["alg"]?.int != nil else { throw WebAuthnFailure(.attestation) }
            if let chain = statement["x5c"] {
                guard let first = chain.array?.first, first.bytes != nil else { throw WebAuthnFailure(.attestation) }
                kind = .certified
            } else {
                kind = .selfSigned
            }
        default: throw WebAuthnFailure(.attestationFormat)
        }
        self.statement = statement
        do {
            encoded = try CBOR.bytes(of: "attStmt", in: object)
        } catch {
            throw WebAuthnFailure(.attestation)
        }
    }

    func verify(
        _ data: AuthenticatorData, _ attested: AuthenticatorData.Attested, _ key: CredentialPublicKey, clientDataHash: Data,
        relyingParty: String
    ) throws(WebAuthnFailure) {
        switch kind {
        case .none: return
        case .selfSigned:
            guard statement["alg"]?.int == key.algorithm.rawValue else { throw WebAuthnFailure(.attestation) }
        case .certified:
            guard let certificate = statement["x5c"]?.array?.first?.bytes, Self.names(certificate, attested.aaguid) else {
                throw WebAuthnFailure(.attestation)
            }
        }
        try FidoVerification.verifyPacked(
            statement: encoded, isSelf: kind == .selfSigned, authenticatorData: data, clientDataHash: clientDataHash,
            relyingParty: relyingParty, algorithm: key.algorithm)
    }

    /// The DER form of the object identifier 1.3.6.1.4.1.45724.1.1.4, id-fido-gen-ce-aaguid.
    private static let modelExtension = Data([0x06, 0x0B, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0xE5, 0x1C, 0x01, 0x01, 0x04])

    /// Whether a certificate that names a model names this one (section 8.2.1: the extension, not critical, holds the AAGUID).
    private static func names(_ certificate: Data, _ model: UUID) -> Bool {
        guard let found = certificate.range(of: modelExtension) else { return true }
        let octets = Data([0x04, 0x12, 0x04, 0x10]) + withUnsafeBytes(of: model.uuid) { Data($0) }
        return certificate[found.upperBound...].starts(with: octets)
    }
}
