import Contracts
import Crypto
import CryptoExtras
import Foundation
import ServiceKit

/// An authenticator in software, and the browser in front of it: honest unless a test tells it to lie.
struct SoftwareAuthenticator {
    enum Key {
        case es256(P256.Signing.PrivateKey)
        case edDSA(Curve25519.Signing.PrivateKey)
        case rs256(_RSA.Signing.PrivateKey)

        var algorithm: Int {
            switch self {
            case .es256: -7
            case .edDSA: -8
            case .rs256: -257
            }
        }

        /// As COSE writes it (RFC 9053).
        var cose: CBORItem {
            get throws {
                switch self {
                case .es256(let key):
                    let point = key.publicKey.rawRepresentation
                    return .map([
                        (.int(1), .int(2)), (.int(3), .int(-7)), (.int(-1), .int(1)), (.int(-2), .bytes(point.prefix(32))),
                        (.int(-3), .bytes(point.suffix(32))),
                    ])
                case .edDSA(let key):
                    return .map([
                        (.int(1), .int(1)), (.int(3), .int(-8)), (.int(-1), .int(6)), (.int(-2), .bytes(key.publicKey.rawRepresentation)),
                    ])
                case .rs256(let key):
                    let parts = try key.publicKey.getKeyPrimitives()
                    return .map([
                        (.int(1), .int(3)), (.int(3), .int(-257)), (.int(-1), .bytes(parts.modulus)),
                        (.int(-2), .bytes(parts.publicExponent)),
                    ])
                }
            }
        }

        func sign(_ data: Data) throws -> Data {
            switch self {
            case .es256(let key): try key.signature(for: data).derRepresentation
            case .edDSA(let key): try key.signature(for: data)
            case .rs256(let key): try key.signature(for: data, padding: .insecurePKCS1v1_5).rawRepresentation
            }
        }
    }

    enum Statement {
        case none
        case selfSigned
        /// With a certificate that names a model.
        case certified(model: UUID)
        /// Signed by another key than the one that is registered.
        case forged
        /// `none`, with something in it.
        case filled
        case otherFormat
    }

    var key = Key.es256(P256.Signing.PrivateKey())
    var credentialID = Data((0..<32).map { _ in UInt8.random(in: .min ... .max) })
    var relyingParty = "localhost"
    var origin = "http://localhost:8080"
    var crossOrigin = false
    var counter: UInt32 = 0
    /// User present, user verified.
    var flags: UInt8 = 0x05
    var model = UUID()
    var userHandle: Data?
    var extensions: CBORItem?
    var transports = ["internal", "hybrid"]

    // MARK: - Registration

    /// What a browser's `credential.toJSON()` gives for these creation options.
    mutating func register(_ options: JSONValue, _ statement: Statement = .none, type: String = "webauthn.create") throws -> JSONValue {
        userHandle = options["user"]["id"].string.flatMap { Base64URL.decode($0) }
        let client = clientData(type, options["challenge"].string ?? "")
        let data = try authenticatorData(flags: flags | 0x40, attested: true)
        let (format, attestation) = try attestation(statement, signing: data + Data(SHA256.hash(data: client)))
        let object = CBORItem.map([(.text("fmt"), .text(format)), (.text("attStmt"), attestation), (.text("authData"), .bytes(data))])
        return [
            "id": .string(Base64URL.encode(credentialID)), "rawId": .string(Base64URL.encode(credentialID)), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": ["credProps": ["rk": true]],
            "response": [
                "clientDataJSON": .string(Base64URL.encode(client)), "attestationObject": .string(Base64URL.encode(object.encoded)),
                "transports": .array(transports.map { .string($0) }), "publicKeyAlgorithm": .integer(key.algorithm),
            ],
        ]
    }

    private func attestation(_ statement: Statement, signing signed: Data) throws -> (String, CBORItem) {
        switch statement {
        case .none: return ("none", .map([]))
        case .filled: return ("none", .map([(.text("sig"), .bytes(Data([1])))]))
        case .otherFormat: return ("android-safetynet", .map([]))
        case .selfSigned: return ("packed", .map([(.text("alg"), .int(key.algorithm)), (.text("sig"), .bytes(try key.sign(signed)))]))
        case .forged:
            let other = P256.Signing.PrivateKey()
            return ("packed", .map([(.text("alg"), .int(-7)), (.text("sig"), .bytes(try other.signature(for: signed).derRepresentation))]))
        case .certified(let model):
            let maker = P256.Signing.PrivateKey()
            let certificate = try TestCertificate.der(for: maker, model: model)
            return (
                "packed",
                .map([
                    (.text("alg"), .int(-7)), (.text("sig"), .bytes(try maker.signature(for: signed).derRepresentation)),
                    (.text("x5c"), .array([.bytes(certificate)])),
                ])
            )
        }
    }

    // MARK: - Assertion

