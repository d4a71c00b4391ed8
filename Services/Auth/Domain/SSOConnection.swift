import Contracts
import Foundation

package enum SSOConnectionKind {}
/// An organization's way to let people in who sign in elsewhere.
typealias SSOConnectionID = TypedID<SSOConnectionKind>

/// Where people of an organization may sign in instead of here.
struct SSOConnection: Sendable {
    /// The protocol that is spoken. SAML 2.0 will be another case: its settings are other columns, and what it ends in is the same
    /// `SSOAssertion` (Shared/Decisions/0012-sign-in-with-others.md).
    enum Kind: String, Sendable {
        /// OpenID Connect, authorization code flow.
        case oidc
        /// OAuth 2.0 with an interface of its own for who the person is: GitHub.
        case oauth2
    }

    static let maximumPerOrganization = 20

    let id: SSOConnectionID
    var settings: Settings
    /// When somebody last signed in through it; nil until the first has.
    let lastUsedAt: Date?
    let createdAt: Date
    var updatedAt: Date
    var version: Int

    /// What its owners decide.
    struct Settings: Sendable, Equatable {
        var name: Name
        var preset: SSOPreset
        /// As the issuer writes itself: compared to the letter.
        var issuer: String
        var clientID: ClientText
        /// The e-mail domains it is for; empty for all.
        var domains: [DomainName]
        /// The role of those who join by it.
        var defaultRole: JoiningRole
        /// Whether people who are no members yet become so by signing in.
        var joins: Bool
        /// Whether people of its domains can sign in with a password no more.
        var enforced: Bool
        var enabled: Bool
        /// Where, beside the platform's own address, people may be sent after signing in.
        var returnOrigins: [WebOrigin]
    }

    var kind: Kind { settings.preset.kind }

    /// What the client secret is sealed for: it opens for no other connection, and for no other issuer, where it would be sent.
    func sealingContext(in tenant: TenantID) -> String { "sso \(tenant) \(id) \(settings.issuer)" }

    func admits(_ email: EmailAddress) -> Bool { settings.domains.isEmpty || settings.domains.contains(email.domain) }

    /// Whether somebody who is no member becomes one. Without a domain everybody who has an address would: that is refused when it is set.
    func takesIn(_ email: EmailAddress) -> Bool { settings.joins && settings.domains.contains(email.domain) }
}

extension SSOConnection.Settings {
    /// Rules between fields, each bad one named.
    func check(tested: Bool) throws {
        var bad: [FieldError] = []
        if joins, domains.isEmpty {
            bad.append(FieldError(pointer: "/domains", code: "missing", detail: "name the domains whose people may join"))
        }
        if enforced, domains.isEmpty {
            bad.append(FieldError(pointer: "/domains", code: "missing", detail: "name the domains that have to sign in this way"))
        }
        if enforced, !enabled {
            bad.append(FieldError(pointer: "/enforced", code: "not-enabled", detail: "a connection that is off cannot be the only way in"))
        }
        if [BuiltInRole.owner.rawValue, BuiltInRole.superadmin.rawValue].contains(defaultRole.rawValue) {
            bad.append(FieldError(pointer: "/defaultRole", code: "not-allowed", detail: "nobody becomes \(defaultRole) by signing in"))
        }
        if !bad.isEmpty { throw ValidationFailure(bad) }
        if enforced, !tested { throw SSOFailure.untested }
    }
}

/// A domain of e-mail addresses, lowercased.
struct DomainName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 3, maxLength: 253) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let domain = text.trimmingCharacters(in: .whitespaces).lowercased()
        guard domain.utf8.count <= 253, EmailAddress(rawValue: "a@" + domain) != nil else {
            throw TextProblem("invalid-domain", "must be a domain such as example.org")
        }
        return domain
    }
}

extension EmailAddress {
    var domain: DomainName {
        DomainName(checked: String(rawValue[rawValue.index(after: rawValue.lastIndex(of: "@") ?? rawValue.startIndex)...]))
    }
}

/// What an issuer gave to tell its clients apart: 1 to 255 characters of printable ASCII (RFC 6749, appendix A).
struct ClientText: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 1, maxLength: 255) }

    static func check(_ text: String) throws(TextProblem) -> String {
        guard (1...255).contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw TextProblem("invalid-client-text", "must be 1 to 255 printable ASCII characters")
        }
        return text
    }
}

/// What the role of those who join is called: one that ships, or one of the organization's own, which users knows.
struct JoiningRole: ValidatedText {
    static let maximumLength = 100

    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 2, maxLength: maximumLength, pattern: "^[a-z0-9]+([-_][a-z0-9]+)*$") }

    static func check(_ text: String) throws(TextProblem) -> String {
        let parts = text.split(omittingEmptySubsequences: false) { $0 == "-" || $0 == "_" }
        guard (2...maximumLength).contains(text.utf8.count),
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) } })
        else { throw TextProblem("invalid-role", "must be lowercase letters and digits, joined by - or _") }
        return text
    }
}
