import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

/// A factor, as its owner sees it.
struct SecondFactorView: View {
    let id: SecondFactorID
    let method: SecondFactorMethod
    let name: String
    /// The telephone number, masked.
    let hint: String?
    let createdAt: Date
    let lastUsedAt: Date?

    init(_ factor: SecondFactor) {
        id = factor.id
        method = factor.method
        name = factor.name
        hint = factor.hint
        createdAt = factor.createdAt
        lastUsedAt = factor.lastUsedAt
    }
}

/// `GET /api/v1/auth/mfa`.
struct SecondFactorList: View {
    let data: [SecondFactorView]
    let nextCursor: String?
    let recoveryCodesLeft: Int
}

/// Shown once: they are kept as hashes.
struct RecoveryCodesView: View {
    let recoveryCodes: [String]
}

/// What `mfa/verify` answers. For a sign-in the tokens; for a set-up the factor; for a sign-in whose first factor was set up, both.
struct VerifiedAnswer: EndpointResult {
    /// The form of the answer; what does not belong to a case is left out.
    struct Body: Codable, Sendable {
        var user: PersonView?
        var organization: OrganizationView?
        var accessToken: String?
        var refreshToken: String?
        var tokenType: String?
        var expiresIn: Int?
        var factor: SecondFactorView?
        /// With the first factor, once.
        var recoveryCodes: [String]?
    }

    private let body: Body
    private let signedIn: SignedIn?
    private let cookie: String?

    /// - Parameter cookie: of a device that is trusted from now on.
    init(_ signedIn: SignedIn?, _ confirmed: FactorEnrolment.Confirmed?, cookie: String? = nil) {
        self.signedIn = signedIn
        self.cookie = cookie
        body = Body(
            user: signedIn?.user, organization: signedIn?.organization, accessToken: signedIn?.accessToken,
            refreshToken: signedIn?.refreshToken, tokenType: signedIn?.tokenType, expiresIn: signedIn?.expiresIn,
            factor: (confirmed?.factor).map { SecondFactorView($0) }, recoveryCodes: confirmed?.recoveryCodes)
    }

    static var status: HTTPResponse.Status { .ok }
    static var bodySchema: NamedSchema? {
        NamedSchema(name: "VerifiedAnswer", schema: SchemaProbe.named(Body.self).schema)
    }

    /// With the headers of a sign-in where it is one: the browser is known again by a cookie.
    func response(to request: PublicRequest) throws -> Response {
        var headers = try signedIn?.response(to: request).headers ?? [:]
        headers[.contentType] = "application/json"
        headers[.contentLength] = nil
        if let cookie { headers.append(HTTPField(name: .setCookie, value: cookie)) }
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: try JSON.encode(body))))
    }
}

/// What is shown beside, or instead of, a password.
enum ShownMethod: String, Codable, Sendable, CaseIterable {
    case totp, sms, email, webauthn, recovery

    var factor: SecondFactorMethod? { SecondFactorMethod(rawValue: rawValue) }
}

/// The fields in which a proof is shown, as the requests have them.
struct ShownSecondFactor: Sendable {
    let method: ShownMethod?
    let code: PresentedCode?
    let credential: WebAuthnResponse?
    let recoveryCode: PresentedCode?

    /// One of: a code with its method, a credential, a recovery code.
    func proof() throws(ValidationFailure) -> SecondFactorProof {
        if let recoveryCode {
            try refuseOthers(method == nil || method == .recovery, code == nil && credential == nil)
            return .recovery(recoveryCode)
        }
        if let credential {
            try refuseOthers(method == nil || method == .webauthn, code == nil)
            return .key(try credential.assertion())
        }
        switch method {
        case nil: throw ValidationFailure("/method", "missing", "is required, but with a recoveryCode or a credential")
        case .webauthn: throw ValidationFailure("/credential", "missing", "is required for a security key")
        case .recovery: return .recovery(try presentedCode())
        case .totp: return .code(.totp, try presentedCode())
        case .sms: return .code(.sms, try presentedCode())
        case .email: return .code(.email, try presentedCode())
        }
    }

    /// What shows that a factor works that is being set up.
    func evidence() throws(ValidationFailure) -> FactorEnrolment.Evidence {
        if let credential {
            try refuseOthers(method == nil || method == .webauthn, code == nil && recoveryCode == nil)
            return .key(try credential.attestation(), credentialID: credential.members?.id.data ?? Data())
        }
        guard let method, recoveryCode == nil, let factor = method.factor else {
            throw ValidationFailure("/method", "invalid-choice", "must be totp, sms, email or webauthn")
        }
        guard factor != .webauthn else { throw ValidationFailure("/credential", "missing", "is required for a security key") }
        return .code(factor, try presentedCode())
    }

    private func presentedCode() throws(ValidationFailure) -> PresentedCode {
        guard let code else { throw ValidationFailure("/code", "missing", "is required for this method") }
        return code
    }

    private func refuseOthers(_ fits: Bool, _ isAlone: Bool) throws(ValidationFailure) {
        guard fits, isAlone else { throw ValidationFailure("/method", "contradiction", "show one proof, of the method that is named") }
    }
}
