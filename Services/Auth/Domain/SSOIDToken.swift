import Contracts
import Foundation

/// The claims of an ID token, as far as signing in reads them (OpenID Connect Core, section 2).
struct SSOIDToken: Decodable, Sendable {
    let iss: String
    let sub: String
    let aud: [String]
    let azp: String?
    let exp: Double
    let iat: Double
    let nbf: Double?
    let nonce: String?
    let atHash: String?
    let email: String?
    let emailVerified: Bool
    let name: String?
    let givenName: String?
    let familyName: String?
    /// Google: the Workspace domain the account belongs to.
    let hostedDomain: String?
    /// Microsoft: the directory.
    let directory: String?
    /// Microsoft: whether the domain's owner vouches for the address.
    let edov: Bool

    /// What the token must agree with.
    struct Expectation: Sendable {
        let issuer: String?
        let clientID: String
        let nonce: String
        /// The sign-in began then: an older token was made for another.
        let notBefore: Date
        let now: Date
    }

    /// Seconds by which the issuer's clock may differ from ours.
    static let leeway: TimeInterval = 60

    /// The rules of OpenID Connect Core, section 3.1.3.7, but for the signature and `at_hash`, which are checked where keys and hashes are.
    func check(_ expected: Expectation) throws(SSOFailure) {
        guard let issuer = expected.issuer, iss == issuer else { throw .badToken }
        guard aud.contains(expected.clientID), aud.count == 1 || azp != nil, azp == nil || azp == expected.clientID else { throw .badToken }
        guard nonce == expected.nonce else { throw .badToken }
        let now = expected.now.timeIntervalSince1970
        guard exp > now - Self.leeway, iat <= now + Self.leeway, (nbf ?? 0) <= now + Self.leeway,
            iat >= expected.notBefore.timeIntervalSince1970 - Self.leeway
        else { throw .badToken }
        guard (1...SSOAssertion.maximumSubjectLength).contains(sub.utf8.count) else { throw .badToken }
    }

    /// What it says of the person, by what the preset takes for evidence.
    func assertion(_ evidence: SSOPreset.Evidence) -> SSOAssertion {
        let address = email.flatMap { EmailAddress(rawValue: $0) }
        let verified: Bool =
            switch evidence {
            case .emailVerified: emailVerified
            case .google: emailVerified && isGoogles(address)
            case .edov: edov
            case .primaryOfList: false
            }
        let names = SSOPersonName(given: givenName, family: familyName, whole: name)
        return SSOAssertion(
            issuer: iss, subject: sub, email: address, isEmailVerified: verified && address != nil, firstName: names.first,
            lastName: names.last)
    }

    private func isGoogles(_ address: EmailAddress?) -> Bool {
        guard let domain = address?.domain.rawValue else { return false }
        return ["gmail.com", "googlemail.com"].contains(domain) || hostedDomain?.lowercased() == domain
    }

    private enum Key: String, CodingKey {
        case iss, sub, aud, azp, exp, iat, nbf, nonce, email, name, tid, hd
        case atHash = "at_hash"
        case emailVerified = "email_verified"
        case givenName = "given_name"
        case familyName = "family_name"
        case edov = "xms_edov"
    }

    init(from decoder: any Decoder) throws {
        let claims = try decoder.container(keyedBy: Key.self)
        iss = try claims.decode(String.self, forKey: .iss)
        sub = try claims.decode(String.self, forKey: .sub)
        aud = try (try? claims.decode([String].self, forKey: .aud)) ?? [claims.decode(String.self, forKey: .aud)]
        azp = try claims.decodeIfPresent(String.self, forKey: .azp)
        exp = try claims.decode(Double.self, forKey: .exp)
        iat = try claims.decode(Double.self, forKey: .iat)
        nbf = try claims.decodeIfPresent(Double.self, forKey: .nbf)
        nonce = try claims.decodeIfPresent(String.self, forKey: .nonce)
        atHash = try claims.decodeIfPresent(String.self, forKey: .atHash)
        // What is only shown, or only ever taken for true, may have any form without making the token a bad one.
        email = try? claims.decodeIfPresent(String.self, forKey: .email)
        name = try? claims.decodeIfPresent(String.self, forKey: .name)
        givenName = try? claims.decodeIfPresent(String.self, forKey: .givenName)
        familyName = try? claims.decodeIfPresent(String.self, forKey: .familyName)
        hostedDomain = try? claims.decodeIfPresent(String.self, forKey: .hd)
        directory = try? claims.decodeIfPresent(String.self, forKey: .tid)
        emailVerified = Self.isTrue(claims, .emailVerified)
        edov = Self.isTrue(claims, .edov)
    }

    /// Some issuers write `"true"`, Microsoft `1` or `"1"`.
    private static func isTrue(_ claims: KeyedDecodingContainer<Key>, _ key: Key) -> Bool {
        if let flag = try? claims.decode(Bool.self, forKey: key) { return flag }
        if let number = try? claims.decode(Int.self, forKey: key) { return number == 1 }
        guard let text = try? claims.decode(String.self, forKey: key) else { return false }
        return ["true", "1"].contains(text.lowercased())
    }
}

/// A person's name, as issuers give it: in two parts, or whole.
struct SSOPersonName: Sendable, Equatable {
    let first: Name?
    let last: Name?

    init(given: String?, family: String?, whole: String?) {
        if given != nil || family != nil {
            first = given.flatMap { Name(rawValue: $0) }
            last = family.flatMap { Name(rawValue: $0) }
        } else {
            let words = (whole ?? "").split(separator: " ", maxSplits: 1)
            first = words.first.flatMap { Name(rawValue: String($0)) }
            last = words.dropFirst().first.flatMap { Name(rawValue: String($0)) }
        }
    }
}
