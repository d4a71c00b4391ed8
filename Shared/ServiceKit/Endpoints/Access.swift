package import Contracts
import Foundation

/// Who may call an endpoint. There is no default: an endpoint that does not say so does not compile.
package enum Access: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// Anybody, signed in or not.
    case `public`
    /// Whoever is signed in, whatever their role: their own profile, their own sessions. A key of theirs may read.
    case signedIn
    /// Whoever holds the permission.
    case permission(Permission)
    /// What cannot be undone, or opens other doors: the person, in person, who proved who they are a short while ago, and holds the
    /// permission where there is one. Keys, clients and impersonators never (RFC 9470).
    case recently(Permission?)
    /// The platform's administrators.
    case superadmin
    /// The platform's own programs, with a service token.
    case service

    /// Seconds for which a proof of identity is good for what needs a recent one.
    package static let recentSeconds = 600

    package init(stringLiteral text: String) { self = .permission(Permission(stringLiteral: text)) }

    package var description: String {
        switch self {
        case .public: "public"
        case .signedIn: "signed in"
        case .permission(let permission): permission.description
        case .recently(let permission): "\(permission?.description ?? "signed in"), recently authenticated"
        case .superadmin: "superadmin"
        case .service: "service"
        }
    }

    /// Refuses a caller that is not the kind this endpoint is for. `reads`: the call changes nothing (`GET`).
    func check(_ caller: Caller, reads: Bool, now: Date) throws(AccessFailure) {
        switch self {
        case .public: return
        case .service:
            guard case .service = caller.principal else { throw .serviceOnly }
        case .signedIn:
            // What was given to a client opens what its scopes name, and nothing that is the person's alone.
            guard caller.client == nil else { throw .personOnly }
            guard caller.user != nil else { throw .notSignedIn }
            // A key reads what is its owner's own. To change it is the owner's business.
            if case .apiKey = caller.principal, !reads { throw .personOnly }
        case .permission(let permission):
            // A service token opens /internal/v1 only: inside the network nobody has a user's rights.
            switch caller.principal {
            case .person, .apiKey, .client: try caller.require(permission)
            case .service, .anonymous: throw .missingPermission(permission)
            }
        case .recently(let permission):
            if let permission {
                guard caller.user != nil else { throw .missingPermission(permission) }
                try caller.require(permission)
            }
            guard case .person = caller.principal, caller.impersonator == nil, caller.client == nil else { throw .personOnly }
            guard let proven = caller.authenticatedAt, now.timeIntervalSince(proven) <= TimeInterval(Self.recentSeconds) else {
                throw .authenticationTooOld(maxAge: Self.recentSeconds)
            }
        case .superadmin:
            // An organization's own issuer speaks for that organization, never for the platform.
            guard case .person = caller.principal, caller.impersonator == nil, caller.client == nil, !caller.methods.contains("fed"),
                caller.roles.contains(BuiltInRole.superadmin.rawValue)
            else { throw .superadminOnly }
        }
    }
}
