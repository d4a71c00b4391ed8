import Contracts

/// What a client may ask for: the scopes of OpenID Connect, and the names of permissions (`content:read`).
enum OAuthScope: Sendable, Hashable {
    case openid
    case profile
    case email
    /// A refresh token (OpenID Connect Core, section 11).
    case offlineAccess
    case permission(Permission)

    /// Scopes of one client, and of one request.
    static let maximumCount = 50
    static let maximumLength = 100

    /// Nil for what is neither. The permission to do everything is none that a client can have: it must name what it does.
    init?(_ text: some StringProtocol) {
        switch text {
        case "openid": self = .openid
        case "profile": self = .profile
        case "email": self = .email
        case "offline_access": self = .offlineAccess
        default:
            guard text.utf8.count <= Self.maximumLength, text.contains(":"), text.utf8.allSatisfy(Self.isScopeCharacter),
                let permission = Permission(String(text)), permission.description != "*"
            else { return nil }
            self = .permission(permission)
        }
    }

    /// RFC 6749, section 3.3.
    private static func isScopeCharacter(_ byte: UInt8) -> Bool { (0x21...0x7E).contains(byte) && byte != 0x22 && byte != 0x5C }

    var text: String {
        switch self {
        case .openid: "openid"
        case .profile: "profile"
        case .email: "email"
        case .offlineAccess: "offline_access"
        case .permission(let permission): permission.description
        }
    }

    var permission: Permission? {
        if case .permission(let permission) = self { permission } else { nil }
    }
}

extension [OAuthScope] {
    /// Space-separated, in the order given, each once. Nil when one is unknown or there are too many.
    init?(parameter: String) {
        var scopes: [OAuthScope] = []
        for part in parameter.split(separator: " ") {
            guard let scope = OAuthScope(part), scopes.count < OAuthScope.maximumCount else { return nil }
            if !scopes.contains(scope) { scopes.append(scope) }
        }
        self = scopes
    }

    var parameter: String { map(\.text).joined(separator: " ") }
    var texts: [String] { map(\.text) }
    var permissions: PermissionSet { PermissionSet(compactMap(\.permission)) }

    func isSubset(of others: [OAuthScope]) -> Bool { allSatisfy { others.contains($0) } }
}

/// What may stand in a client's `scopes`.
struct ScopeName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 1, maxLength: OAuthScope.maximumLength) }
    static func check(_ text: String) throws(TextProblem) -> String {
        guard let scope = OAuthScope(text) else {
            throw TextProblem("unknown-scope", "must be openid, profile, email, offline_access or a permission such as content:read")
        }
        return scope.text
    }
}
