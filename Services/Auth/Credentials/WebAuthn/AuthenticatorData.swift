import Contracts
import Foundation

/// What an authenticator says and signs (WebAuthn Level 3, section 6.1).
struct AuthenticatorData: Sendable {
    /// Bits of the flags byte.
    struct Flags: OptionSet, Sendable {
        let rawValue: UInt8
        static let userPresent = Flags(rawValue: 0x01)
        static let userVerified = Flags(rawValue: 0x04)
        static let backupEligible = Flags(rawValue: 0x08)
        static let backedUp = Flags(rawValue: 0x10)
        static let attested = Flags(rawValue: 0x40)
        static let extended = Flags(rawValue: 0x80)
    }

    /// The new key, in the answer to a registration.
    struct Attested: Sendable {
        let aaguid: UUID
        let credentialID: Data
        /// The key as COSE wrote it.
        let publicKey: Data
    }

    /// WebAuthn, section 5.8.3.
    static let maximumCredentialIDBytes = 1_023
    private static let headBytes = 37

    let raw: Data
    let relyingPartyHash: Data
    let flags: Flags
    let signCount: UInt32
    let attested: Attested?
    let extensions: CBOR?

    /// Throws `WebAuthnFailure(.authenticatorData)` when it is not of that form, to the last byte.
    init(_ raw: Data) throws(WebAuthnFailure) {
        let bytes = Data(raw)
        guard bytes.count >= Self.headBytes else { throw WebAuthnFailure(.authenticatorData) }
        self.raw = bytes
        relyingPartyHash = bytes[0..<32]
        flags = Flags(rawValue: bytes[32])
        signCount = bytes[33..<37].reduce(0) { $0 << 8 | UInt32($1) }
        var rest = bytes.dropFirst(Self.headBytes)
        do {
            attested = flags.contains(.attested) ? try Self.attested(&rest) : nil
            extensions = flags.contains(.extended) ? try Self.item(&rest).value : nil
        } catch {
            throw WebAuthnFailure(.authenticatorData)
        }
        guard rest.isEmpty, extensions.map({ $0.entries != nil }) ?? true else { throw WebAuthnFailure(.authenticatorData) }
    }

    private static func attested(_ rest: inout Data) throws -> Attested {
        guard rest.count > 18 else { throw CBOR.Malformed() }
        let head = Array(rest.prefix(18))
        rest = rest.dropFirst(18)
        let length = Int(head[16]) << 8 | Int(head[17])
        guard (1...maximumCredentialIDBytes).contains(length), rest.count > length else { throw CBOR.Malformed() }
        let id = Data(rest.prefix(length))
        rest = rest.dropFirst(length)
        let aaguid = head.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
        return Attested(aaguid: aaguid, credentialID: id, publicKey: try item(&rest).bytes)
    }

    private static func item(_ rest: inout Data) throws -> (value: CBOR, bytes: Data) {
        let (value, length) = try CBOR.decodeFirst(Data(rest))
        let bytes = Data(rest.prefix(length))
        rest = rest.dropFirst(length)
        return (value, bytes)
    }
}

/// A public key that an authenticator made (COSE, RFC 9053), of one of the three algorithms we ask for.
struct CredentialPublicKey: Sendable, Equatable {
    enum Algorithm: Int, Sendable, CaseIterable {
        case es256 = -7
        case edDSA = -8
        case rs256 = -257
    }

    let algorithm: Algorithm
    /// As libfido2 takes it: x and y; the 32 bytes of Ed25519; or a modulus of 256 bytes and an exponent of three.
    let raw: Data

    /// Throws `WebAuthnFailure(.algorithm)` for any other kind of key, or one whose parts have not their length.
    init(cose: Data) throws(WebAuthnFailure) {
        guard let key = try? CBOR.decode(cose), let algorithm = key[3]?.int.flatMap(Algorithm.init), let type = key[1]?.int else {
            throw WebAuthnFailure(.algorithm)
        }
        func part(_ label: Int, _ length: Int) throws(WebAuthnFailure) -> Data {
            guard let bytes = key[label]?.bytes, bytes.count == length else { throw WebAuthnFailure(.algorithm) }
            return bytes
        }
        self.algorithm = algorithm
        switch (algorithm, type, key[-1]?.int) {
        case (.es256, 2, 1): raw = try part(-2, 32) + part(-3, 32)
        case (.edDSA, 1, 6): raw = try part(-2, 32)
        case (.rs256, 3, nil): raw = try part(-1, 256) + part(-2, 3)
        default: throw WebAuthnFailure(.algorithm)
        }
    }
}
