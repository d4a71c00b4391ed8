import Contracts
import Crypto
import Foundation
import ServiceKit

/// Who people's keys are for: one name in the world, and the origins whose pages may ask for them (WebAuthn, section 4).
struct WebAuthnRelyingParty: Sendable {
    let id: String
    let name: String
    let origins: Set<String>
    /// Whether certificates of authenticators are asked for: `none`, `indirect` or `direct`.
    let attestation: String
    let sealing: Sealing

    /// The host of the public address. A key cannot be for a number, so a loopback address is known as `localhost`.
    static func usualID(of publicURL: String) -> String {
        let host = URLComponents(string: publicURL)?.host ?? "localhost"
        return ["127.0.0.1", "[::1]", "::1"].contains(host) ? "localhost" : host
    }

    /// The public address as an origin, under its other name too where it has one.
    static func usualOrigins(of publicURL: String) -> [String] {
        guard let address = URLComponents(string: publicURL), let scheme = address.scheme, let host = address.host else { return [] }
        let port = address.port.map { ":\($0)" } ?? ""
        let names = host == usualID(of: publicURL) ? [host] : [host, usualID(of: publicURL)]
        return names.map { "\(scheme)://\($0)\(port)" }
    }

    // MARK: - Options

    func creationOptions(
        for account: UserID, name: String, displayName: String, excluding known: [SecurityKey], challenge: WebAuthnChallenge
    ) throws -> WebAuthnCreationOptions {
        WebAuthnCreationOptions(
            rp: .init(id: id, name: self.name),
            user: .init(id: Base64URLBytes(Self.userHandle(of: account)), name: name, displayName: displayName),
            challenge: Base64URLBytes(try challenge.sealed(with: sealing)),
            pubKeyCredParams: [CredentialPublicKey.Algorithm.es256, .edDSA, .rs256].map { .init(type: "public-key", alg: $0.rawValue) },
            timeout: Int(WebAuthnChallenge.lifetime) * 1_000, excludeCredentials: known.map(\.descriptor),
            authenticatorSelection: .init(residentKey: "preferred", requireResidentKey: false, userVerification: "preferred"),
            attestation: attestation, extensions: .init(credProps: true))
    }

    /// Without keys, any passkey will do, and it must know its owner: it is all that is shown.
    func requestOptions(for keys: [SecurityKey], challenge: WebAuthnChallenge) throws -> WebAuthnRequestOptions {
        WebAuthnRequestOptions(
            challenge: Base64URLBytes(try challenge.sealed(with: sealing)), timeout: Int(WebAuthnChallenge.lifetime) * 1_000, rpId: id,
            allowCredentials: keys.map(\.descriptor), userVerification: challenge.purpose == .passkey ? "required" : "preferred")
    }

    /// What a discoverable key gives back to say whose it is: the account's id, which says nothing about the person.
    static func userHandle(of account: UserID) -> Data { withUnsafeBytes(of: account.uuid.uuid) { Data($0) } }

    // MARK: - Answers

    private struct ClientData: Decodable {
        let type: String
        let challenge: String
        let origin: String
        let crossOrigin: Bool?
        let topOrigin: String?
    }

    /// A challenge of ours, as it came back, and what must be written down to let it come back no second time.
    struct AnsweredChallenge: Sendable {
        let challenge: WebAuthnChallenge
        let digest: Data
    }

    /// Checks what the browser says (WebAuthn, sections 7.1 and 7.2: steps on `type`, `challenge`, `origin`, `crossOrigin`).
    func challenge(answered clientDataJSON: Data, type: String, purpose: WebAuthnChallenge.Purpose, now: Date) throws(WebAuthnFailure)
        -> AnsweredChallenge
    {
        guard let client = try? JSONDecoder().decode(ClientData.self, from: clientDataJSON) else { throw WebAuthnFailure(.clientData) }
        guard client.type == type else { throw WebAuthnFailure(.type) }
        guard let sealed = Base64URL.decode(client.challenge), let challenge = WebAuthnChallenge(opening: sealed, with: sealing),
            challenge.purpose == purpose, challenge.expiresAt > now
        else { throw WebAuthnFailure(.challenge) }
        // A page inside another's frame is not one of ours, whatever its own origin.
        guard origins.contains(client.origin), client.crossOrigin != true, client.topOrigin == nil else { throw WebAuthnFailure(.origin) }
        return AnsweredChallenge(challenge: challenge, digest: WebAuthnChallenge.digest(sealed))
    }

    private func check(_ data: AuthenticatorData, mustVerifyUser: Bool) throws(WebAuthnFailure) {
        guard data.relyingPartyHash == Data(SHA256.hash(data: Data(id.utf8))) else { throw WebAuthnFailure(.relyingParty) }
        guard data.flags.contains(.userPresent) else { throw WebAuthnFailure(.userPresence) }
        guard data.flags.contains(.userVerified) || !mustVerifyUser else { throw WebAuthnFailure(.userVerification) }
        guard data.flags.contains(.backupEligible) || !data.flags.contains(.backedUp) else { throw WebAuthnFailure(.backupFlags) }
    }

    /// The new key of a registration whose challenge has been checked (WebAuthn, section 7.1).
    func register(_ answer: WebAuthnResponse.Attestation, credentialID: Data) throws(WebAuthnFailure) -> NewSecurityKey {
        guard let object = try? CBOR.decode(answer.object), let format = object["fmt"]?.text, let statement = object["attStmt"],
            let raw = object["authData"]?.bytes
        else { throw WebAuthnFailure(.attestation) }
        let data = try AuthenticatorData(raw)
        try check(data, mustVerifyUser: false)
        guard let attested = data.attested, attested.credentialID == credentialID else { throw WebAuthnFailure(.authenticatorData) }
        let key = try CredentialPublicKey(cose: attested.publicKey)
        let attestation = try Attestation(format: format, statement: statement, object: answer.object)
        try attestation.verify(
            data, attested, key, clientDataHash: Data(SHA256.hash(data: answer.clientDataJSON)), relyingParty: id)
        return NewSecurityKey(
            credentialID: attested.credentialID, publicKey: attested.publicKey, signCount: data.signCount, aaguid: attested.aaguid,
            transports: answer.transports, attestation: attestation.kind.rawValue, verifiesUser: data.flags.contains(.userVerified),
            isBackupEligible: data.flags.contains(.backupEligible), isBackedUp: data.flags.contains(.backedUp))
    }

    /// The state of a key after an assertion whose challenge has been checked (WebAuthn, section 7.2).
    func assert(_ answer: WebAuthnResponse.Assertion, with known: SecurityKey, mustVerifyUser: Bool) throws(WebAuthnFailure)
        -> SecurityKeyUse
    {
        let data = try AuthenticatorData(answer.authenticatorData)
        try check(data, mustVerifyUser: mustVerifyUser)
        guard data.flags.contains(.backupEligible) == known.isBackupEligible else { throw WebAuthnFailure(.backupFlags) }
        try FidoVerification.verify(
            signature: answer.signature, authenticatorData: data, clientDataHash: Data(SHA256.hash(data: answer.clientDataJSON)),
            relyingParty: id, key: try CredentialPublicKey(cose: known.publicKey))
        // Only after the signature: an unsigned counter proves nothing. One that counts must go forward (section 6.1.1).
        guard (data.signCount == 0 && known.signCount == 0) || data.signCount > known.signCount else { throw WebAuthnFailure(.counter) }
        return SecurityKeyUse(
            signCount: data.signCount, isBackedUp: data.flags.contains(.backedUp), verifiedUser: data.flags.contains(.userVerified))
    }
}
