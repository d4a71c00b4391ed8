import Contracts
import Foundation
import ServiceKit

/// Bytes as WebAuthn's JSON forms write them: base64url without padding.
struct Base64URLBytes: Codable, Described, Sendable, Equatable {
    static let maximumLength = 65_536
    let data: Data

    init(_ data: Data) { self.data = data }

    static var schema: Schema { .string(maxLength: maximumLength, pattern: "^[A-Za-z0-9_-]*$") }
    static var placeholder: Base64URLBytes { Base64URLBytes(Data()) }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard text.utf8.count <= Self.maximumLength, let data = Base64URL.decode(text) else {
            let problem = TextProblem("invalid-base64url", "must be base64url without padding, at most \(Self.maximumLength) characters")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
        self.data = data
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Base64URL.encode(data))
    }
}

/// What a browser's `credential.toJSON()` gives, of a registration or of an assertion (WebAuthn Level 3, sections 5.1 and 5.2:
/// RegistrationResponseJSON, AuthenticationResponseJSON). Members that are not used here are let through, since browsers add to them.
struct WebAuthnResponse: Decodable, Described, Sendable {
    struct Members: Decodable, Sendable {
        struct Response: Decodable, Sendable {
            let clientDataJSON: Base64URLBytes
            /// Of a registration.
            let attestationObject: Base64URLBytes?
            let transports: [String]?
            /// Of an assertion.
            let authenticatorData: Base64URLBytes?
            let signature: Base64URLBytes?
            let userHandle: Base64URLBytes?
        }

        let id: Base64URLBytes
        let rawId: Base64URLBytes?
        let type: String
        let response: Response
    }

    /// What a registration has.
    struct Attestation: Sendable {
        let clientDataJSON: Data
        let object: Data
        let transports: [String]
    }

    /// What an assertion has.
    struct Assertion: Sendable {
        let credentialID: Data
        let clientDataJSON: Data
        let authenticatorData: Data
        let signature: Data
        let userHandle: Data?
    }

    /// Transports are hints of the browser: only names of a sensible form are kept.
    static let maximumTransports = 8
    static let maximumTransportLength = 32

    let members: Members?

    static var schema: Schema {
        let bytes = Base64URLBytes.schema
        return .object([
            .init("id", bytes, required: true), .init("rawId", bytes, required: false),
            .init("type", .choice(["public-key"]), required: true),
            .init(
                "response",
                .object([
                    .init("clientDataJSON", bytes, required: true), .init("attestationObject", bytes, required: false),
                    .init("transports", .array(.string()), required: false), .init("authenticatorData", bytes, required: false),
                    .init("signature", bytes, required: false), .init("userHandle", .nullable(bytes), required: false),
                ]), required: true),
            .init("clientExtensionResults", .map(.any), required: false),
            .init("authenticatorAttachment", .nullable(.string()), required: false),
        ])
    }
    static var placeholder: WebAuthnResponse { WebAuthnResponse(members: nil) }

    private init(members: Members?) { self.members = members }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let value = try container.decode(JSONValue.self)
        guard let members = try? JSON.decode(Members.self, from: JSON.encode(value)), members.type == "public-key",
            members.rawId.map({ $0 == members.id }) ?? true
        else {
            let problem = TextProblem("invalid-credential", "must be what a browser's credential.toJSON() gives")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
        self.members = members
    }

    func attestation() throws(ValidationFailure) -> Attestation {
        guard let response = members?.response, let object = response.attestationObject else {
            throw ValidationFailure("/credential/response/attestationObject", "missing", "is required in the answer to a registration")
        }
        let transports = (response.transports ?? []).filter { name in
            (1...Self.maximumTransportLength).contains(name.utf8.count) && name.utf8.allSatisfy { (97...122).contains($0) || $0 == 45 }
        }
        return Attestation(
            clientDataJSON: response.clientDataJSON.data, object: object.data, transports: Array(transports.prefix(Self.maximumTransports)))
    }

    func assertion() throws(ValidationFailure) -> Assertion {
        guard let members, let authenticatorData = members.response.authenticatorData, let signature = members.response.signature else {
            throw ValidationFailure("/credential/response/signature", "missing", "is required in the answer to an assertion")
        }
        return Assertion(
            credentialID: members.id.data, clientDataJSON: members.response.clientDataJSON.data, authenticatorData: authenticatorData.data,
            signature: signature.data, userHandle: members.response.userHandle?.data)
    }
}

/// A key that is known, as options name it.
struct WebAuthnDescriptor: Codable, Sendable {
    let type: String
    let id: Base64URLBytes
    let transports: [String]

    init(_ id: Data, transports: [String]) {
        type = "public-key"
        self.id = Base64URLBytes(id)
        self.transports = transports
    }
}

/// PublicKeyCredentialCreationOptionsJSON: for `PublicKeyCredential.parseCreationOptionsFromJSON()`.
struct WebAuthnCreationOptions: Codable, Sendable {
    struct RelyingPartyEntity: Codable, Sendable {
        let id: String
        let name: String
    }

    struct UserEntity: Codable, Sendable {
        let id: Base64URLBytes
        let name: String
        let displayName: String
    }

    struct Parameters: Codable, Sendable {
        let type: String
        let alg: Int
    }

    struct Selection: Codable, Sendable {
        let residentKey: String
        let requireResidentKey: Bool
        let userVerification: String
    }

    struct Extensions: Codable, Sendable {
        let credProps: Bool
    }

    let rp: RelyingPartyEntity
    let user: UserEntity
    let challenge: Base64URLBytes
    let pubKeyCredParams: [Parameters]
    /// Milliseconds.
    let timeout: Int
    let excludeCredentials: [WebAuthnDescriptor]
    let authenticatorSelection: Selection
    let attestation: String
    let extensions: Extensions
}

/// PublicKeyCredentialRequestOptionsJSON: for `PublicKeyCredential.parseRequestOptionsFromJSON()`.
struct WebAuthnRequestOptions: Codable, Sendable {
    let challenge: Base64URLBytes
    /// Milliseconds.
    let timeout: Int
    let rpId: String
    /// Empty: any passkey of this relying party.
    let allowCredentials: [WebAuthnDescriptor]
    let userVerification: String
}

extension SecurityKey {
    var descriptor: WebAuthnDescriptor { WebAuthnDescriptor(credentialID, transports: transports) }
}
