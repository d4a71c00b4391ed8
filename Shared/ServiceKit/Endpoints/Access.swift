package import Contracts

/// Who may call an endpoint. There is no default: an endpoint that does not say so does not compile.
package enum Access: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// Anybody, signed in or not.
    case `public`
    /// Whoever is signed in, whatever their role: their own profile, their own sessions.
    case signedIn
    /// Whoever holds the permission.
    case permission(Permission)
    /// The platform's own programs, with a service token.
    case service

    package init(stringLiteral text: String) { self = .permission(Permission(stringLiteral: text)) }

    package var description: String {
        switch self {
        case .public: "public"
        case .signedIn: "signed in"
        case .permission(let permission): permission.description
        case .service: "service"
        }
    }

    /// Refuses a caller that is not the kind this endpoint is for.
    func check(_ caller: Caller) throws(AccessFailure) {
        switch self {
        case .public: return
        case .service:
            guard case .service = caller.principal else { throw .serviceOnly }
        case .signedIn:
            guard caller.user != nil else { throw .notSignedIn }
        case .permission(let permission):
            // A service token opens /internal/v1 only: inside the network nobody has a user's rights.
            guard caller.user != nil else { throw .missingPermission(permission) }
            try caller.require(permission)
        }
    }
}