    /// What a browser's `credential.toJSON()` gives for these request options. The counter goes forward, if it counts.
    mutating func assert(
        _ options: JSONValue, type: String = "webauthn.get", tampered: Bool = false, changingData: Bool = false
    ) throws -> JSONValue {
        if counter > 0 { counter += 1 }
        let client = clientData(type, options["challenge"].string ?? "")
        var data = try authenticatorData(flags: flags, attested: false)
        var signature = try key.sign(data + Data(SHA256.hash(data: client)))
        if tampered { signature[signature.count - 1] ^= 1 }
        // After it was signed: the counter's last byte.
        if changingData { data[36] ^= 0xFF }
        return [
            "id": .string(Base64URL.encode(credentialID)), "rawId": .string(Base64URL.encode(credentialID)), "type": "public-key",
            "clientExtensionResults": [:],
            "response": [
                "clientDataJSON": .string(Base64URL.encode(client)), "authenticatorData": .string(Base64URL.encode(data)),
                "signature": .string(Base64URL.encode(signature)),
                "userHandle": userHandle.map { .string(Base64URL.encode($0)) } ?? .null,
            ],
        ]
    }

    // MARK: - What both say

    private func clientData(_ type: String, _ challenge: String) -> Data {
        Data(#"{"type":"\#(type)","challenge":"\#(challenge)","origin":"\#(origin)","crossOrigin":\#(crossOrigin)}"#.utf8)
    }

    private func authenticatorData(flags: UInt8, attested: Bool) throws -> Data {
        var data = Data(SHA256.hash(data: Data(relyingParty.utf8)))
        data.append(extensions == nil ? flags : flags | 0x80)
        withUnsafeBytes(of: counter.bigEndian) { data.append(contentsOf: $0) }
        if attested {
            withUnsafeBytes(of: model.uuid) { data.append(contentsOf: $0) }
            data.append(contentsOf: [UInt8(credentialID.count >> 8), UInt8(credentialID.count & 0xFF)])
            data += credentialID + (try key.cose.encoded)
        }
        return data + (extensions?.encoded ?? Data())
    }
}

/// CBOR as an authenticator writes it.
indirect enum CBORItem {
    case int(Int)
    case bytes(Data)
    case text(String)
    case bool(Bool)
    case array([CBORItem])
    case map([(CBORItem, CBORItem)])

    var encoded: Data {
        switch self {
        case .int(let value): value < 0 ? Self.head(1, -1 - value) : Self.head(0, value)
        case .bytes(let bytes): Self.head(2, bytes.count) + bytes
        case .text(let text): Self.head(3, text.utf8.count) + Data(text.utf8)
        case .bool(let value): Data([value ? 0xF5 : 0xF4])
        case .array(let items): items.reduce(Self.head(4, items.count)) { $0 + $1.encoded }
        case .map(let pairs): pairs.reduce(Self.head(5, pairs.count)) { $0 + $1.0.encoded + $1.1.encoded }
        }
    }

    private static func head(_ major: UInt8, _ value: Int) -> Data {
        switch value {
        case ..<24: Data([major << 5 | UInt8(value)])
        case ..<256: Data([major << 5 | 24, UInt8(value)])
        default: Data([major << 5 | 25, UInt8(value >> 8), UInt8(value & 0xFF)])
        }
    }
}

/// A certificate of an authenticator's maker (X.509 in DER), as short as one can be.
enum TestCertificate {
    static func der(for key: P256.Signing.PrivateKey, model: UUID) throws -> Data {
        let algorithm = sequence(Data([0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]))
        let unit = sequence(Data([0x06, 0x03, 0x55, 0x04, 0x0B]) + value(0x0C, Data("Authenticator Attestation".utf8)))
        let name = sequence(value(0x31, unit))
        let validity = sequence(value(0x17, Data("250101000000Z".utf8)) + value(0x17, Data("450101000000Z".utf8)))
        let modelBytes = withUnsafeBytes(of: model.uuid) { Data($0) }
        let oid = Data([0x06, 0x0B, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0xE5, 0x1C, 0x01, 0x01, 0x04])
        let extensions = value(0xA3, sequence(sequence(oid + value(0x04, value(0x04, modelBytes)))))
        let body = sequence(
            value(0xA0, Data([0x02, 0x01, 0x02])) + Data([0x02, 0x01, 0x01]) + algorithm + name + validity + name
                + key.publicKey.derRepresentation + extensions)
        let signature = try key.signature(for: body).derRepresentation
        return sequence(body + algorithm + value(0x03, Data([0]) + signature))
    }

    private static func sequence(_ content: Data) -> Data { value(0x30, content) }

    private static func value(_ tag: UInt8, _ content: Data) -> Data {
        let length: [UInt8] =
            switch content.count {
            case ..<128: [UInt8(content.count)]
            case ..<256: [0x81, UInt8(content.count)]
            default: [0x82, UInt8(content.count >> 8), UInt8(content.count & 0xFF)]
            }
        return Data([tag] + length) + content
    }
}
