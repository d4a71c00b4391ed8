import Contracts
import Foundation

/// The issuers whose habits are known, and any other.
enum SSOPreset: String, Codable, Sendable, CaseIterable {
    case google, microsoft, github
    case oidc

    /// Whom to believe when an issuer says that an address is somebody's.
    enum Trust: Sendable {
        /// Run by nobody's customer: what it says is verified is so, whoever set the connection up.
        case everywhere
        /// The organization's own: it could say anything, so it is believed in domains that the organization has shown to be its own.
        case ownDomains
    }

    /// What is peculiar to each, in one place.
    struct Quirks: Sendable {
        let kind: SSOConnection.Kind
        /// Nil where the connection has to name it.
        let issuer: String?
        /// Whether a connection may name another: a directory of Microsoft's, a GitHub of one's own.
        let takesIssuer: Bool
        let scopes: String
        let evidence: Evidence
    }

    /// What makes an address verified.
    enum Evidence: Sendable {
        /// `email_verified` is true (OpenID Connect Core, section 5.1).
        case emailVerified
        /// Google is the authority for Gmail and for the domain in `hd` only: another address was somebody's once.
        case google
        /// Entra lets administrators write any address; `xms_edov` says that its domain's owner did.
        case edov
        /// The one address of the list that is primary and verified.
        case primaryOfList
    }

    var quirks: Quirks {
        switch self {
        case .google:
            Quirks(
                kind: .oidc, issuer: "https://accounts.google.com", takesIssuer: false, scopes: "openid email profile", evidence: .google)
        case .microsoft:
            Quirks(
                kind: .oidc, issuer: "https://login.microsoftonline.com/organizations/v2.0", takesIssuer: true,
                scopes: "openid email profile", evidence: .edov)
        case .github:
            Quirks(
                kind: .oauth2, issuer: "https://github.com", takesIssuer: true, scopes: "read:user user:email", evidence: .primaryOfList)
        case .oidc:
            Quirks(kind: .oidc, issuer: nil, takesIssuer: true, scopes: "openid email profile", evidence: .emailVerified)
        }
    }

    var kind: SSOConnection.Kind { quirks.kind }

    /// A GitHub of one's own is as much the organization's as any other issuer of its own.
    func trust(_ issuer: String) -> Trust {
        switch self {
        case .google, .microsoft: .everywhere
        case .github: issuer == quirks.issuer ? .everywhere : .ownDomains
        case .oidc: .ownDomains
        }
    }

    /// The issuer that a connection uses: the preset's, or the one it names where it may.
    func issuer(named: String?) throws(ValidationFailure) -> String {
        guard let named else {
            guard let issuer = quirks.issuer else { throw ValidationFailure("/issuer", "missing", "name the issuer") }
            return issuer
        }
        guard quirks.takesIssuer else {
            guard named == quirks.issuer else { throw ValidationFailure("/issuer", "not-allowed", "leave it out: \(rawValue) has but one") }
            return named
        }
        if self == .microsoft, !Self.isMicrosoft(named) {
            throw ValidationFailure(
                "/issuer", "invalid-issuer", "must be https://login.microsoftonline.com/<directory id, organizations or common>/v2.0")
        }
        return named
    }

    private static let directories = "https://login.microsoftonline.com/"

    private static func isMicrosoft(_ issuer: String) -> Bool {
        guard issuer.hasPrefix(directories), issuer.hasSuffix("/v2.0") else { return false }
        let directory = String(issuer.dropFirst(directories.count).dropLast(5))
        return ["organizations", "common", "consumers"].contains(directory) || UUID(uuidString: directory) != nil
    }

    /// Whether the metadata at an issuer's address is that issuer's own: the same to the letter (OpenID Connect Discovery, section 4.3).
    /// Microsoft's shared addresses say `{tenantid}` where the directory would stand.
    func owns(metadata issuer: String, of configured: String) -> Bool {
        if issuer == configured { return true }
        return self == .microsoft && issuer == Self.directories + "{tenantid}/v2.0"
    }

    /// The issuer that a token has to name. For Microsoft's shared addresses the directory is the token's own `tid`.
    func expectedIssuer(_ metadata: String, directory: String?) -> String? {
        guard metadata.contains("{tenantid}") else { return metadata }
        guard let directory, UUID(uuidString: directory) != nil else { return nil }
        return metadata.replacingOccurrences(of: "{tenantid}", with: directory.lowercased())
    }
}
