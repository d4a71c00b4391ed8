package import Contracts
package import Crypto
package import Foundation

/// A signed statement: at this time the entry with this sequence had this hash. Whoever has it can tell that all before it is as it was.
package struct Checkpoint: Sendable, Hashable, Codable {
    package enum Kind: String, Sendable, Codable {
        /// The log reached as far as this.
        case checkpoint
        /// All up to and with this entry was removed, because it was older than what is kept.
        case pruned
    }

    package let kind: Kind
    package let organizationId: TenantID
    package let sequence: Int
    /// In hexadecimal.
    package let hash: String
    package let signedAt: Date
    package let keyId: String
    /// Ed25519 (RFC 8032) in base64url.
    package let signature: String

    package init(
        kind: Kind, organizationId: TenantID, sequence: Int, hash: String, signedAt: Date, keyId: String, signature: String
    ) {
        self.kind = kind
        self.organizationId = organizationId
        self.sequence = sequence
        self.hash = hash
        self.signedAt = signedAt
        self.keyId = keyId
        self.signature = signature
    }

    package var chainHash: ChainHash? { ChainHash(hash) }

    /// What is signed: a line that says what it is, then the members but `signature` as RFC 8785 writes them.
    package static func signed(_ kind: Kind, _ organization: TenantID, _ sequence: Int, _ hash: String, _ time: Date, _ keyID: String)
        -> Data
    {
        let members: JSONValue = [
            "kind": .string(kind.rawValue), "organizationId": .string(organization.description), "sequence": .integer(sequence),
            "hash": .string(hash), "signedAt": .string(Timestamp.text(time)), "keyId": .string(keyID),
        ]
        return Data("trionex-audit-checkpoint/1\n".utf8) + CanonicalJSON.data(members)
    }

    fileprivate var signedData: Data { Self.signed(kind, organizationId, sequence, hash, signedAt, keyId) }
}

/// The public half of a signing key, as a JSON Web Key (RFC 8037).
package struct AuditPublicKey: Sendable, Hashable, Codable {
    package let kty: String
    package let crv: String
    package let alg: String
    package let use: String
    package let kid: String
    /// 32 bytes in base64url.
    package let x: String

    package init(_ key: Curve25519.Signing.PublicKey) {
        kty = "OKP"
        crv = "Ed25519"
        alg = "EdDSA"
        use = "sig"
        x = Base64Text.encode(key.rawRepresentation)
        kid = Self.name(x)
    }

    /// The thumbprint of RFC 7638, so that a name cannot be given to another key.
    private static func name(_ x: String) -> String {
        Base64Text.encode(Data(SHA256.hash(data: Data(#"{"crv":"Ed25519","kty":"OKP","x":"\#(x)"}"#.utf8))))
    }

    /// Nil for a key of another kind, or one whose name is not its own.
    fileprivate var verifying: Curve25519.Signing.PublicKey? {
        guard kty == "OKP", crv == "Ed25519", kid == Self.name(x), let bytes = Base64Text.decode(x) else { return nil }
        return try? Curve25519.Signing.PublicKey(rawRepresentation: bytes)
    }
}

/// The keys that checkpoints may be signed with: `{"keys": […]}`, as RFC 7517 has it.
package struct AuditKeySet: Sendable, Codable, Hashable {
    package let keys: [AuditPublicKey]

    package init(_ keys: [AuditPublicKey]) { self.keys = keys }

    package enum Judgement: Sendable, Equatable {
        case good, unknownKey, badSignature
    }

    package func judge(_ checkpoint: Checkpoint) -> Judgement {
        guard let key = keys.first(where: { $0.kid == checkpoint.keyId })?.verifying else { return .unknownKey }
        guard checkpoint.chainHash != nil, let signature = Base64Text.decode(checkpoint.signature),
            key.isValidSignature(signature, for: checkpoint.signedData)
        else { return .badSignature }
        return .good
    }
}

/// A key that signs checkpoints. It is kept outside the database that it vouches for.
package struct AuditSigningKey: Sendable {
    package let publicKey: AuditPublicKey
    private let key: Curve25519.Signing.PrivateKey

    package init() { self.init(Curve25519.Signing.PrivateKey()) }

    /// Throws when these are not the 32 bytes of a key.
    package init(rawRepresentation: Data) throws { self.init(try Curve25519.Signing.PrivateKey(rawRepresentation: rawRepresentation)) }

    private init(_ key: Curve25519.Signing.PrivateKey) {
        self.key = key
        publicKey = AuditPublicKey(key.publicKey)
    }

    package var rawRepresentation: Data { key.rawRepresentation }

    package func sign(
        _ organization: TenantID, sequence: Int, hash: ChainHash, at time: Date, as kind: Checkpoint.Kind = .checkpoint
    ) throws -> Checkpoint {
        let data = Checkpoint.signed(kind, organization, sequence, hash.description, time, publicKey.kid)
        return Checkpoint(
            kind: kind, organizationId: organization, sequence: sequence, hash: hash.description, signedAt: time, keyId: publicKey.kid,
            signature: Base64Text.encode(try key.signature(for: data)))
    }
}

/// Base64url without padding (RFC 4648, section 5).
enum Base64Text {
    static func encode(_ data: Data) -> String {
        data.base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    static func decode(_ text: String) -> Data? {
        let plain = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        return Data(base64Encoded: plain + String(repeating: "=", count: (4 - plain.count % 4) % 4))
    }
}
