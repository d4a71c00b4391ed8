import Contracts
import Crypto
import Foundation
import JWTKit
import ServiceKit

/// What an ID token says (OpenID Connect Core, section 2). Its issuer and audience are others than an access token's, so that neither
/// passes for the other.
struct IDTokenClaims: JWTPayload {
    let iss: String
    let sub: String
    /// The client's `client_id`.
    let aud: String
    let exp: Int
    let iat: Int
    let authTime: Int
    let nonce: String?
    let amr: [String]
    let acr: String
    let azp: String
    let sid: SessionID
    let atHash: String?
    let email: String?
    let emailVerified: Bool?
    let name: String?
    let givenName: String?
    let familyName: String?

    enum CodingKeys: String, CodingKey {
        case iss, sub, aud, exp, iat, nonce, amr, acr, azp, sid, email, name
        case authTime = "auth_time"
        case atHash = "at_hash"
        case emailVerified = "email_verified"
        case givenName = "given_name"
        case familyName = "family_name"
    }

    /// Who it is for is checked by whoever asks.
    func verify(using algorithm: some JWTAlgorithm) async throws {}

    /// The left half of the hash of the access token (OpenID Connect Core, section 3.1.3.6).
    static func hash(_ accessToken: String) -> String { Base64URL.encode(Data(SHA256.hash(data: Data(accessToken.utf8)).prefix(16))) }

    /// `2` when more than a password was shown; levels as in ISO/IEC 29115.
    static func level(of methods: [String]) -> String { methods.includeSecondFactor ? "2" : "1" }
}

/// What the platform says of a person to a client, by scope.
struct PersonFacts: Codable, Sendable {
    let sub: String
    let email: String?
    let emailVerified: Bool?
    let name: String?
    let givenName: String?
    let familyName: String?

    enum CodingKeys: String, CodingKey {
        case sub, email, name
        case emailVerified = "email_verified"
        case givenName = "given_name"
        case familyName = "family_name"
    }

    init(_ claims: PersonClaims, emailVerified: Bool, scopes: [OAuthScope]) {
        sub = claims.userID.description
        let mayEmail = scopes.contains(.email), mayProfile = scopes.contains(.profile)
        email = mayEmail ? claims.email : nil
        self.emailVerified = mayEmail ? emailVerified : nil
        givenName = mayProfile ? claims.firstName : nil
        familyName = mayProfile ? claims.lastName : nil
        let whole = [claims.firstName, claims.lastName].compactMap { $0 }.joined(separator: " ")
        name = mayProfile && !whole.isEmpty ? whole : nil
    }
}
